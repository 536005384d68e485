#include "runtime/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "kernels/base/bf16.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kSizeBytes = 8;
// As in the reference implementation: no real header comes near, a hostile one must not take the
// memory.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct DTypeName {
  DType dtype;
  std::string_view name;
};
constexpr DTypeName kDTypes[] = {{DType::kFloat32, "F32"},
                                 {DType::kBFloat16, "BF16"},
                                 {DType::kInt32, "I32"},
                                 {DType::kInt64, "I64"}};

// Every type of the format whose elements are whole bytes. A tensor of another (newer) type may
// take any number of bytes.
struct TypeSize {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr TypeSize kTypeSizes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},     {"I32", 4},
    {"F32", 4},  {"U64", 8}, {"I64", 8}, {"F64", 8},     {"C64", 8}};

[[noreturn]] void Refuse(const std::filesystem::path& path, const std::string& what) {
  throw InputError("{}: {}", path.string(), what);
}

std::span<const std::byte> MapFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Refuse(path, std::generic_category().message(errno));
  struct stat status {};
  const bool regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(regular ? status.st_size : 0);
  void* memory = size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  ::close(fd);
  if (memory == MAP_FAILED) {
    Refuse(path, regular && size == 0 ? "is empty; a safetensors file begins with its header"
                                      : "cannot be mapped as a file");
  }
  return {static_cast<const std::byte*>(memory), size};
}

// What the header says of one tensor, each field checked by itself.
struct HeaderEntry {
  SafetensorsEntry entry;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

std::uint64_t Unsigned(const Json& value, const std::filesystem::path& path,
                       const std::string& name) {
  if (!value.is_number_unsigned()) {
    Refuse(path, fmt::format("tensor {}: found a {} where a count was expected", name,
                             value.type_name()));
  }
  return value.get<std::uint64_t>();
}

// The product of the shape times `element_bytes`.
std::uint64_t ParseShape(const Json& shape, std::uint64_t element_bytes, HeaderEntry& parsed,
                         const std::filesystem::path& path) {
  std::uint64_t bytes = element_bytes;
  for (const Json& dimension : shape) {
    const std::uint64_t length = Unsigned(dimension, path, parsed.entry.name);
    if (length > std::numeric_limits<std::int64_t>::max() ||
        __builtin_mul_overflow(bytes, length, &bytes)) {
      Refuse(path, fmt::format("tensor {}: its shape is too large", parsed.entry.name));
    }
    parsed.entry.shape.push_back(static_cast<std::int64_t>(length));
  }
  return bytes;
}

HeaderEntry ParseEntry(const std::string& name, const Json& fields,
                       const std::filesystem::path& path) {
  if (!fields.is_object() || fields.size() != 3 || !fields.contains("dtype") ||
      !fields.contains("shape") || !fields.contains("data_offsets") ||
      !fields["dtype"].is_string() || !fields["shape"].is_array() ||
      !fields["data_offsets"].is_array() || fields["data_offsets"].size() != 2) {
    Refuse(path,
           fmt::format("tensor {}: expected {{dtype, shape, data_offsets: [begin, end]}}", name));
  }
  HeaderEntry parsed;
  parsed.entry.name = name;
  parsed.entry.type = fields["dtype"].get<std::string>();
  parsed.entry.dtype = std::nullopt;
  for (const DTypeName& known : kDTypes) {
    if (parsed.entry.type == known.name) parsed.entry.dtype = known.dtype;
  }
  const auto* const size = std::ranges::find(kTypeSizes, parsed.entry.type, &TypeSize::name);
  const bool is_sized = size != std::end(kTypeSizes);
  const std::uint64_t bytes = ParseShape(fields["shape"], is_sized ? size->bytes : 1, parsed, path);
  parsed.begin = Unsigned(fields["data_offsets"][0], path, name);
  parsed.end = Unsigned(fields["data_offsets"][1], path, name);
  if (parsed.begin > parsed.end || (is_sized && parsed.end - parsed.begin != bytes)) {
    Refuse(path, fmt::format("tensor {}: data_offsets [{}, {}] do not fit shape [{}] of {}", name,
                             parsed.begin, parsed.end, fmt::join(parsed.entry.shape, ", "),
                             parsed.entry.type));
  }
  return parsed;
}

// The header as JSON, without names that come twice.
Json ParseHeader(std::string_view text, const std::filesystem::path& path) {
  constexpr int kMaxDepth = 8;
  Json header = ParseJsonText(text, path, kMaxDepth);
  if (!header.is_object()) Refuse(path, "the header is no JSON object");
  if (header.size() != OutlineJson(text).root_members) Refuse(path, "a tensor's name comes twice");
  return header;
}

// Tensors tile the data without gaps or overlaps (the format demands it).
void CheckTiling(std::vector<HeaderEntry>& entries, std::uint64_t data_bytes,
                 const std::filesystem::path& path) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const HeaderEntry& parsed : entries) {
    if (parsed.begin != at) {
      Refuse(path, fmt::format("tensor {} begins at byte {} of the data; expected {} (tensors must "
                               "follow each other without gaps or overlaps)",
                               parsed.entry.name, parsed.begin, at));
    }
    at = parsed.end;
  }
  if (at != data_bytes) {
    Refuse(path, fmt::format("holds {} bytes of data; its header speaks of {} (the file is {})",
                             data_bytes, at, data_bytes < at ? "truncated" : "too long"));
  }
}

SafetensorsMetadata ParseMetadata(const Json& value, const std::filesystem::path& path) {
  SafetensorsMetadata metadata;
  if (!value.is_object()) Refuse(path, "__metadata__ is no object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) Refuse(path, fmt::format("__metadata__: {} is no text", key));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

template <typename T, typename F>
void ConvertEach(std::span<const std::byte> bytes, std::span<float> out, F to_float) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    out[i] = to_float(value);
  }
}

// IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits.
float HalfToFloat(std::uint16_t half) {
  const int exponent = (half >> 10) & 0x1F;
  const int fraction = half & 0x3FF;
  float magnitude = std::ldexp(static_cast<float>(exponent == 0 ? fraction : fraction + 0x400),
                               std::max(exponent, 1) - 25);
  if (exponent == 0x1F) {
    magnitude = fraction == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// False where the type is not one of floating-point numbers that are read.
bool Convert(const SafetensorsEntry& entry, std::span<float> out) {
  if (entry.type == "F32") {
    if (!out.empty()) std::memcpy(out.data(), entry.bytes.data(), entry.bytes.size());
  } else if (entry.type == "BF16") {
    ConvertEach<bf16>(entry.bytes, out, [](bf16 value) { return ToFloat(value); });
  } else if (entry.type == "F16") {
    ConvertEach<std::uint16_t>(entry.bytes, out, HalfToFloat);
  } else if (entry.type == "F64") {
    ConvertEach<double>(entry.bytes, out, [](double value) { return static_cast<float>(value); });
  } else {
    return false;
  }
  return true;
}

// Elements all of whose exponent bits are set: NaN or infinite.
template <typename Bits>
std::int64_t CountSet(std::span<const std::byte> bytes, Bits exponent) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i, sizeof(bits));
    count += (bits & exponent) == exponent ? 1 : 0;
  }
  return count;
}

// 0 where the type is none of floating-point numbers that are read.
std::int64_t CountStrange(const SafetensorsEntry& entry) {
  if (entry.type == "F32") return CountSet<std::uint32_t>(entry.bytes, 0x7F800000);
  if (entry.type == "BF16") return CountSet<std::uint16_t>(entry.bytes, 0x7F80);
  if (entry.type == "F16") return CountSet<std::uint16_t>(entry.bytes, 0x7C00);
  if (entry.type == "F64") return CountSet<std::uint64_t>(entry.bytes, 0x7FF0000000000000);
  return 0;
}

void RefuseStrange(const std::filesystem::path& path, const SafetensorsEntry& entry,
                   std::int64_t strange) {
  if (strange == 0) return;
  Refuse(path, fmt::format("tensor {}: {} of its {} values are no finite numbers (NaN or "
                           "infinite): these weights cannot be used",
                           entry.name, strange, entry.num_elements()));
}

}  // namespace

std::string_view SafetensorsName(DType dtype) {
  for (const DTypeName& known : kDTypes) {
    if (known.dtype == dtype) return known.name;
  }
  SEQUELA_CHECK(false);
}

std::int64_t SafetensorsEntry::num_elements() const {
  std::int64_t product = 1;
  for (const std::int64_t length : shape) product *= length;
  return product;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), mapping_(MapFile(path)) {
  try {
    Parse();
  } catch (...) {
    Unmap();
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() { Unmap(); }

void SafetensorsFile::Unmap() {
  ::munmap(const_cast<std::byte*>(mapping_.data()), mapping_.size());
}

void SafetensorsFile::Parse() {
  std::uint64_t header_bytes = 0;
  if (mapping_.size() < kSizeBytes) {
    Refuse(path_, fmt::format("has {} bytes; a safetensors file has at least 8", mapping_.size()));
  }
  std::memcpy(&header_bytes, mapping_.data(), kSizeBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > mapping_.size() - kSizeBytes) {
    Refuse(path_,
           fmt::format("its first 8 bytes announce a header of {} bytes; the file has {} (it is "
                       "truncated, or no safetensors file)",
                       header_bytes, mapping_.size()));
  }
  const Json header = ParseHeader({reinterpret_cast<const char*>(mapping_.data()) + kSizeBytes,
                                   static_cast<std::size_t>(header_bytes)},
                                  path_);
  const std::span<const std::byte> data = mapping_.subspan(kSizeBytes + header_bytes);
  std::vector<HeaderEntry> parsed;
  for (const auto& [name, fields] : header.items()) {
    if (name == "__metadata__") {
      metadata_ = ParseMetadata(fields, path_);
    } else {
      parsed.push_back(ParseEntry(name, fields, path_));
    }
  }
  CheckTiling(parsed, data.size(), path_);
  for (HeaderEntry& entry : parsed) {
    entry.entry.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    by_name_[entry.entry.name] = entries_.size();
    entries_.push_back(std::move(entry.entry));
  }
}

const SafetensorsEntry* SafetensorsFile::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

void SafetensorsFile::ReadFloats(std::string_view name, std::span<const std::int64_t> shape,
                                 std::span<float> out) const {
  const SafetensorsEntry* entry = Find(name);
  if (entry == nullptr) Refuse(path_, fmt::format("has no tensor {}", name));
  if (!std::ranges::equal(entry->shape, shape)) {
    Refuse(path_, fmt::format("tensor {} has the shape [{}]; expected [{}]", name,
                              fmt::join(entry->shape, ", "), fmt::join(shape, ", ")));
  }
  SEQUELA_CHECK(std::ssize(out) == entry->num_elements(), "{}", name);
  if (!Convert(*entry, out)) {
    Refuse(path_,
           fmt::format("tensor {} is {}; expected F32, BF16, F16 or F64", name, entry->type));
  }
  RefuseStrange(path_, *entry,
                std::ranges::count_if(out, [](float value) { return !std::isfinite(value); }));
}

void SafetensorsFile::RequireFinite() const {
  for (const SafetensorsEntry& entry : entries_) RefuseStrange(path_, entry, CountStrange(entry));
}

}  // namespace sequela
