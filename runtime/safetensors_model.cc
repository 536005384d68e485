// A model's tensors over one file or several (safetensors.h).
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "runtime/safetensors.h"

namespace sequela {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

[[noreturn]] void Refuse(const std::filesystem::path& path, const std::string& what) {
  throw InputError("{}: {}", path.string(), what);
}

}  // namespace

SafetensorsModel::SafetensorsModel(const std::filesystem::path& folder) {
  Open(folder, PathExists(folder / kSingleFile), PathExists(folder / kIndexFile));
}

SafetensorsModel::SafetensorsModel(const std::filesystem::path& folder,
                                   std::span<const std::string> file_names) {
  const auto has = [&](const char* name) { return std::ranges::count(file_names, name) > 0; };
  Open(folder, has(kSingleFile), has(kIndexFile));
  for (const std::unique_ptr<SafetensorsFile>& file : files_) {
    const std::string name = file->path().filename().string();
    if (std::ranges::count(file_names, name) == 0) {
      Refuse(folder,
             fmt::format("{} names {}, which is no file of this checkpoint", kIndexFile, name));
    }
  }
}

void SafetensorsModel::Open(const std::filesystem::path& folder, bool has_single, bool has_index) {
  if (has_single) {
    Add(folder / kSingleFile);
  } else if (has_index) {
    AddIndexed(folder, folder / kIndexFile);
  } else {
    Refuse(folder, fmt::format("holds neither {} nor {}", kSingleFile, kIndexFile));
  }
}

void SafetensorsModel::AddIndexed(const std::filesystem::path& folder,
                                  const std::filesystem::path& index) {
  const std::string place = index.string();
  const nlohmann::json json = ReadJsonFile(index);
  std::map<std::string, std::string> wanted;
  const JsonField weight_map = JsonField(json, place)["weight_map"];
  for (const auto& [tensor, file] : weight_map.Object().items()) {
    wanted[tensor] = JsonField(file, place).String();
  }
  if (wanted.empty()) Refuse(index, "names no tensor");
  std::set<std::string> files;
  for (const auto& [tensor, file] : wanted) files.insert(file);
  for (const std::string& file : files) {
    if (file.empty() || std::filesystem::path(file).filename() != file) {
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

void SafetensorsModel::RequireFinite() const {
  for (const std::unique_ptr<SafetensorsFile>& file : files_) file->RequireFinite();
}

}  // namespace sequela
