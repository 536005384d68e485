#include "kernels/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const char* what, const fs::path& path) {
  const int code = errno;
  throw MachineError("{}: cannot {}: {}", path.string(), what,
                     std::generic_category().message(code));
}

// Closes on scope exit; Close() reports the error that a full disk may give only then.
class FileDescriptor {
 public:
  FileDescriptor(int fd, fs::path path) : fd_(fd), path_(std::move(path)) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }
  void Close() {
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) Fail("write", path_);
  }

 private:
  int fd_;
  fs::path path_;
};

void WriteAll(int fd, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      Fail("write", path);
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

fs::path ParentOf(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

}  // namespace

void SyncPath(const fs::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path);
  if (file.get() < 0) Fail("open", path);
  // Some file systems refuse fsync on folders; their rename is as durable as it can be.
  if (::fsync(file.get()) != 0 && errno != EINVAL) Fail("sync", path);
}

void WriteFileAtomically(const fs::path& path, std::string_view text) {
  const fs::path aside = path.string() + ".partial";
  try {
    FileDescriptor file(::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
                        aside);
    if (file.get() < 0) Fail("create", aside);
    WriteAll(file.get(), text, aside);
    if (::fsync(file.get()) != 0) Fail("sync", aside);
    file.Close();
    if (::rename(aside.c_str(), path.c_str()) != 0) Fail("rename to its final name", path);
  } catch (const MachineError&) {
    ::unlink(aside.c_str());
    throw;
  }
  SyncPath(ParentOf(path));
}

std::string ReadFile(const fs::path& path) {
  // Asked before it is opened: a pipe would wait for its writer, and a device never ends.
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  std::ifstream file;
  if (fs::is_regular_file(status)) file.open(path, std::ios::binary);
  if (!file.is_open()) {
    throw InputError("{}: {}", path.string(),
                     fs::exists(status) ? "cannot be read as a file" : "no such file");
  }
  // Not `stream << rdbuf()`: that counts an empty file as a failure.
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw InputError("{}: cannot be read", path.string());
  return text;
}

PartialFolder::PartialFolder(fs::path final_folder)
    : final_(std::move(final_folder)), partial_(final_.string() + ".partial") {
  std::error_code error;
  if (fs::exists(final_, error)) {
    throw InputError("{}: exists already; nothing was written. Remove it or give another name.",
                     final_.string());
  }
  fs::remove_all(partial_, error);
  fs::create_directories(ParentOf(final_), error);
  if (::mkdir(partial_.c_str(), 0700) != 0) {
    throw InputError("{}: cannot create this folder: {}. Give a folder that you may write to.",
                     partial_.string(), std::generic_category().message(errno));
  }
}

PartialFolder::~PartialFolder() {
  if (!committed_) {
    std::error_code ignored;
    fs::remove_all(partial_, ignored);
  }
}

void PartialFolder::Commit() {
  for (const auto& entry : fs::recursive_directory_iterator(partial_)) {
    SyncPath(entry.path());
  }
  SyncPath(partial_);
  if (::rename(partial_.c_str(), final_.c_str()) != 0) Fail("rename to its final name", final_);
  committed_ = true;
  SyncPath(ParentOf(final_));
}

}  // namespace sequela
