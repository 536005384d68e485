// The memory spaces: what may be touched, what has been written, and who touched it last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sequela::ptx {

enum class Space : std::uint8_t { kGeneric, kGlobal, kConst, kShared, kLocal, kParam };

// Generic addresses: global ones are the host's own; the other spaces lie where no host has memory.
inline constexpr std::uint64_t kSharedWindow = 0x7100'0000'0000'0000U;
inline constexpr std::uint64_t kLocalWindow = 0x7200'0000'0000'0000U;
inline constexpr std::uint64_t kParamWindow = 0x7300'0000'0000'0000U;
inline constexpr std::uint64_t kWindowMask = 0xff00'0000'0000'0000U;

// The last accesses to a cell of 1, 2 or 4 bytes (races.h).
struct Cell {
  std::uint64_t write = 0;
  std::uint64_t read = 0;
};

inline constexpr std::size_t kPageBytes = 1024;

// Part of a region. What it holds counts for the launch (or block) whose stamp it bears.
struct Page {
  std::uint64_t stamp = 0;
  int cell_shift = 2;  // a cell's bytes, as a power of two
  std::vector<Cell> cells;
  bool kept = false;  // `original` holds what stood here before the launch wrote
  std::vector<std::byte> original;
  std::vector<std::uint8_t> original_valid;
};

// Memory that is one thing: an allocation, or the shared memory of a block.
struct Region {
  std::byte* begin = nullptr;
  std::size_t bytes = 0;
  bool read_only = false;
  std::vector<std::uint8_t> valid;  // by byte: 1 where written; empty: all of it is
  std::vector<Page> pages;

  Region(std::byte* memory, std::size_t size, bool initialised);
  // An offset from the beginning of the first page; pages lie at multiples of kPageBytes.
  std::size_t PageOffset(std::size_t offset) const {
    return offset + (reinterpret_cast<std::uintptr_t>(begin) % kPageBytes);
  }
  bool Valid(std::size_t offset, std::size_t size) const {
    for (std::size_t i = 0; i < size; ++i) {
      if (valid[offset + i] == 0) return false;
    }
    return true;
  }
};

// All registered memory.
class GlobalMemory {
 public:
  void Add(void* begin, std::size_t bytes, bool initialised, bool read_only = false);
  void Remove(void* begin);
  // The region that holds the byte at `address`; null where there is none.
  Region* Find(std::uint64_t address) {
    if (last_ != nullptr &&
        address - reinterpret_cast<std::uintptr_t>(last_->begin) < last_->bytes) {
      return last_;
    }
    return Search(address);
  }
  // "12 bytes beyond the end of an allocation of 64 bytes": where an address lies.
  std::string Describe(std::uint64_t address) const;

 private:
  Region* Search(std::uint64_t address);

  std::map<std::uintptr_t, std::unique_ptr<Region>> regions_;
  Region* last_ = nullptr;
};

GlobalMemory& Memory();

}  // namespace sequela::ptx
