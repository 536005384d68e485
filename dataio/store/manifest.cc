#include "dataio/store/manifest.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "kernels/base/check.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kSplits = {Split::kTrain, Split::kTuning, Split::kHeldOut};
constexpr std::int64_t kMaxCount = std::int64_t{1} << 48;
constexpr std::size_t kMaxShards = 99999;

std::string Hex(std::uint32_t crc) { return fmt::format("{:08x}", crc); }

std::uint32_t ParseHex(const JsonField& field) {
  const std::string& text = field.String();
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 8 || error != std::errc() || end != text.data() + 8) {
    field.Refuse("a CRC-32C as eight hex digits");
  }
  return value;
}

Json SplitsToJson(const std::array<ShardCounts, 3>& by_split) {
  Json json = Json::object();
  for (const Split split : kSplits) {
    const ShardCounts& counts = by_split[static_cast<std::size_t>(split)];
    json[std::string(NameOf(split))] = {{"subjects", counts.subjects}, {"tokens", counts.tokens}};
  }
  return json;
}

Json SummaryToJson(const ShardSummary& shard) {
  Json datasets = Json::object();
  for (const auto& [path, crc] : shard.crcs) datasets[path] = Hex(crc);
  Json json = {{"file", shard.file_name},
               {"subjects", shard.counts.subjects},
               {"tokens", shard.counts.tokens},
               {"splits", SplitsToJson(shard.by_split)},
               {"bytes", shard.file_bytes},
               {"crc32c", Hex(shard.file_crc32c)},
               {"datasets_crc32c", datasets},
               {"chain_extents", shard.chain_extents},
               {"structure_crc32c", Hex(shard.structure_crc32c)}};
  if (shard.extras.stays) json["stays"] = true;
  if (shard.extras.texts) {
    json["texts"] = {{"events", shard.extras.events}, {"bytes", shard.extras.text_bytes}};
  }
  return json;
}

ShardCounts ParseCounts(const JsonField& field) {
  return {field["subjects"].Integer(0, kMaxCount), field["tokens"].Integer(0, kMaxCount)};
}

std::array<ShardCounts, 3> ParseSplits(const JsonField& field) {
  std::array<ShardCounts, 3> by_split;
  for (const Split split : kSplits) {
    by_split[static_cast<std::size_t>(split)] =
        ParseCounts(field[std::string(NameOf(split)).c_str()]);
  }
  return by_split;
}

ShardCounts Sum(const std::array<ShardCounts, 3>& by_split) {
  ShardCounts sum;
  for (const ShardCounts& counts : by_split) {
    sum.subjects += counts.subjects;
    sum.tokens += counts.tokens;
  }
  return sum;
}

bool Equal(const ShardCounts& a, const ShardCounts& b) {
  return a.subjects == b.subjects && a.tokens == b.tokens;
}

void ParseExtents(const JsonField& extents, ShardSummary* shard) {
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < extents.ArraySize(); ++i) {
    const auto number = [&](std::size_t k) {
      return static_cast<std::uint64_t>(extents[i][k].Integer(0, INT64_MAX));
    };
    const std::uint64_t offset = number(0);
    const std::uint64_t bytes = number(1);
    if (offset < end || offset > shard->file_bytes || bytes > shard->file_bytes - offset) {
      extents[i].Refuse("an offset and a size, ascending and within the file");
    }
    shard->chain_extents.emplace_back(offset, bytes);
    end = offset + bytes;
  }
}

ShardSummary ParseSummary(const JsonField& field) {
  ShardSummary shard;
  shard.file_name = field["file"].String();
  shard.counts = ParseCounts(field);
  shard.by_split = ParseSplits(field["splits"]);
  if (!Equal(Sum(shard.by_split), shard.counts)) {
    field["splits"].Refuse("counts that add up to those of the shard");
  }
  shard.file_bytes = static_cast<std::uint64_t>(field["bytes"].Integer(0, INT64_MAX));
  shard.file_crc32c = ParseHex(field["crc32c"]);
  if (field.Has("stays")) shard.extras.stays = field["stays"].Bool();
  if (field.Has("texts")) {
    shard.extras.texts = true;
    shard.extras.events = field["texts"]["events"].Integer(0, shard.counts.tokens);
    shard.extras.text_bytes = field["texts"]["bytes"].Integer(0, kMaxCount);
  }
  const JsonField datasets = field["datasets_crc32c"];
  for (std::size_t i = 0; i < kDatasetPaths.size(); ++i) {
    if (!HasDataset(i, shard.extras)) continue;
    const std::string key(kDatasetPaths[i]);
    shard.crcs.emplace_back(key, ParseHex(datasets[key.c_str()]));
  }
  ParseExtents(field["chain_extents"], &shard);
  shard.structure_crc32c = ParseHex(field["structure_crc32c"]);
  return shard;
}

