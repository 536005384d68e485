// Which build this is and what it runs on.
#pragma once

#include <string>

namespace sequela {

// The commit that was built, "-dirty" where files differed from it; "unknown" outside a checkout.
const char* BuildCommit();  // generated: cmake/commit.cmake

// Lines of "name  version", for --version.
std::string VersionText();
// The same in three lines for the log of a run.
std::string BuildLine();
std::string LibrariesLine();
std::string MachineLine();

}  // namespace sequela
