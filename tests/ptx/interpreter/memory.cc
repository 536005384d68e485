#include "tests/ptx/interpreter/memory.h"

#include "kernels/base/check.h"

namespace sequela::ptx {

Region::Region(std::byte* memory, std::size_t size, bool initialised)
    : begin(memory),
      bytes(size),
      valid(initialised ? 0 : size, 0),
      pages((PageOffset(size) + kPageBytes - 1) / kPageBytes) {}

void GlobalMemory::Add(void* begin, std::size_t bytes, bool initialised, bool read_only) {
  if (bytes == 0) return;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const auto after = regions_.lower_bound(address);
  const bool clear_above = after == regions_.end() || after->first >= address + bytes;
  const bool clear_below = after == regions_.begin() ||
                           std::prev(after)->first + std::prev(after)->second->bytes <= address;
  SEQUELA_CHECK(clear_above && clear_below, "{} bytes at {} overlap registered memory", bytes,
                begin);
  auto region = std::make_unique<Region>(static_cast<std::byte*>(begin), bytes, initialised);
  region->read_only = read_only;
  regions_.emplace(address, std::move(region));
}

void GlobalMemory::Remove(void* begin) {
  last_ = nullptr;
  regions_.erase(reinterpret_cast<std::uintptr_t>(begin));
}

Region* GlobalMemory::Search(std::uint64_t address) {
  const auto after = regions_.upper_bound(address);
  if (after == regions_.begin()) return nullptr;
  Region* region = std::prev(after)->second.get();
  if (address - reinterpret_cast<std::uintptr_t>(region->begin) >= region->bytes) return nullptr;
  last_ = region;
  return region;
}

std::string GlobalMemory::Describe(std::uint64_t address) const {
  const auto after = regions_.upper_bound(address);
  if (after != regions_.begin()) {
    const Region& below = *std::prev(after)->second;
    const std::uint64_t end = std::prev(after)->first + below.bytes;
    if (address >= end && address - end < (1U << 20)) {
      return fmt::format("{} bytes beyond the end of an allocation of {} bytes", address - end,
                         below.bytes);
    }
  }
  if (after != regions_.end() && after->first - address < (1U << 20)) {
    return fmt::format("{} bytes before an allocation of {} bytes", after->first - address,
                       after->second->bytes);
  }
  return "far from every allocation";
}

GlobalMemory& Memory() {
  static GlobalMemory memory;
  return memory;
}

}  // namespace sequela::ptx
