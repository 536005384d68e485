// Plain data as bytes and back, for what ranks exchange.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "dataio/base/counting_map.h"
#include "kernels/base/check.h"

namespace sequela {

class ByteWriter {
 public:
  template <typename T>
  void Put(const T& value) requires(std::is_trivially_copyable_v<T>) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  template <typename T>
  void Put(const std::vector<T>& values) {
    Put<std::uint64_t>(values.size());
    if constexpr (std::is_trivially_copyable_v<T>) {
      bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    } else {
      for (const T& value : values) Put(value);
    }
  }
  void Put(const std::string& text) {
    Put<std::uint64_t>(text.size());
    bytes_ += text;
  }
  void Put(const CountingMap& map) {
    const auto entries = map.Sorted();
    Put<std::uint64_t>(entries.size());
    for (const auto& [key, count] : entries) {
      Put(key);
      Put(count);
    }
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  void Get(T& value) requires(std::is_trivially_copyable_v<T>) {
    Copy(&value, sizeof(T));
  }
  template <typename T>
  void Get(std::vector<T>& values) {
    std::uint64_t count = 0;
    Get(count);
    values.resize(count);
    if constexpr (std::is_trivially_copyable_v<T>) {
      Copy(values.data(), count * sizeof(T));
    } else {
      for (T& value : values) Get(value);
    }
  }
  void Get(std::string& text) {
    std::uint64_t size = 0;
    Get(size);
    text.resize(size);
    Copy(text.data(), size);
  }
  void AddTo(CountingMap& map) {
    std::uint64_t count = 0;
    Get(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t key = 0;
      std::uint64_t number = 0;
      Get(key);
      Get(number);
      map.Add(key, number);
    }
  }

 private:
  void Copy(void* to, std::size_t size) {
    SEQUELA_CHECK(size <= rest_.size());
    if (size > 0) std::memcpy(to, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  std::string_view rest_;
};

}  // namespace sequela
