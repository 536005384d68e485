#include "kernels/base/path_names.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <system_error>

#include "kernels/base/errors.h"

namespace sequela {

namespace fs = std::filesystem;

std::string ExpandHome(const std::string& path) {
  if (!path.starts_with('~')) return path;
  if (path.size() > 1 && path[1] != '/') {
    throw InputError(
        "{}: a name after ~ is not looked up; write the folder out, or ./{} for a name that begins "
        "with ~",
        path, path);
  }
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    throw InputError("{}: HOME is not set; write the folder out", path);
  }
  return home + path.substr(1);
}

fs::path WithoutTrailingSlash(const fs::path& path) {
  std::string text = path.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

std::string FolderName(const fs::path& folder) {
  std::error_code ignored;  // only "." of a folder that is gone keeps no name
  const fs::path whole = fs::absolute(folder, ignored).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

namespace {

fs::file_status StatusOf(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  // Nothing there is an answer.
  if (status.type() == fs::file_type::not_found || !error) return status;
  const std::string message =
      fmt::format("{}: cannot be looked at: {}", path.string(), error.message());
  if (IsFaultOfPath(error)) throw InputError(message);
  throw MachineError(message);
}

}  // namespace

bool PathExists(const fs::path& path) { return fs::exists(StatusOf(path)); }
bool IsFolder(const fs::path& path) { return fs::is_directory(StatusOf(path)); }
bool IsRegularFile(const fs::path& path) { return fs::is_regular_file(StatusOf(path)); }

bool IsFaultOfPath(const std::error_code& error) {
  constexpr std::errc kFaults[] = {std::errc::no_such_file_or_directory,
                                   std::errc::permission_denied,
                                   std::errc::operation_not_permitted,
                                   std::errc::too_many_symbolic_link_levels,
                                   std::errc::filename_too_long,
                                   std::errc::not_a_directory,
                                   std::errc::is_a_directory,
                                   std::errc::file_exists,
                                   std::errc::directory_not_empty,
                                   std::errc::read_only_file_system,
                                   std::errc::invalid_argument,
                                   std::errc::illegal_byte_sequence};
  return std::any_of(std::begin(kFaults), std::end(kFaults),
                     [&](std::errc fault) { return error == fault; });
}

fs::path FolderAbove(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

std::vector<fs::path> MakeFolders(const fs::path& folder) {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path at = WithoutTrailingSlash(folder); !PathExists(at);
       at = WithoutTrailingSlash(FolderAbove(at))) {
    missing.push_back(at);
    if (at == FolderAbove(at)) break;
  }
  std::reverse(missing.begin(), missing.end());
  std::vector<fs::path> made;
  for (const fs::path& one : missing) {
    if (::mkdir(one.c_str(), 0700) == 0) {
      ::chmod(one.c_str(), 0700);
      made.push_back(one);
    } else if (errno != EEXIST || !fs::is_directory(one, error)) {
      throw InputError("{}: cannot create this folder: {}. Give a folder that you may write to.",
                       one.string(), std::generic_category().message(errno));
    }
  }
  return made;
}

}  // namespace sequela
