// Owned memory of a device for tensors: on the CPU aligned to a page at least, from 2 MiB on to
// 2 MiB with advice for huge pages; on a GPU to 256 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "runtime/device.h"

namespace sequela {

// Movable, not copyable. The contents start as zeros. One thread at a time, like any memory.
class Buffer {
 public:
  Buffer() = default;
  // Throws MachineError naming the size where the device has not enough memory. `device` is
  // borrowed. On a GPU the host cannot read or write the memory: Device::Copy does.
  explicit Buffer(std::int64_t size_bytes, Device& device = HostDevice());
  // Memory of the host that the device's copies reach without waiting.
  static Buffer Pinned(std::int64_t size_bytes, Device& device);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::int64_t size_bytes() const { return size_bytes_; }
  std::span<std::byte> bytes() { return {data_, static_cast<std::size_t>(size_bytes_)}; }
  std::span<const std::byte> bytes() const {
    return {data_, static_cast<std::size_t>(size_bytes_)};
  }
  // The memory as elements of T; what does not fill an element is left out.
  template <typename T>
  std::span<T> As() {
    return {reinterpret_cast<T*>(data_), static_cast<std::size_t>(size_bytes_) / sizeof(T)};
  }
  template <typename T>
  std::span<const T> As() const {
    return {reinterpret_cast<const T*>(data_), static_cast<std::size_t>(size_bytes_) / sizeof(T)};
  }

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_bytes_ = 0;
  Device* device_ = nullptr;
  bool pinned_ = false;
};

}  // namespace sequela
