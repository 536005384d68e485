#include "runtime/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include "kernels/base/check.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "runtime/file_watchdog.h"

namespace sequela {
namespace {

constexpr std::size_t kHeaderAlignment = 8;
// The CRC is taken of a chunk that is still in the cache when it is written.
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

// A file being written, with its size and CRC so far. One thread at a time.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path)
      : path_(path),
        fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)) {
    if (fd_ < 0) Fail("create");
  }
  ~OutputFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::span<const std::byte> chunk = bytes.first(std::min(bytes.size(), kChunkBytes));
      const ssize_t written = ::write(fd_, chunk.data(), chunk.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) Fail("write");
      crc32c_ = ExtendCrc32c(crc32c_, chunk.data(), static_cast<std::size_t>(written));
      size_bytes_ += written;
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      NoteFileProgress();
    }
  }

  WrittenFile Close() {
    if (::fsync(fd_) != 0) Fail("sync");
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) Fail("write");
    return {path_.filename().string(), size_bytes_, crc32c_};
  }

 private:
  [[noreturn]] void Fail(const char* what) const {
    const int code = errno;
    throw MachineError("{}: cannot {} after {} bytes: {}", path_.string(), what, size_bytes_,
                       std::generic_category().message(code));
  }

  std::filesystem::path path_;
  int fd_;
  std::int64_t size_bytes_ = 0;
  std::uint32_t crc32c_ = 0;
};

std::string Header(std::span<const SafetensorsEntry> entries, const SafetensorsMetadata& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t at = 0;
  for (const SafetensorsEntry& entry : entries) {
    const std::int64_t size = std::ssize(entry.bytes);
    const DType dtype = entry.dtype.value();
    SEQUELA_CHECK(entry.num_elements() * SizeOf(dtype) == size, "{}", entry.name);
    SEQUELA_CHECK(!header.contains(entry.name), "{} twice", entry.name);
    header[entry.name] = {{"dtype", SafetensorsName(dtype)},
                          {"shape", entry.shape},
                          {"data_offsets", {at, at + size}}};
    at += size;
  }
  std::string text = header.is_null() ? "{}" : header.dump();
  text.resize(static_cast<std::size_t>(RoundUp(std::ssize(text), kHeaderAlignment)), ' ');
  return text;
}

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

WrittenFile WriteSafetensors(const std::filesystem::path& path,
                             std::span<const SafetensorsEntry> entries,
                             const SafetensorsMetadata& metadata) {
  const std::string header = Header(entries, metadata);
  const auto header_bytes = static_cast<std::uint64_t>(header.size());
  OutputFile file(path);
  file.Write(std::as_bytes(std::span(&header_bytes, 1)));
  file.Write(AsBytes(header));
  for (const SafetensorsEntry& entry : entries) file.Write(entry.bytes);
  return file.Close();
}

WrittenFile WriteText(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.Write(AsBytes(text));
  return file.Close();
}

}  // namespace sequela
