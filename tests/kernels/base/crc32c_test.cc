// ctest: labels=sanitize
#include "kernels/base/crc32c.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

namespace sequela {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint32_t CrcOf(const Bytes& bytes) { return Crc32c(bytes.data(), bytes.size()); }

// RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
TEST(Crc32cTest, GivesTheValuesOfRfc3720) {
  EXPECT_EQ(CrcOf(Bytes(32, 0x00)), 0x8a9136aaU);
  EXPECT_EQ(CrcOf(Bytes(32, 0xff)), 0x62a8ab43U);
  Bytes ascending(32);
  std::iota(ascending.begin(), ascending.end(), std::uint8_t{0});
  EXPECT_EQ(CrcOf(ascending), 0x46dd794eU);
  EXPECT_EQ(CrcOf(Bytes(ascending.rbegin(), ascending.rend())), 0x113fdb5cU);
  // An iSCSI SCSI Read (10) command: 48 bytes, all others 0.
  Bytes read_command(48);
  read_command[0] = 0x01;
  read_command[1] = 0xc0;
  read_command[16] = 0x14;
  read_command[22] = 0x04;
  read_command[27] = 0x14;
  read_command[31] = 0x18;
  read_command[32] = 0x28;
  read_command[40] = 0x02;
  EXPECT_EQ(CrcOf(read_command), 0xd9963a56U);
  constexpr std::string_view kDigits = "123456789";
  EXPECT_EQ(Crc32c(kDigits.data(), kDigits.size()), 0xe3069283U);
  EXPECT_EQ(Crc32c(nullptr, 0), 0U);
}

// One bit at a time, from the polynomial alone.
std::uint32_t BitwiseCrc(const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = 0xffffffffU;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

TEST(Crc32cTest, AnyLengthAndAlignmentAndAnyCutGiveTheSame) {
  Bytes bytes(300);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(i * i + 7 * i);
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; size < 70; ++size) {
      const std::uint8_t* data = bytes.data() + begin;
      const std::uint32_t expected = BitwiseCrc(data, size);
      ASSERT_EQ(Crc32c(data, size), expected);
      const std::size_t cut = size / 3;
      ASSERT_EQ(ExtendCrc32c(Crc32c(data, cut), data + cut, size - cut), expected);
    }
  }
}

}  // namespace
}  // namespace sequela
