// Reading and writing safetensors files: 8 bytes of header size (little endian), a JSON header,
// then the tensors' bytes. https://github.com/huggingface/safetensors#format. F32, BF16, F16 and F64
// are read as numbers, F32, BF16, I32 and I64 are written; a tensor of any other type may be there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"

namespace sequela {

// "F32", "BF16", "I32", "I64".
std::string_view SafetensorsName(DType dtype);

struct SafetensorsEntry {
  std::string name;
  std::optional<DType> dtype = DType::kFloat32;  // none: a type that only ReadFloats may know
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // row-major, little endian; may be unaligned
  std::string type{};                // as in the file: "F16"; not read where the entry is written

  std::int64_t num_elements() const;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

// A mapped file. Entries are views into the mapping and live as long as the reader. Safe for
// concurrent reading.
class SafetensorsFile {
 public:
  // Throws InputError naming the file and what is wrong with it: missing, shorter than its header
  // says, a header that is no JSON of this form, shape and offsets that disagree, tensors that
  // overlap, leave a hole or lie outside the file.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const SafetensorsMetadata& metadata() const { return metadata_; }
  // Null where there is none.
  const SafetensorsEntry* Find(std::string_view name) const;
  // The entry as fp32 (converted from BF16, F16, F64). Throws InputError where the name is missing,
  // the shape differs from `shape`, the type is another, or a value is no finite number.
  void ReadFloats(std::string_view name, std::span<const std::int64_t> shape,
                  std::span<float> out) const;
  // Throws InputError naming the first tensor (F32, BF16, F16 or F64) that holds a value which is no
  // finite number.
  void RequireFinite() const;

 private:
  void Parse();
  void Unmap();

  std::filesystem::path path_;
  std::span<const std::byte> mapping_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  SafetensorsMetadata metadata_;
};

// A model's tensors over one file, or several with an index, as Hugging Face names them:
// "model.safetensors", or "model.safetensors.index.json" naming "model-0000i-of-0000n.safetensors".
class SafetensorsModel {
 public:
  // `folder` holds the files. Throws InputError as SafetensorsFile does, and for an index that
  // names a file or tensor that is not there.
  explicit SafetensorsModel(const std::filesystem::path& folder);
  // The same of a folder that says itself which files it holds: no other file is opened.
  SafetensorsModel(const std::filesystem::path& folder, std::span<const std::string> file_names);

  // As SafetensorsFile's, over all files.
  void RequireFinite() const;
  bool Has(std::string_view name) const { return file_of_.contains(name); }
  std::vector<std::string> names() const;
  const SafetensorsEntry& Get(std::string_view name) const;
  void ReadFloats(std::string_view name, std::span<const std::int64_t> shape,
                  std::span<float> out) const;

 private:
  void Open(const std::filesystem::path& folder, bool has_single, bool has_index);
  void AddIndexed(const std::filesystem::path& folder, const std::filesystem::path& index);
  void Add(const std::filesystem::path& path);
  const SafetensorsFile& FileOf(std::string_view name) const;

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::size_t, std::less<>> file_of_;
};

}  // namespace sequela
