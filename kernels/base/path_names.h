// Paths as people write them, what lies there, and folders made for one's own eyes.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>
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

// Whether something is there; a folder; a regular file. Links are followed. Each throws InputError
// naming the path where the system cannot tell: a loop of links, a name too long, a folder above it
// that may not be searched.
bool PathExists(const std::filesystem::path& path);
bool IsFolder(const std::filesystem::path& path);
bool IsRegularFile(const std::filesystem::path& path);

// Whether the system's refusal speaks of the path that was given (nothing there, no permission, a
// loop of links, a name too long, ...: exit code 2) and not of the machine (disk full, I/O: 4).
bool IsFaultOfPath(const std::error_code& error);

// Makes `folder` and those above it that are not there, each with mode 0700 whatever the umask, and
// returns them, the outermost first. Throws InputError naming the one that cannot be made.
std::vector<std::filesystem::path> MakeFolders(const std::filesystem::path& folder);

}  // namespace sequela
