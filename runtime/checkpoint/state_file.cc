#include "runtime/checkpoint/state_file.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <system_error>

#include "kernels/base/atomic_file.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
// Keeps the order of keys: the CRC is taken of the text without it.
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "sequela checkpoint";
constexpr int kVersion = 1;
constexpr const char* kCrc = "crc32c";
constexpr std::string_view kPrefix = "step-";

Json ParametersToJson(const std::vector<ParameterPiece>& parameters) {
  Json list = Json::array();
  for (const ParameterPiece& piece : parameters) {
    list.push_back({{"name", piece.name},
                    {"rows", piece.rows},
                    {"columns", piece.columns},
                    {"num_dims", piece.num_dims},
                    {"offset", piece.offset}});
  }
  return list;
}

Json FilesToJson(const std::vector<WrittenFile>& files) {
  Json list = Json::array();
  for (const WrittenFile& file : files) {
    list.push_back({{"name", file.name}, {"size_bytes", file.size_bytes}, {kCrc, file.crc32c}});
  }
  return list;
}

CheckpointState FromJson(const Json& json) {
  CheckpointState state;
  json.at("step").get_to(state.step);
  json.at("best_step").get_to(state.best_step);
  json.at("num_updates").get_to(state.num_updates);
  json.at("world_size").get_to(state.world_size);
  json.at("zero_stage").get_to(state.zero_stage);
  json.at("compute_dtype").get_to(state.compute_dtype);
  json.at("num_elements").get_to(state.num_elements);
  for (const Json& piece : json.at("parameters")) {
    state.parameters.push_back({.name = piece.at("name"),
                                .rows = piece.at("rows"),
                                .columns = piece.at("columns"),
                                .num_dims = piece.at("num_dims"),
                                .offset = piece.at("offset")});
  }
  for (const Json& file : json.at("files")) {
    state.files.push_back({file.at("name"), file.at("size_bytes"), file.at(kCrc)});
  }
  state.trainer_state = json.at("trainer").dump();
  return state;
}

std::uint32_t CrcOfText(const std::string& text) { return Crc32c(text.data(), text.size()); }

std::uint32_t CrcOfFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> chunk(std::size_t{1} << 20);
  std::uint32_t crc = 0;
  while (file) {
    file.read(chunk.data(), std::ssize(chunk));
    crc = ExtendCrc32c(crc, chunk.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof()) throw InputError("{}: cannot be read", path.string());
  return crc;
}

std::optional<std::int64_t> StepOfName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* const end = name.data() + name.size();
  std::int64_t step = 0;
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return step;
}

}  // namespace

std::string StateToJson(const CheckpointState& state) {
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"step", state.step},
               {"best_step", state.best_step},
               {"num_updates", state.num_updates},
               {"world_size", state.world_size},
               {"zero_stage", state.zero_stage},
               {"compute_dtype", state.compute_dtype},
               {"num_elements", state.num_elements},
               {"parameters", ParametersToJson(state.parameters)},
               {"files", FilesToJson(state.files)},
               {"trainer", Json::parse(state.trainer_state)}};
  json[kCrc] = CrcOfText(json.dump());
  return json.dump(1) + "\n";
}

CheckpointState ReadState(const fs::path& checkpoint_folder) {
  const fs::path path = checkpoint_folder / kStateFile;
  const std::string text = ReadFile(path);
  try {
    Json json = Json::parse(text);
    if (json.at("format") != kFormat) throw InputError("{}: not a checkpoint's", path.string());
    if (json.at("version") != kVersion) {
      throw InputError("{}: format version {}; this program reads version {}", path.string(),
                       json.at("version").dump(), kVersion);
    }
    const std::uint32_t crc = json.at(kCrc);
    json.erase(kCrc);
    if (CrcOfText(json.dump()) != crc) {
      throw InputError("{}: its contents do not match its CRC-32C: it is damaged", path.string());
    }
    return FromJson(json);
  } catch (const Json::exception& error) {
    throw InputError("{}: is damaged: {}", path.string(), error.what());
  }
}

void CheckFiles(const fs::path& checkpoint_folder, std::span<const WrittenFile> files) {
  for (const WrittenFile& file : files) {
    const fs::path path = checkpoint_folder / file.name;
    std::error_code error;
    const std::uintmax_t size = fs::file_size(path, error);
    if (error) throw InputError("{}: {}", path.string(), error.message());
    if (size != static_cast<std::uintmax_t>(file.size_bytes)) {
      throw InputError("{}: has {} bytes; {} lists {}", path.string(), size, kStateFile,
                       file.size_bytes);
    }
    const std::uint32_t crc = CrcOfFile(path);
    if (crc != file.crc32c) {
      throw InputError("{}: its CRC-32C is {:08x}; {} lists {:08x}: the file is damaged",
                       path.string(), crc, kStateFile, file.crc32c);
    }
  }
}

bool IsCheckpointName(std::string_view name) { return StepOfName(name).has_value(); }

std::vector<std::pair<std::int64_t, fs::path>> ListCheckpoints(const fs::path& folder) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto step = StepOfName(entry.path().filename().string());
    if (step && entry.is_directory(error)) found.emplace_back(*step, entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

}  // namespace sequela
