#include "trainer/training/metrics/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

[[noreturn]] void Fail(const std::filesystem::path& file, const char* verb) {
  throw MachineError("{}: cannot {}: {}", file.string(), verb, std::strerror(errno));
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path file, std::int64_t keep_bytes)
    : file_(std::move(file)) {
  descriptor_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor_ < 0 && errno == ELOOP) {
    throw InputError(
        "{}: a link, and links in a run folder are not followed for writing. Remove it, or put the "
        "file itself there",
        file_.string());
  }
  if (descriptor_ < 0) Fail(file_, "open");
  if (::ftruncate(descriptor_, keep_bytes) != 0) Fail(file_, "shorten");
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::Append(std::string_view record) {
  while (!record.empty()) {
    const ssize_t written = ::write(descriptor_, record.data(), record.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Fail(file_, "write");
    record.remove_prefix(static_cast<std::size_t>(written));
  }
}

void AppendFile::Sync() {
  if (::fdatasync(descriptor_) != 0) Fail(file_, "sync");
}

}  // namespace sequela
