// CRC-32C (Castagnoli; RFC 3720, appendix B.4), the checksum of every file of ours.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sequela {

// The CRC of `size` bytes that follow bytes whose CRC is `crc` (0 for none before). Uses the
// processor's instruction where it has one. Safe for concurrent use.
std::uint32_t ExtendCrc32c(std::uint32_t crc, const void* data, std::size_t size);

inline std::uint32_t Crc32c(const void* data, std::size_t size) {
  return ExtendCrc32c(0, data, size);
}

}  // namespace sequela
