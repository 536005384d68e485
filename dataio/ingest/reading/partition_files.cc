#include "dataio/ingest/reading/partition_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const char* what, const fs::path& file) {
  const int code = errno;
  const bool too_many = code == EMFILE || code == ENFILE;
  throw MachineError("{}: cannot {}: {}{}", file.string(), what,
                     std::generic_category().message(code),
                     too_many ? ". Raise the limit (ulimit -n), or give fewer --workers." : "");
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

// 0 where there is none: a rank that met no record of a partition made no file.
std::uintmax_t SizeOf(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0) return static_cast<std::uintmax_t>(status.st_size);
  if (errno != ENOENT) Fail("read", file);
  return 0;
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

// One of the places of a semaphore, for a scope.
class SemaphoreHold {
 public:
  explicit SemaphoreHold(std::counting_semaphore<>& semaphore) : semaphore_(semaphore) {
    semaphore_.acquire();
  }
  SemaphoreHold(const SemaphoreHold&) = delete;
  SemaphoreHold& operator=(const SemaphoreHold&) = delete;
  ~SemaphoreHold() { semaphore_.release(); }

 private:
  std::counting_semaphore<>& semaphore_;
};

}  // namespace

std::int64_t OpenFileLimit() {
  constexpr rlim_t kMost = 1 << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return static_cast<std::int64_t>(std::min(limit.rlim_cur, kMost));
}

void PartitionFiles::Sink::Close() {
  for (Output* output : {&raw, &extra, &text}) {
    if (output->fd >= 0) ::close(output->fd);
    output->fd = -1;
  }
}

PartitionFiles::PartitionFiles(fs::path folder, std::string work, int partitions, int rank,
                               int ranks)
    : folder_(std::move(folder)),
      work_(std::move(work)),
      partitions_(partitions),
      rank_(rank),
      ranks_(ranks),
      may_stay_open_(OpenFileLimit() / 4),
      may_open_(std::max<std::int64_t>(OpenFileLimit() / 16, 1)) {
  for (int i = 0; i < partitions; ++i) sinks_.push_back(std::make_unique<Sink>());
}

fs::path PartitionFiles::FileOf(const char* kind, int partition, int rank) const {
  return folder_ / fmt::format("{}-{}-{}-{}.spill", kind, partition, rank, work_);
}

fs::path PartitionFiles::CleanFile(int partition) const {
  return folder_ / fmt::format("clean-{}-{}.spill", partition, work_);
}

void PartitionFiles::Append(const char* kind, int partition, Output& output,
                            std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const fs::path file = FileOf(kind, partition, rank_);
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | (output.exists ? 0 : O_CREAT | O_EXCL);
  if (!output.exists && may_stay_open_.fetch_sub(1) > 0) {
    output.fd = ::open(file.c_str(), flags, 0600);
    if (output.fd < 0) Fail("create", file);
  }
  output.exists = true;
  if (output.fd >= 0) {
    WriteBytes(output.fd, bytes.data(), bytes.size(), file);
    return;
  }
  const SemaphoreHold hold(may_open_);
  WriteBytes(File(file, flags).fd, bytes.data(), bytes.size(), file);
}

void PartitionFiles::AppendRaw(int partition, std::span<const RawEvent> events) {
  Sink& sink = *sinks_[static_cast<std::size_t>(partition)];
  const std::lock_guard lock(sink.mutex);
  Append("raw", partition, sink.raw, std::as_bytes(events));
}

void PartitionFiles::AppendExtras(int partition, std::span<RowExtra> extras,
                                  std::string_view texts) {
  Sink& sink = *sinks_[static_cast<std::size_t>(partition)];
  const std::lock_guard lock(sink.mutex);
  for (RowExtra& extra : extras) {
    extra.rank = static_cast<std::uint32_t>(rank_);
    extra.text_offset += sink.text_bytes;
  }
  Append("text", partition, sink.text, std::as_bytes(std::span(texts)));
  sink.text_bytes += texts.size();
  Append("extra", partition, sink.extra, std::as_bytes(extras));
}

