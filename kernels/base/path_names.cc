#include "kernels/base/path_names.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
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
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

fs::path FolderAbove(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

std::vector<fs::path> MakeFolders(const fs::path& folder) {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path at = WithoutTrailingSlash(folder); !fs::exists(at, error);
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