void RefuseOtherFormat(const JsonField& root) {
  if (root["format"].String() != kStoreFormat) root["format"].Refuse("\"sequela.chain_store\"");
  if (!root["format_version"].String().starts_with(kStoreMajorPrefix)) {
    root["format_version"].Refuse(fmt::format(
        "version {}x, the only one that this program knows: use the sequela that wrote the store, "
        "or ingest again",
        kStoreMajorPrefix));
  }
}

constexpr std::string_view kDigestKey = "manifest_crc32c";
constexpr std::string_view kNoDigest = "00000000";

// Where the digits of the digest lie; npos where there is none. It is the last key, so that no text
// before it can be taken for it.
std::size_t PlaceOfDigest(std::string_view text) {
  const std::string key = fmt::format("\"{}\": \"", kDigestKey);
  const std::size_t place = text.rfind(key);
  if (place == std::string_view::npos) return place;
  const std::size_t digits = place + key.size();
  return text.size() - digits < kNoDigest.size() ? std::string_view::npos : digits;
}

bool MustHaveDigest(std::string_view version) { return version != "1.0" && version != "1.1"; }

// Every byte of the file counts, white space included. Returns whether there is a digest.
bool CheckDigest(const JsonField& root, std::string_view text, const std::string& file) {
  const std::string key(kDigestKey);
  if (!root.Has(key.c_str()) && !MustHaveDigest(root["format_version"].String())) return false;
  const std::string& found = root[key.c_str()].String();
  const std::size_t place = PlaceOfDigest(text);
  const std::string whole =
      place == std::string_view::npos ? std::string() : WithDigest(std::string(text));
  if (whole != text) {
    throw InputError(
        "{}: found other bytes than those with the checksum {} at its {}. The file is damaged "
        "or was changed: copy it again, or ingest again.",
        file, found, key);
  }
  return true;
}

void ParseFiles(const JsonField& files, Manifest* manifest) {
  for (const char* name : {"codes.json", "vocabulary.json"}) {
    const JsonField file = files[name];
    manifest->files.push_back({name,
                               static_cast<std::uint64_t>(file["bytes"].Integer(0, INT64_MAX)),
                               ParseHex(file["crc32c"])});
  }
}

void ParseShards(const JsonField& shards, Manifest* manifest) {
  const std::size_t count = shards.ArraySize();
  if (count == 0 || count > kMaxShards) shards.Refuse("1 to 99999 shards");
  for (std::size_t i = 0; i < count; ++i) {
    manifest->shards.push_back(ParseSummary(shards[i]));
    const std::string name = ShardFileName(static_cast<int>(i), static_cast<int>(count));
    if (manifest->shards.back().file_name != name) {
      shards[i]["file"].Refuse(fmt::format("\"{}\"", name));
    }
  }
}

void RefuseContradictions(const JsonField& root, const Manifest& manifest) {
  for (std::size_t i = 0; i < manifest.shards.size(); ++i) {
    if (manifest.shards[i].extras.stays != manifest.has_stays() ||
        manifest.shards[i].extras.texts != manifest.has_texts()) {
      root["shards"][i].Refuse("stays and texts in all shards or in none");
    }
  }
  if (!Equal(ParseCounts(root), manifest.Total())) {
    root["subjects"].Refuse(fmt::format("the sum over shards, {} subjects and {} tokens",
                                        manifest.Total().subjects, manifest.Total().tokens));
  }
  const std::array<ShardCounts, 3> by_split = ParseSplits(root["splits"]);
  for (const Split split : kSplits) {
    if (!Equal(by_split[static_cast<std::size_t>(split)], manifest.TotalOf(split))) {
      root["splits"].Refuse("the sums over shards");
    }
  }
  if (root["token_dtype"].String() != TokenTypeName(manifest.vocabulary_size)) {
    root["token_dtype"].Refuse(fmt::format("\"{}\"", TokenTypeName(manifest.vocabulary_size)));
  }
  if (manifest.content_hash != ContentHash(manifest)) {
    root["content_hash"].Refuse(
        fmt::format("\"{}\", that of its checksums", ContentHash(manifest)));
  }
}

}  // namespace

bool HasDataset(std::size_t dataset, const ShardExtras& extras) {
  if (dataset < 7) return true;
  return dataset == 7 ? extras.stays : extras.texts;
}

ShardCounts Manifest::Total() const {
  ShardCounts sum;
  for (const ShardSummary& shard : shards) {
    sum.subjects += shard.counts.subjects;
    sum.tokens += shard.counts.tokens;
  }
  return sum;
}