void PartitionFiles::CloseRaw() {
  for (const auto& sink : sinks_) sink->Close();
}

// All ranks' records of a partition; the files are removed.
template <typename T>
std::vector<T> PartitionFiles::Take(const char* kind, int partition) const {
  std::uintmax_t bytes = 0;
  for (int rank = 0; rank < ranks_; ++rank) {
    const fs::path file = FileOf(kind, partition, rank);
    bytes += SizeOf(file);
  }
  std::vector<T> records(bytes / sizeof(T));
  char* to = reinterpret_cast<char*>(records.data());
  for (int rank = 0; rank < ranks_; ++rank) {
    const fs::path file = FileOf(kind, partition, rank);
    const std::uintmax_t size = SizeOf(file);
    if (size == 0) continue;
    ReadBytes(File(file, O_RDONLY).fd, to, size, file);
    to += size;
    if (::unlink(file.c_str()) != 0) Fail("remove", file);
  }
  return records;
}

std::vector<RawEvent> PartitionFiles::TakeRaw(int partition) const {
  return Take<RawEvent>("raw", partition);
}

std::vector<RowExtra> PartitionFiles::TakeExtras(int partition) const {
  return Take<RowExtra>("extra", partition);
}

void PartitionFiles::SaveClean(int partition, const CleanPartition& clean) const {
  const fs::path path = CleanFile(partition);
  const File file(path, O_WRONLY | O_CREAT | O_EXCL);
  const std::uint64_t counts[3] = {clean.subjects.size(), clean.events.size(), clean.extras.size()};
  WriteBytes(file.fd, counts, sizeof(counts), path);
  WriteBytes(file.fd, clean.subjects.data(), clean.subjects.size() * sizeof(SubjectRecord), path);
  WriteBytes(file.fd, clean.events.data(), clean.events.size() * sizeof(CleanEvent), path);
  WriteBytes(file.fd, clean.extras.data(), clean.extras.size() * sizeof(RowExtra), path);
}

CleanPartition PartitionFiles::LoadClean(int partition) const {
  const fs::path path = CleanFile(partition);
  const File file(path, O_RDONLY);
  std::uint64_t counts[3] = {};
  ReadBytes(file.fd, counts, sizeof(counts), path);
  CleanPartition clean;
  clean.subjects.resize(counts[0]);
  clean.events.resize(counts[1]);
  clean.extras.resize(counts[2]);
  ReadBytes(file.fd, clean.subjects.data(), counts[0] * sizeof(SubjectRecord), path);
  ReadBytes(file.fd, clean.events.data(), counts[1] * sizeof(CleanEvent), path);
  ReadBytes(file.fd, clean.extras.data(), counts[2] * sizeof(RowExtra), path);
  return clean;
}

void PartitionFiles::RemoveClean(int partition) const {
  std::error_code ignored;
  fs::remove(CleanFile(partition), ignored);
  for (int rank = 0; rank < ranks_; ++rank) fs::remove(FileOf("text", partition, rank), ignored);
}

KeptTexts::KeptTexts(const PartitionFiles& files, int partition)
    : files_(files), partition_(partition), fds_(static_cast<std::size_t>(files.ranks_), -1) {}

KeptTexts::~KeptTexts() {
  for (const int fd : fds_) {
    if (fd >= 0) ::close(fd);
  }
}

std::string_view KeptTexts::Read(const RowExtra& extra) {
  text_.resize(extra.text_size);
  if (text_.empty()) return text_;
  int& fd = fds_.at(extra.rank);
  const fs::path file = files_.FileOf("text", partition_, static_cast<int>(extra.rank));
  if (fd < 0) fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::lseek(fd, static_cast<off_t>(extra.text_offset), SEEK_SET) < 0) {
    Fail("read", file);
  }
  ReadBytes(fd, text_.data(), text_.size(), file);
  return text_;
}

}  // namespace sequela
