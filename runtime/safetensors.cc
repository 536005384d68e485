#include "runtime/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "kernels/base/atomic_file.h"
#include "kernels/base/bf16.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"

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
    Refuse(path, fmt::format("tensor {}: found {} where a count was expected", name, value.dump()));
  }
  return value.get<std::uint64_t>();
}

DType ParseDType(const Json& value, const std::filesystem::path& path, const std::string& name) {
  for (const DTypeName& known : kDTypes) {
    if (value == known.name) return known.dtype;
  }
  Refuse(path, fmt::format("tensor {}: dtype {} is not one that is read here (F32, BF16, I32, I64)",
                           name, value.dump()));
}

HeaderEntry ParseEntry(const std::string& name, const Json& fields,
                       const std::filesystem::path& path) {
  if (!fields.is_object() || fields.size() != 3 || !fields.contains("dtype") ||
      !fields.contains("shape") || !fields.contains("data_offsets") ||
      !fields["shape"].is_array() || !fields["data_offsets"].is_array() ||
      fields["data_offsets"].size() != 2) {
    Refuse(path,
           fmt::format("tensor {}: expected {{dtype, shape, data_offsets: [begin, end]}}", name));
  }
  HeaderEntry parsed;
  parsed.entry.name = name;
  parsed.entry.dtype = ParseDType(fields["dtype"], path, name);
  auto bytes = static_cast<std::uint64_t>(SizeOf(parsed.entry.dtype));
  for (const Json& dimension : fields["shape"]) {
    const std::uint64_t length = Unsigned(dimension, path, name);
    if (length > std::numeric_limits<std::int64_t>::max() ||
        __builtin_mul_overflow(bytes, length, &bytes)) {
      Refuse(path, fmt::format("tensor {}: shape {} is too large", name, fields["shape"].dump()));
    }
    parsed.entry.shape.push_back(static_cast<std::int64_t>(length));
  }
  parsed.begin = Unsigned(fields["data_offsets"][0], path, name);
  parsed.end = Unsigned(fields["data_offsets"][1], path, name);
  if (parsed.begin > parsed.end || parsed.end - parsed.begin != bytes) {
    Refuse(path, fmt::format("tensor {}: data_offsets {} do not fit shape {} of {}", name,
                             fields["data_offsets"].dump(), fields["shape"].dump(),
                             fields["dtype"].dump()));
  }
  return parsed;
}

// The header as JSON, without names that come twice.
Json ParseHeader(std::string_view text, const std::filesystem::path& path) {
  std::vector<std::string> keys;  // of the outermost object
  const auto note_key = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 8) Refuse(path, "the header is no safetensors header: it is nested too deep");
    if (depth == 1 && event == Json::parse_event_t::key) keys.push_back(parsed);
    return true;
  };
  Json header;
  try {
    header = Json::parse(text, note_key);
  } catch (const Json::exception& error) {
    Refuse(path, fmt::format("the header is no JSON: {}", error.what()));
  }
  if (!header.is_object()) Refuse(path, "the header is no JSON object");
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) Refuse(path, fmt::format("tensor {} comes twice", *twice));
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
  if (entry->dtype == DType::kFloat32) {
    std::memcpy(out.data(), entry->bytes.data(), entry->bytes.size());
  } else if (entry->dtype == DType::kBFloat16) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      bf16 value;
      std::memcpy(&value, entry->bytes.data() + i * sizeof(value), sizeof(value));
      out[i] = ToFloat(value);
    }
  } else {
    Refuse(path_, fmt::format("tensor {} is {}; expected F32 or BF16", name,
                              SafetensorsName(entry->dtype)));
  }
}

SafetensorsModel::SafetensorsModel(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(single)) {
    Add(single);
    return;
  }
  if (!std::filesystem::exists(index)) {
    Refuse(folder, "holds neither model.safetensors nor model.safetensors.index.json");
  }
  std::map<std::string, std::string> wanted;
  try {
    wanted =
        Json::parse(ReadFile(index)).at("weight_map").get<std::map<std::string, std::string>>();
  } catch (const Json::exception& error) {
    Refuse(index, fmt::format("is no index of safetensors files: {}", error.what()));
  }
  std::vector<std::string> files;
  for (const auto& [tensor, file] : wanted) files.push_back(file);
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  for (const std::string& file : files) {
    if (std::filesystem::path(file).filename() != file) {
      Refuse(index, fmt::format("names the file {}, which does not lie beside it", file));
    }
    Add(folder / file);
  }
  for (const auto& [tensor, file] : wanted) {
    if (!Has(tensor)) Refuse(index, fmt::format("tensor {} is not in {}", tensor, file));
  }
}

void SafetensorsModel::Add(const std::filesystem::path& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  for (const SafetensorsEntry& entry : files_.back()->entries()) {
    if (!file_of_.emplace(entry.name, files_.size() - 1).second) {
      Refuse(path, fmt::format("tensor {} lies in two files", entry.name));
    }
  }
}

std::vector<std::string> SafetensorsModel::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : file_of_) names.push_back(name);
  return names;
}

const SafetensorsFile& SafetensorsModel::FileOf(std::string_view name) const {
  const auto found = file_of_.find(name);
  // The first file says that it has no such tensor.
  return *files_[found == file_of_.end() ? 0 : found->second];
}

const SafetensorsEntry& SafetensorsModel::Get(std::string_view name) const {
  const SafetensorsFile& file = FileOf(name);
  const SafetensorsEntry* entry = file.Find(name);
  if (entry == nullptr) Refuse(file.path(), fmt::format("has no tensor {}", name));
  return *entry;
}

void SafetensorsModel::ReadFloats(std::string_view name, std::span<const std::int64_t> shape,
                                  std::span<float> out) const {
  FileOf(name).ReadFloats(name, shape, out);
}

}  // namespace sequela
