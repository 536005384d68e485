#include "dataio/ingest/reading/data_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "dataio/base/utf8.h"
#include "dataio/ingest/splits.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

std::string ReasonOf(int code) { return std::generic_category().message(code); }

bool IsSkippedName(std::string_view name) {
  return name.starts_with('.') || name.starts_with('_') || name == "lost+found";
}

bool EndsInParquet(const fs::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return ending == ".parquet";
}

// Whether a regular file begins as Parquet does.
bool BeginsAsParquet(const fs::path& file) {
  std::array<char, 4> begin{};
  const int fd = ::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  const bool whole = ::read(fd, begin.data(), begin.size()) == 4;
  ::close(fd);
  return whole && std::string_view(begin.data(), 4) == "PAR1";
}

class Walker {
 public:
  explicit Walker(std::string prefix) : prefix_(std::move(prefix)) {}

  DataFiles WalkFrom(const fs::path& root) {
    struct stat status {};
    if (::stat(root.c_str(), &status) == 0) RefuseSecondWay(root, status);  // no link leads back
    Walk(root, {});
    std::sort(found_.files.begin(), found_.files.end(),
              [](const SourceFile& a, const SourceFile& b) { return a.relative < b.relative; });
    std::sort(found_.skipped.begin(), found_.skipped.end());
    return std::move(found_);
  }

 private:
  void Walk(const fs::path& folder, const fs::path& relative) {
    std::error_code error;
    fs::directory_iterator entries(folder, error);
    std::vector<fs::path> names;
    while (!error && entries != fs::directory_iterator()) {
      names.push_back(entries->path().filename());
      entries.increment(error);
    }
    if (error) {
      throw InputError(
          "{}: this folder cannot be read: {}. Give yourself access to it, or move it out of the "
          "dataset.",
          Printable(folder.string()), error.message());
    }
    std::sort(names.begin(), names.end());
    for (const fs::path& name : names) Visit(folder / name, relative / name);
  }

  [[noreturn]] static void Refuse(const fs::path& path, const std::string& what) {
    throw InputError("{}: {}", Printable(path.string()), what);
  }
  void Skip(const fs::path& relative, const char* reason) {
    found_.skipped.push_back(
        fmt::format("{}: {}", Printable(prefix_ + relative.generic_string()), reason));
  }

  void Visit(const fs::path& path, const fs::path& relative) {
    if (IsSkippedName(relative.filename().string())) {
      return Skip(relative, "its name begins with . or _, or is lost+found");
    }
    if (prefix_.empty() && relative == "metadata") return;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      Refuse(path, fmt::format("leads nowhere or cannot be read: {}. Restore what it stands for, "
                               "or remove it from the dataset.",
                               ReasonOf(errno)));
    }
    if (S_ISDIR(status.st_mode)) {
      RefuseSecondWay(path, status);
      return Walk(path, relative);
    }
    if (EndsInParquet(path)) return AddFile(path, relative, status);
    if (!S_ISREG(status.st_mode)) return Skip(relative, "no regular file");
    if (BeginsAsParquet(path)) {
      Refuse(
          path,
          "holds Parquet, but its name does not end in .parquet, so that it is not known whether "
          "it belongs to the data. Rename it, or move it out of the dataset.");
    }
    Skip(relative, "its name does not end in .parquet");
  }

  void AddFile(const fs::path& path, const fs::path& relative, const struct stat& status) {
    if (!S_ISREG(status.st_mode)) {
      Refuse(path, "no regular file, though its name ends in .parquet. Remove it.");
    }
    const std::string name = prefix_ + relative.generic_string();
    if (!IsUtf8(name)) Refuse(path, "its name is not UTF-8. Rename it.");
    RefuseSecondWay(path, status);
    found_.files.push_back(MakeSourceFile(path, name));
  }

  // By links: its events would be read twice, or without end.
  void RefuseSecondWay(const fs::path& path, const struct stat& status) {
    const auto [place, first] = seen_.emplace(std::pair(status.st_dev, status.st_ino), path);
    if (first) return;
    Refuse(path, fmt::format("is the same as {}, so that its events would be read twice. Remove "
                             "one of the two from the dataset.",
                             Printable(place->second.string())));
  }

  std::string prefix_;
  DataFiles found_;
  std::map<std::pair<dev_t, ino_t>, fs::path> seen_;  // files and folders of the dataset
};

}  // namespace

SourceFile MakeSourceFile(const fs::path& path, const std::string& relative) {
  SourceFile file{path, relative, std::nullopt, ""};
  try {
    file.split = SplitOfPath(relative);
  } catch (const InputError& error) {
    file.split_fault = error.what();
  }
  return file;
}

DataFiles FindDataFiles(const fs::path& folder, const std::string& prefix) {
  Walker walker(prefix);
  return walker.WalkFrom(folder);
}

}  // namespace sequela
