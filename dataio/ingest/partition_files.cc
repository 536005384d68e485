#include "dataio/ingest/partition_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const char* what, const fs::path& file) {
  const int code = errno;
  throw MachineError("{}: cannot {}: {}", file.string(), what,
                     std::generic_category().message(code));
}

void WriteBytes(int fd, const void* data, std::size_t size, const fs::path& file) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Fail("write", file);
    from += written;
    size -= static_cast<std::size_t>(written);
  }
}

void ReadBytes(int fd, void* data, std::size_t size, const fs::path& file) {
  char* to = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::read(fd, to, size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) Fail("read", file);
    if (got == 0) throw MachineError("{}: shorter than it was written", file.string());
    to += got;
    size -= static_cast<std::size_t>(got);
  }
}

// Closes its descriptor.
struct File {
  int fd;
  explicit File(const fs::path& file, int flags)
      : fd(::open(file.c_str(), flags | O_CLOEXEC, 0600)) {
    if (fd < 0) Fail("open", file);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd); }
};

}  // namespace

PartitionFiles::Sink::~Sink() {
  if (fd >= 0) ::close(fd);
}

PartitionFiles::PartitionFiles(fs::path folder, int partitions, int rank, int ranks)
    : folder_(std::move(folder)), partitions_(partitions), rank_(rank), ranks_(ranks) {
  for (int i = 0; i < partitions; ++i) sinks_.push_back(std::make_unique<Sink>());
}

fs::path PartitionFiles::RawFile(int partition, int rank) const {
  return folder_ / fmt::format("raw-{}-{}.spill", partition, rank);
}

fs::path PartitionFiles::CleanFile(int partition) const {
  return folder_ / fmt::format("clean-{}.spill", partition);
}

void PartitionFiles::AppendRaw(int partition, std::span<const RawEvent> events) {
  if (events.empty()) return;
  Sink& sink = *sinks_[static_cast<std::size_t>(partition)];
  const fs::path file = RawFile(partition, rank_);
  const std::lock_guard lock(sink.mutex);
  if (sink.fd < 0) {
    sink.fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (sink.fd < 0) Fail("create", file);
  }
  WriteBytes(sink.fd, events.data(), events.size_bytes(), file);
}

void PartitionFiles::CloseRaw() {
  for (const auto& sink : sinks_) {
    if (sink->fd >= 0) ::close(sink->fd);
    sink->fd = -1;
  }
}

std::vector<RawEvent> PartitionFiles::TakeRaw(int partition) const {
  std::uintmax_t bytes = 0;
  for (int rank = 0; rank < ranks_; ++rank) {
    const fs::path file = RawFile(partition, rank);
    if (fs::exists(file)) bytes += fs::file_size(file);
  }
  std::vector<RawEvent> events(bytes / sizeof(RawEvent));
  char* to = reinterpret_cast<char*>(events.data());
  for (int rank = 0; rank < ranks_; ++rank) {
    const fs::path file = RawFile(partition, rank);
    if (!fs::exists(file)) continue;
    const auto size = fs::file_size(file);
    ReadBytes(File(file, O_RDONLY).fd, to, size, file);
    to += size;
    fs::remove(file);
  }
  return events;
}

void PartitionFiles::SaveClean(int partition, const CleanPartition& clean) const {
  const fs::path path = CleanFile(partition);
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  const std::uint64_t counts[2] = {clean.subjects.size(), clean.events.size()};
  WriteBytes(file.fd, counts, sizeof(counts), path);
  WriteBytes(file.fd, clean.subjects.data(), clean.subjects.size() * sizeof(SubjectRecord), path);
  WriteBytes(file.fd, clean.events.data(), clean.events.size() * sizeof(CleanEvent), path);
}

CleanPartition PartitionFiles::LoadClean(int partition) const {
  const fs::path path = CleanFile(partition);
  const File file(path, O_RDONLY);
  std::uint64_t counts[2] = {};
  ReadBytes(file.fd, counts, sizeof(counts), path);
  CleanPartition clean;
  clean.subjects.resize(counts[0]);
  clean.events.resize(counts[1]);
  ReadBytes(file.fd, clean.subjects.data(), counts[0] * sizeof(SubjectRecord), path);
  ReadBytes(file.fd, clean.events.data(), counts[1] * sizeof(CleanEvent), path);
  return clean;
}

void PartitionFiles::RemoveClean(int partition) const {
  std::error_code ignored;
  fs::remove(CleanFile(partition), ignored);
}

}  // namespace sequela
