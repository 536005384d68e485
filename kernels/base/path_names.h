// Paths as people write them, and folders made for one's own eyes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sequela {

// "~" and "~/x" with the home folder (HOME) in place of "~", which shells leave as it is inside
// key=value and --key=value; any other text as it is. Throws InputError for "~name/x", and where
// HOME is not set.
std::string ExpandHome(const std::string& path);

// Without slashes at its end, so that a name can be added to it: "out/" is "out"; "/" stays.
std::filesystem::path WithoutTrailingSlash(const std::filesystem::path& path);

// The last name of a folder, whatever way it was written: of "a/b/", "a/b/." and, inside b, of ".".
std::string FolderName(const std::filesystem::path& folder);

// "." where the path is a single name.
std::filesystem::path FolderAbove(const std::filesystem::path& path);

// Makes `folder` and those above it that are not there, each with mode 0700 whatever the umask, and
// returns them, the outermost first. Throws InputError naming the one that cannot be made.
std::vector<std::filesystem::path> MakeFolders(const std::filesystem::path& folder);

}  // namespace sequela
