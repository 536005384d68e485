// How the lock is taken. The new holder's file is written under a name of its own, locked, and then
// linked to the lock's name, so that the lock's file always holds a whole text. Where the name is
// taken, its holder is judged (Judge). A lock that may be taken over is replaced by a rename while
// the kernel's lock of the old file is held, so that of two that try only one succeeds; without
// kernel locks both look again after a moment, and only the one whose file has remained goes on.
#include "kernels/base/writer_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/base/errors.h"
#include "kernels/base/process_identity.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr auto kPollInterval = std::chrono::milliseconds(10);
constexpr auto kSettleTime = std::chrono::milliseconds(300);
constexpr int kAttempts = 200;

enum class KernelLock : std::uint8_t { kTaken, kHeldByAnother, kUnsupported };

KernelLock TryKernelLock(int descriptor) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(descriptor, F_OFD_SETLK, &whole) == 0) return KernelLock::kTaken;
  return errno == EAGAIN || errno == EACCES ? KernelLock::kHeldByAnother : KernelLock::kUnsupported;
}

// Closes on scope exit what was not given away.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool IsAt(int descriptor, const fs::path& file) {
  struct stat ours {
  }, there{};
  return ::fstat(descriptor, &ours) == 0 && ::lstat(file.c_str(), &there) == 0 &&
         ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

std::optional<ProcessIdentity> ReadHolder(int descriptor) {
  std::array<char, 4096> text{};
  const ssize_t size = ::pread(descriptor, text.data(), text.size(), 0);
  if (size <= 0) return std::nullopt;
  return ProcessIdentityFromText({text.data(), static_cast<std::size_t>(size)});
}

[[noreturn]] void RefuseHeld(const fs::path& file, const fs::path& place,
                             const ProcessIdentity& holder) {
  throw InputError(
      "{}: another process is writing here: {}. Nothing was changed.\n"
      "Wait for it, or give another folder. Where that process is gone (its host crashed), remove "
      "{} and start again",
      place.string(), DescribeProcess(holder), file.string());
}

[[noreturn]] void RefuseForeign(const fs::path& file, const fs::path& place) {
  throw InputError(
      "{}: {} is no lock file that sequela wrote, or a damaged one. Where nothing else is writing "
      "here, remove it and start again",
      place.string(), file.string());
}

[[noreturn]] void RefuseUnwritable(const fs::path& place) {
  throw InputError("{}: cannot be written: {}. Give a folder that you may write to", place.string(),
                   std::generic_category().message(errno));
}

enum class Verdict : std::uint8_t { kHeld, kGone, kEarlierStart };

Verdict Judge(const ProcessIdentity& holder, const ProcessIdentity& me, KernelLock lock) {
  const Liveness liveness = LivenessOf(holder);
  if (liveness == Liveness::kAlive) return Verdict::kHeld;
  if (IsEarlierSlurmStart(holder, me)) return Verdict::kEarlierStart;
  if (lock == KernelLock::kHeldByAnother) return Verdict::kHeld;
  if (liveness == Liveness::kGone) return Verdict::kGone;
  // Another container on this kernel: its process would still have the lock of the kernel.
  const bool lock_is_proof = lock == KernelLock::kTaken && OnThisKernel(holder);
  return lock_is_proof ? Verdict::kGone : Verdict::kHeld;
}

// What holds the lock's name. Its descriptor keeps the kernel's lock of it, where that was taken.
struct Existing {
  Descriptor descriptor;
  ProcessIdentity holder;
  Verdict verdict;
};

