#include "kernels/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "kernels/base/writer_lock.h"

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

// Some file systems (FUSE, encrypted ones) cannot sync folders; their renames are as durable as they
// can be.
bool CannotSyncFolders(int fd, int code) {
  struct stat status {};
  const bool refuses = code == EINVAL || code == ENOTSUP || code == EOPNOTSUPP || code == ENOSYS;
  return refuses && ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

// Creates a file beside `path` under a name that nothing else has: a file NAME.partial may be
// somebody's own.
int CreateAside(const fs::path& path, fs::path* aside) {
  static std::atomic<int> number{0};
  int fd = -1;
  do {
    *aside = fmt::format("{}.partial-{}-{}", path.string(), ::getpid(), number.fetch_add(1));
    fd = ::open(aside->c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  } while (fd < 0 && errno == EEXIST);
  return fd;
}

// Fails where something has the new name, an empty folder too, if the file system can tell.
bool RenameWithoutReplacing(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return false;
  return ::rename(from.c_str(), to.c_str()) == 0;
}

}  // namespace

void SyncPath(const fs::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path);
  if (file.get() < 0) Fail("open", path);
  if (::fsync(file.get()) != 0 && !CannotSyncFolders(file.get(), errno)) Fail("sync", path);
}

void WriteFileAtomically(const fs::path& path, std::string_view text) {
  fs::path aside;
  FileDescriptor file(CreateAside(path, &aside), path);
  if (file.get() < 0) Fail("create", aside);
  try {
    ::fchmod(file.get(), 0600);
    WriteAll(file.get(), text, aside);
    if (::fsync(file.get()) != 0) Fail("sync", aside);
    file.Close();
    if (::rename(aside.c_str(), path.c_str()) != 0) Fail("rename to its final name", path);
  } catch (const MachineError&) {
    ::unlink(aside.c_str());
    throw;
  }
  SyncPath(FolderAbove(path));
}

std::string ReadFile(const fs::path& path) {
  // Asked before it is opened: a pipe would wait for its writer, and a device never ends.
  std::ifstream file;
  if (IsRegularFile(path)) file.open(path, std::ios::binary);
  if (!file.is_open()) {
    throw InputError("{}: {}", path.string(),
                     PathExists(path) ? "cannot be read as a file" : "no such file");
  }
  // Not `stream << rdbuf()`: that counts an empty file as a failure.
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw InputError("{}: cannot be read", path.string());
  return text;
}

void RemoveMarkedFolder(const fs::path& folder, std::string_view marker, bool keep_folder) {
  std::error_code error;
  std::vector<fs::path> content;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename() != marker) content.push_back(entry.path());
  }
  for (const fs::path& path : content) fs::remove_all(path, error);
  if (keep_folder) return;
  fs::remove(folder / marker, error);
  fs::remove(folder, error);
}

fs::path PartialFolder::NameFor(const fs::path& final_folder) {
  return WithoutTrailingSlash(final_folder).string() + ".partial";
}

PartialFolder::PartialFolder(const fs::path& final_folder)
    : final_(WithoutTrailingSlash(final_folder)), partial_(NameFor(final_folder)) {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts && lock_ == nullptr; ++attempt) {
    RefuseExisting();
    MakeFolders(FolderAbove(final_));
    if (!MakeOrRecognise()) continue;
    lock_ = WriterLock::Take(partial_, final_);
  }
  if (lock_ == nullptr) throw MachineError("{}: appears and vanishes again", partial_.string());
  work_name_ = lock_->OwnerName();
  RemoveMarkedFolder(partial_, WriterLock::kFileName, /*keep_folder=*/true);
  try {
    RefuseExisting();  // another process may have completed it just before the lock was taken
  } catch (const InputError&) {
    Remove();
    throw;
  }
}

void PartialFolder::RefuseExisting() const {
  std::error_code error;
  if (fs::symlink_status(final_, error).type() == fs::file_type::not_found) return;
  if (fs::is_symlink(final_, error) || PathExists(final_)) {
    throw InputError("{}: exists already; nothing was written. Remove it or give another name.",
                     final_.string());
  }
}

// False: it was there, and is gone again.
bool PartialFolder::MakeOrRecognise() const {
  if (::mkdir(partial_.c_str(), 0700) == 0) {
    ::chmod(partial_.c_str(), 0700);
    return true;
  }
  if (errno != EEXIST) {
    throw InputError("{}: cannot create this folder: {}. Give a folder that you may write to.",
                     partial_.string(), std::generic_category().message(errno));
  }
  // Between another process's mkdir and its lock there is a moment in which the folder is empty.
  constexpr auto kPollInterval = std::chrono::milliseconds(10);
  constexpr int kPolls = 100;
  std::error_code error;
  for (int poll = 0; poll < kPolls; ++poll) {
    const fs::file_status status = fs::symlink_status(partial_, error);
    if (status.type() == fs::file_type::not_found) return false;
    if (status.type() != fs::file_type::directory) break;
    if (WriterLock::IsMarked(partial_)) return true;
    const bool empty = fs::is_empty(partial_, error);
    if (!error && !empty && !WriterLock::IsMarked(partial_)) break;
    std::this_thread::sleep_for(kPollInterval);
  }
  throw InputError(
      "{}: this name is needed while {} is being written, and what lies there was not made by "
      "sequela (it has no file {}). Nothing was changed. Move it away, or give another name",
      partial_.string(), final_.string(), WriterLock::kFileName);
}

PartialFolder::~PartialFolder() {
  if (!committed_ && lock_->IsHeld()) Remove();
}

void PartialFolder::Remove() {
  RemoveMarkedFolder(partial_, WriterLock::kFileName, /*keep_folder=*/true);
  lock_.reset();
  ::rmdir(partial_.c_str());
}

const std::string& PartialFolder::takeover() const { return lock_->takeover(); }

void PartialFolder::Commit() {
  if (!lock_->IsHeld()) {
    throw MachineError(
        "{}: another process has taken this folder over, as if this one were gone. Nothing was "
        "completed here",
        partial_.string());
  }
  std::error_code error;
  for (fs::recursive_directory_iterator entry(partial_, error), end; !error && entry != end;
       entry.increment(error)) {
    SyncPath(entry->path());
  }
  if (error) throw MachineError("{}: cannot be read: {}", partial_.string(), error.message());
  SyncPath(partial_);
  if (!RenameWithoutReplacing(partial_, final_)) Fail("rename to its final name", final_);
  committed_ = true;
  lock_->FollowRename(final_);
  lock_.reset();
  SyncPath(FolderAbove(final_));
}

}  // namespace sequela
