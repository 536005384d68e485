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
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
// Keeps the order of keys: the CRC comes last.
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "sequela checkpoint";
constexpr int kVersion = 1;
constexpr const char* kCrc = "crc32c";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kOptimizerPrefix = "optimizer-rank-";

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

constexpr std::int64_t kMost = std::int64_t{1} << 60;  // of steps, elements, bytes

ParameterPiece PieceFrom(const JsonField& json) {
  return {.name = json["name"].String(),
          .rows = json["rows"].Integer(0, kMost),
          .columns = json["columns"].Integer(0, kMost),
          .num_dims = static_cast<int>(json["num_dims"].Integer(1, 2)),
          .offset = json["offset"].Integer(0, kMost)};
}

WrittenFile FileFrom(const JsonField& json) {
  WrittenFile file{json["name"].String(), json["size_bytes"].Integer(0, kMost),
                   static_cast<std::uint32_t>(json[kCrc].Integer(0, UINT32_MAX))};
  if (file.name.empty() || fs::path(file.name).filename() != file.name) {
    json["name"].Refuse("the name of a file of this folder");
  }
  return file;
}

CheckpointState StateFrom(const JsonField& json) {
  constexpr std::int64_t kMostRanks = 1'000'000;
  CheckpointState state;
  state.step = json["step"].Integer(0, kMost);
  state.best_step = json["best_step"].Integer(-1, kMost);
  state.num_updates = json["num_updates"].Integer(0, kMost);
  state.world_size = static_cast<int>(json["world_size"].Integer(1, kMostRanks));
  state.zero_stage = static_cast<int>(json["zero_stage"].Integer(0, 2));
  state.compute_dtype = json["compute_dtype"].String();
  state.num_elements = json["num_elements"].Integer(0, kMost);
  const JsonField parameters = json["parameters"];
  for (std::size_t i = 0; i < parameters.ArraySize(); ++i) {
    state.parameters.push_back(PieceFrom(parameters[i]));
  }
  const JsonField files = json["files"];
  for (std::size_t i = 0; i < files.ArraySize(); ++i) state.files.push_back(FileFrom(files[i]));
  state.trainer_state = json["trainer"].Object().dump();
  return state;
}

// Without the spaces and line ends between JSON's parts.
std::string Compacted(std::string_view json) {
  std::string compact;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (!in_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
    compact += c;
    if (in_string && c == '\\' && i + 1 < json.size()) compact += json[++i];
    if (c == '"') in_string = !in_string;
  }
  return compact;
}

// The text that the CRC is taken of: compact, without its last member, the CRC itself. Empty where
// the last member is another.
std::string TextOfCrc(std::string_view json, std::uint32_t crc) {
  std::string compact = Compacted(json);
  const std::string last = fmt::format(",\"{}\":{}}}", kCrc, crc);
  if (!compact.ends_with(last)) return "";
  compact.resize(compact.size() - last.size());
  return compact + "}";
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
               {"trainer", ParseJsonText<Json>(state.trainer_state, kStateFile)}};
  json[kCrc] = CrcOfText(json.dump());
  return json.dump(1) + "\n";
}

CheckpointState ReadState(const fs::path& checkpoint_folder) {
  const fs::path path = checkpoint_folder / kStateFile;
  const std::string name = path.string();
  const std::string text = ReadFile(path);
  const nlohmann::json document = ParseJsonText(text, path);
  const JsonField json(document, name);
  if (json["format"].String() != kFormat) json["format"].Refuse(kFormat);
  if (json["version"].Integer(0, INT32_MAX) != kVersion) {
    json["version"].Refuse(fmt::format("{}, the format that this program reads", kVersion));
  }
  const auto crc = static_cast<std::uint32_t>(json[kCrc].Integer(0, UINT32_MAX));
  if (CrcOfText(TextOfCrc(text, crc)) != crc) {
    throw InputError("{}: its contents do not match its CRC-32C: it is damaged", name);
  }
  return StateFrom(json);
}

std::string OptimizerFileName(int rank, int world_size) {
  return fmt::format("{}{:05}-of-{:05}.safetensors", kOptimizerPrefix, rank, world_size);
}

bool IsOptimizerFile(std::string_view name) { return name.starts_with(kOptimizerPrefix); }

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