// Nothing where the name is free, or was freed or changed just now: then look again. Throws
// InputError where another process holds it.
std::unique_ptr<Existing> LookAt(const fs::path& file, const fs::path& place,
                                 const ProcessIdentity& me, bool last_attempt) {
  Descriptor held(::open(file.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (held.get() < 0) {
    if (errno == ENOENT) return nullptr;
    if (errno == EACCES || errno == EROFS) RefuseUnwritable(place);
    RefuseForeign(file, place);
  }
  const KernelLock lock = TryKernelLock(held.get());
  const auto holder = ReadHolder(held.get());
  if (!IsAt(held.get(), file)) return nullptr;
  if (!holder) RefuseForeign(file, place);
  const Verdict verdict = Judge(*holder, me, lock);
  if (verdict == Verdict::kHeld) {
    // Locked in the name of a process that is gone: somebody is taking it over just now.
    const bool changing =
        lock == KernelLock::kHeldByAnother && LivenessOf(*holder) == Liveness::kGone;
    if (changing && !last_attempt) return nullptr;
    RefuseHeld(file, place, *holder);
  }
  return std::unique_ptr<Existing>(new Existing{std::move(held), *holder, verdict});
}

int CreateAlone(const fs::path& file) {
  return ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

fs::path OwnName(const fs::path& folder) {
  return folder / fmt::format("{}-{}", WriterLock::kFileName, WriterLock::OwnerName());
}

// The file of a lock that is being taken, under a name of its own until it is placed.
class Candidate {
 public:
  Candidate(const fs::path& folder, const fs::path& place, const ProcessIdentity& me);
  ~Candidate() { ::unlink(own_name_.c_str()); }  // nothing is there any more after a rename
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  bool folder_is_gone() const { return descriptor_.get() < 0; }
  bool has_kernel_lock() const { return lock_ == KernelLock::kTaken; }
  int Release() { return descriptor_.Release(); }
  bool IsAt(const fs::path& file) const { return sequela::IsAt(descriptor_.get(), file); }
  // Gives it the lock's name; false where that is taken or the folder is gone (errno tells).
  bool Place(const fs::path& file) const;
  bool Replace(const fs::path& file) const {
    return ::rename(own_name_.c_str(), file.c_str()) == 0;
  }

 private:
  fs::path own_name_;
  Descriptor descriptor_;
  KernelLock lock_ = KernelLock::kUnsupported;
};

Candidate::Candidate(const fs::path& folder, const fs::path& place, const ProcessIdentity& me)
    : own_name_(OwnName(folder)), descriptor_(CreateAlone(own_name_)) {
  if (descriptor_.get() < 0) {
    if (errno != ENOENT) RefuseUnwritable(place);
    return;
  }
  ::fchmod(descriptor_.get(), 0600);
  lock_ = TryKernelLock(descriptor_.get());
  const std::string text = ToText(me);
  if (::pwrite(descriptor_.get(), text.data(), text.size(), 0) != std::ssize(text)) {
    const int code = errno;
    ::unlink(own_name_.c_str());
    throw MachineError("{}: cannot be written: {}", own_name_.string(),
                       std::generic_category().message(code));
  }
}

bool Candidate::Place(const fs::path& file) const {
  if (::link(own_name_.c_str(), file.c_str()) == 0) return true;
  if (errno == EEXIST || errno == ENOENT) return false;
  // A file system without hard links.
  if (::renameat2(AT_FDCWD, own_name_.c_str(), AT_FDCWD, file.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EEXIST || errno == ENOENT) return false;
  const Descriptor reserved(CreateAlone(file));
  return reserved.get() >= 0 && Replace(file);
}

}  // namespace

std::unique_ptr<WriterLock> WriterLock::Take(const fs::path& folder, const fs::path& place) {
  const fs::path file = folder / kFileName;
  const ProcessIdentity me = ThisProcess();
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    // First of all: nothing is created in a folder that another process holds.
    const auto existing = LookAt(file, place, me, attempt == kAttempts);
    Candidate candidate(folder, place, me);
    if (candidate.folder_is_gone()) return nullptr;
    std::string takeover;
    if (existing) {
      takeover = fmt::format(
          "{}: taken over from {}, {}", place.string(), DescribeProcess(existing->holder),
          existing->verdict == Verdict::kGone ? "which is gone"
                                              : "an earlier start of this Slurm job");
    }
    if (existing ? candidate.Replace(file) : candidate.Place(file)) {
      if (existing && !candidate.has_kernel_lock()) std::this_thread::sleep_for(kSettleTime);
      if (candidate.IsAt(file)) {
        return std::unique_ptr<WriterLock>(
            new WriterLock(file, candidate.Release(), std::move(takeover)));
      }
    } else if (errno != EEXIST && errno != ENOENT) {
      RefuseUnwritable(place);
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  throw MachineError("{}: {} changes all the time", place.string(), file.string());
}

WriterLock::WriterLock(fs::path file, int descriptor, std::string takeover)
    : file_(std::move(file)), descriptor_(descriptor), takeover_(std::move(takeover)) {}

bool WriterLock::IsHeld() const { return IsAt(descriptor_, file_); }

std::string WriterLock::OwnerName() {
  static std::atomic<int> number{0};
  const ProcessIdentity me = ThisProcess();
  return fmt::format("{}-{}-{}-{}", me.host, me.pid, me.start_ticks, number.fetch_add(1));
}

WriterLock::~WriterLock() {
  if (IsAt(descriptor_, file_)) ::unlink(file_.c_str());
  ::close(descriptor_);
}

bool WriterLock::IsMarked(const fs::path& folder) {
  const fs::path file = folder / kFileName;
  const Descriptor marker(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return marker.get() >= 0 && ReadHolder(marker.get()).has_value();
}

}  // namespace sequela