ShardCounts Manifest::TotalOf(Split split) const {
  ShardCounts sum;
  for (const ShardSummary& shard : shards) {
    sum.subjects += shard.by_split[static_cast<std::size_t>(split)].subjects;
    sum.tokens += shard.by_split[static_cast<std::size_t>(split)].tokens;
  }
  return sum;
}

std::uint32_t CrcOf(const ShardSummary& summary, std::size_t index) {
  for (const auto& [path, crc] : summary.crcs) {
    if (path == kDatasetPaths[index]) return crc;
  }
  SEQUELA_CHECK(false, "no checksum of {}", kDatasetPaths[index]);
}

std::string_view TokenTypeName(std::int32_t vocabulary_size) {
  return vocabulary_size <= 65536 ? "uint16" : "uint32";
}

std::string ContentHash(const Manifest& manifest) {
  std::string all = manifest.vocabulary_hash;
  for (const Manifest::File& file : manifest.files) {
    all += fmt::format(";{}:{:08x}", file.name, file.crc32c);
  }
  for (const ShardSummary& shard : manifest.shards) {
    for (const auto& [path, crc] : shard.crcs) {
      all += fmt::format(";{}{}:{:08x}", shard.file_name, path, crc);
    }
  }
  return fmt::format("{:016x}", MixBits(HashName(all)));
}

std::string ToJson(const Manifest& manifest) {
  Json files = Json::object();
  for (const Manifest::File& file : manifest.files) {
    files[file.name] = {{"bytes", file.bytes}, {"crc32c", Hex(file.crc32c)}};
  }
  Json shards = Json::array();
  for (const ShardSummary& shard : manifest.shards) shards.push_back(SummaryToJson(shard));
  std::array<ShardCounts, 3> by_split;
  for (const Split split : kSplits) {
    by_split[static_cast<std::size_t>(split)] = manifest.TotalOf(split);
  }
  Json json = {{"format", kStoreFormat},
               {"format_version", kStoreVersion},
               {"writer_version", SEQUELA_VERSION},
               {"subjects", manifest.Total().subjects},
               {"tokens", manifest.Total().tokens},
               {"splits", SplitsToJson(by_split)},
               {"token_dtype", TokenTypeName(manifest.vocabulary_size)},
               {"vocabulary_size", manifest.vocabulary_size},
               {"vocabulary_hash", manifest.vocabulary_hash},
               {"content_hash", ContentHash(manifest)},
               {"files", files},
               {"shards", shards},
               {"tokenization", ParseJsonText<Json>(manifest.tokenization_json, "tokenization")},
               {"source", ParseJsonText<Json>(manifest.source_json, "source")}};
  if (manifest.simulation_json)
    json["simulation"] = ParseJsonText<Json>(*manifest.simulation_json, "simulation");
  json[std::string(kDigestKey)] = kNoDigest;
  return WithDigest(json.dump(1) + "\n");
}

std::string WithDigest(std::string json) {
  const std::size_t place = PlaceOfDigest(json);
  SEQUELA_CHECK(place != std::string::npos);
  json.replace(place, kNoDigest.size(), kNoDigest);
  return json.replace(place, kNoDigest.size(), Hex(Crc32c(json.data(), json.size())));
}

Manifest ParseManifest(std::string_view text, const std::filesystem::path& file) {
  const nlohmann::json document = ParseJsonText(text, file);
  const std::string name = file.string();
  const JsonField root(document, name);
  RefuseOtherFormat(root);
  Manifest manifest;
  manifest.vocabulary_size =
      static_cast<std::int32_t>(root["vocabulary_size"].Integer(3, std::int64_t{1} << 24));
  manifest.vocabulary_hash = root["vocabulary_hash"].String();
  manifest.content_hash = root["content_hash"].String();
  ParseFiles(root["files"], &manifest);
  ParseShards(root["shards"], &manifest);
  manifest.tokenization_json = root["tokenization"].Object().dump();
  manifest.source_json = root["source"].Object().dump();
  if (root.Has("simulation")) manifest.simulation_json = root["simulation"].Object().dump();
  RefuseContradictions(root, manifest);
  manifest.has_digest = CheckDigest(root, text, name);
  return manifest;
}

std::string ShardFileName(int index, int count) {
  return fmt::format("shard-{:05}-of-{:05}.h5", index, count);
}

std::string ToJson(const ShardSummary& summary) { return SummaryToJson(summary).dump(); }

ShardSummary ShardSummaryFromJson(std::string_view json) {
  const nlohmann::json document = ParseJsonText(json, "shard summary");
  return ParseSummary(JsonField(document, "shard summary"));
}

}  // namespace sequela
