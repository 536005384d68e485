// Owned memory for tensors: aligned to a page at least, from 2 MiB on to 2 MiB with advice for huge
// pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace sequela {

// Movable, not copyable. The contents start as zeros. One thread at a time, like any memory.
class Buffer {
 public:
  Buffer() = default;
  // Throws MachineError naming the size where the machine has not enough memory. `huge_pages`
  // false: for memory of which only scattered parts are ever touched (untouched pages cost
  // nothing).
  explicit Buffer(std::int64_t size_bytes, bool huge_pages = true);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // The memory that a buffer of this size takes once all of it was touched, where the machine gives
  // huge pages.
  static std::int64_t FootprintBytes(std::int64_t size_bytes);

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
  std::byte* data_ = nullptr;  // within the mapping
  std::int64_t size_bytes_ = 0;
  void* mapping_ = nullptr;
  std::int64_t mapped_bytes_ = 0;
};

}  // namespace sequela
