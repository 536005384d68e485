#include "runtime/buffer.h"

#include "kernels/base/check.h"

namespace sequela {

Buffer::Buffer(std::int64_t size_bytes, Device& device)
    : size_bytes_(size_bytes), device_(&device) {
  SEQUELA_CHECK(size_bytes >= 0, "{}", size_bytes);
  if (size_bytes > 0) data_ = device.Allocate(size_bytes);
}

Buffer Buffer::Pinned(std::int64_t size_bytes, Device& device) {
  Buffer buffer(0, device);
  SEQUELA_CHECK(size_bytes >= 0, "{}", size_bytes);
  if (size_bytes > 0) buffer.data_ = device.AllocatePinned(size_bytes);
  buffer.size_bytes_ = size_bytes;
  buffer.pinned_ = true;
  return buffer;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  if (pinned_) {
    device_->FreePinned(data_, size_bytes_);
  } else {
    device_->Free(data_, size_bytes_);
  }
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(device_, other.device_);
  std::swap(pinned_, other.pinned_);
  return *this;
}

}  // namespace sequela
