// A safetensors file. An input is the header's text, a byte of value 0 and the data; the header's size
// is put before it. An input that begins with 'r' is a whole file (raw) behind that byte instead.
#include "runtime/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/base/check.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {
namespace {

std::string FileOf(std::string_view input) {
  if (input.starts_with('r')) return std::string(input.substr(1));
  const std::size_t end = std::min(input.find('\0'), input.size());
  const std::uint64_t size = end;
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  file.append(input.substr(0, end));
  if (end < input.size()) file.append(input.substr(end + 1));
  return file;
}

}  // namespace

void ReadSafetensors(std::string_view input) {
  const SafetensorsFile file(FileInMemory(FileOf(input)));
  std::uint32_t sum = 0;
  for (const SafetensorsEntry& entry : file.entries()) {
    for (const std::byte byte : entry.bytes) sum += std::to_integer<std::uint32_t>(byte);
    SEQUELA_CHECK(file.Find(entry.name) == &entry);
    std::vector<float> values;
    constexpr std::array<std::string_view, 4> kNumbers = {"F32", "BF16", "F16", "F64"};
    const bool is_number = std::ranges::find(kNumbers, entry.type) != kNumbers.end();
    if (is_number && entry.num_elements() <= 1 << 16) {
      values.resize(static_cast<std::size_t>(entry.num_elements()));
      file.ReadFloats(entry.name, entry.shape, values);
    }
  }
  SEQUELA_CHECK(sum != 1 || !file.entries().empty());  // the bytes were read
  file.RequireFinite();
}

}  // namespace sequela::testing
