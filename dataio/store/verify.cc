#include "dataio/store/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <unordered_set>

#include "dataio/base/mapped_file.h"
#include "dataio/base/utf8.h"
#include "dataio/store/chain_store.h"
#include "dataio/store/manifest.h"
#include "dataio/store/shard.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/child_process.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

constexpr std::string_view kMend = "copy it again, or ingest again";

void CheckDatasetChecksums(const Shard& shard, const ShardSummary& summary) {
  for (std::size_t column = 0; column < kDatasetPaths.size(); ++column) {
    if (!HasDataset(column, shard.extras())) continue;
    const std::span<const std::byte> bytes = shard.Bytes(column);
    const std::uint32_t found = Crc32c(bytes.data(), bytes.size());
    const std::uint32_t expected = CrcOf(summary, column);
    if (found != expected) {
      throw InputError("{}: {}: found CRC-32C {:08x}, expected {:08x}. The file is damaged: {}.",
                       shard.file().string(), kDatasetPaths[column], found, expected, kMend);
    }
  }
}

// Whole files, so that no byte of a shard goes unseen.
void CheckFileChecksum(const std::filesystem::path& folder, const Manifest& manifest,
                       std::size_t index) {
  const ShardSummary& summary = manifest.shards[index];
  const std::filesystem::path file = folder / summary.file_name;
  std::error_code error;
  const bool whole = std::filesystem::file_size(file, error) == summary.file_bytes && !error;
  if (whole && FileCrc32c(file) == summary.file_crc32c) return;
  // Something is wrong: let the reader say what, as exactly as it can.
  CheckDatasetChecksums(Shard(folder, manifest, index), summary);
  throw InputError(
      "{}: found another CRC-32C than {:08x} (manifest.json). The file is damaged: {}.",
      file.string(), summary.file_crc32c, kMend);
}

class ChainChecker {
 public:
  ChainChecker(const ChainStore& store, const Shard& shard)
      : vocabulary_(store.vocabulary()), num_codes_(store.codes().size()), shard_(shard) {}

  // `chain` is the shard's subject number `subject`, its first token the shard's number `origin`.
  void Check(const ChainView& chain, std::int64_t subject, std::int64_t origin) {
    chain_ = &chain;
    subject_ = subject;
    origin_ = origin;
    has_time_ = false;
    for (std::int64_t i = 0; i < chain.size(); ++i) {
      CheckRanges(i);
      CheckTime(i);
      CheckPlace(i);
    }
  }
  std::int64_t events() const { return events_; }

  // After all chains: a text for each event, one after another, each of them UTF-8.
  void CheckTexts() const {
    const std::span<const std::uint64_t> offset = shard_.text_offset();
    const std::string_view bytes = shard_.text_bytes();
    const auto refuse = [&](std::size_t i, const std::string& fault) {
      throw InputError(
          "{}: /text/offset[{}]: {}. The store was made by a faulty program or changed afterwards: "
          "ingest again.",
          shard_.file().string(), i, fault);
    };
    if (offset.size() != static_cast<std::size_t>(events_) + 1) {
      refuse(offset.size() - 1,
             fmt::format("found texts of {} events, expected {}", offset.size() - 1, events_));
    }
    for (std::size_t i = 0; i < offset.size(); ++i) {
      const std::uint64_t lowest = i == 0 ? 0 : offset[i - 1];
      if (offset[i] < lowest || offset[i] > bytes.size() || (i == 0 && offset[i] != 0)) {
        refuse(i, fmt::format("found {}, expected {} to {}", offset[i], lowest,
                              i == 0 ? 0 : bytes.size()));
      }
      if (i > 0 && !IsUtf8(bytes.substr(lowest, offset[i] - lowest))) {
        refuse(i - 1, "found a text that is not UTF-8");
      }
    }
    if (offset.back() != bytes.size()) {
      refuse(offset.size() - 1, fmt::format("found {}, expected {}, the size of /text/bytes",
                                            offset.back(), bytes.size()));
    }
  }

 private:
  [[noreturn]] void Refuse(std::string_view dataset, std::int64_t i,
                           const std::string& fault) const {
    throw InputError(
        "{}: {}[{}] (token {} of the shard's subject {}): {}. The store was made by a "
        "faulty program or changed afterwards: ingest again.",
        shard_.file().string(), dataset, origin_ + i, i, subject_, fault);
  }
  const TokenEntry& Entry(std::int64_t i) const { return vocabulary_[chain_->token(i)]; }
  std::int64_t Time(std::int64_t i) const { return chain_->time_us[static_cast<std::size_t>(i)]; }
  bool HasCode(std::int64_t i) const {
    return chain_->code[static_cast<std::size_t>(i)] != kNoCode;
  }

  void CheckRanges(std::int64_t i) {
    if (chain_->token(i) < 0 || chain_->token(i) >= vocabulary_.size()) {
      Refuse(
          "/chain/token", i,
          fmt::format("found {}, expected a token below {}", chain_->token(i), vocabulary_.size()));
    }
    const std::uint32_t code = chain_->code[static_cast<std::size_t>(i)];
    if (code != kNoCode && code >= num_codes_) {
      Refuse("/chain/code", i,
             fmt::format("found {}, expected a code below {} or {}", code, num_codes_, kNoCode));
    }
    events_ += HasCode(i) ? 1 : 0;
    if (!HasCode(i) && !std::isnan(chain_->value[static_cast<std::size_t>(i)])) {
      Refuse("/chain/value", i, "found a value at a token that is no event, expected NaN");
    }
    if (!HasCode(i) && !chain_->stay.empty() &&
        chain_->stay[static_cast<std::size_t>(i)] != kNoStay) {
      Refuse("/chain/stay", i, "found a stay at a token that is no event, expected none");
    }
  }

  // Static tokens first, without a time unless it is birth; then times that never fall and rise
  // only at gap tokens.
  void CheckTime(std::int64_t i) {
    if (Entry(i).kind == TokenKind::kStatic) {
      if (has_time_) Refuse("/chain/token", i, "found a static token after a timed one");
      return;
    }
    if (Time(i) == kStaticTime) {
      Refuse("/chain/time", i, "found no time, expected one: the token is not static");
    }
    const bool is_gap = Entry(i).kind == TokenKind::kGap;
    if (!has_time_ && is_gap) {
      Refuse("/chain/token", i, "found a gap token before the first timed event");
    }
    if (has_time_ && Time(i) < Time(i - 1)) {
      Refuse("/chain/time", i, "found a time before that of the token before");
    }
    if (has_time_ && is_gap && Time(i) == Time(i - 1)) {
      Refuse("/chain/time", i, "found a gap token at the time of the token before");
    }
    if (has_time_ && !is_gap && Time(i) > Time(i - 1) &&
        vocabulary_.GapToken(0) != Vocabulary::kNone) {
      Refuse("/chain/time", i, "found a later time without a gap token before it");
    }
    has_time_ = true;
  }

  // What may stand where.
  void CheckPlace(std::int64_t i) const {
    const TokenEntry& entry = Entry(i);
    if (entry.kind == TokenKind::kAge || chain_->token(i) == vocabulary_.bos()) {
      Refuse("/chain/token", i,
             "found [BOS] or an age token, which only the heads of windows hold");
    }
    if (chain_->token(i) == vocabulary_.end() && i + 1 != chain_->size()) {
      Refuse("/chain/token", i, "found [END] before the end of the chain");
    }
    if (entry.kind == TokenKind::kGap &&
        (HasCode(i) || i + 1 == chain_->size() || !HasCode(i + 1))) {
      Refuse("/chain/token", i, "found a gap token that no event follows");
    }
    if (entry.kind == TokenKind::kValue && !HasCode(i) &&
        (i == 0 || !HasCode(i - 1) || Entry(i - 1).kind == TokenKind::kStatic)) {
      Refuse("/chain/token", i, "found a value token without its event before it");
    }
    const bool begins_event = entry.kind == TokenKind::kCode || entry.kind == TokenKind::kStatic ||
                              chain_->token(i) == vocabulary_.unk();
    if (begins_event && !HasCode(i)) {
      Refuse("/chain/code", i, "found none at a token that begins an event");
    }
  }

  const Vocabulary& vocabulary_;
  std::size_t num_codes_;
  const Shard& shard_;
  const ChainView* chain_ = nullptr;
  std::int64_t subject_ = 0;
  std::int64_t origin_ = 0;
  bool has_time_ = false;  // a timed token stands before this one
  std::int64_t events_ = 0;
};

// Counts by split against the manifest's.
void CheckSplits(const Shard& shard, const ShardSummary& summary) {
  std::array<ShardCounts, 3> found;
  for (std::size_t i = 0; i < shard.subject_split().size(); ++i) {
    ShardCounts& counts = found[shard.subject_split()[i]];
    counts.subjects += 1;
    counts.tokens +=
        static_cast<std::int64_t>(shard.subject_offset()[i + 1] - shard.subject_offset()[i]);
  }
  for (const Split split : {Split::kTrain, Split::kTuning, Split::kHeldOut}) {
    const auto& counts = found[static_cast<std::size_t>(split)];
    const auto& expected = summary.by_split[static_cast<std::size_t>(split)];
    if (counts.subjects != expected.subjects || counts.tokens != expected.tokens) {
      throw InputError(
          "{}: /subject/split: found {} subjects and {} tokens of {}, expected {} and {} "
          "(manifest.json)",
          shard.file().string(), counts.subjects, counts.tokens, NameOf(split), expected.subjects,
          expected.tokens);
    }
  }
}

// A reader that takes all shard-*.h5 of the folder would read it as well.
void RefuseUnlistedShards(const std::filesystem::path& folder, const Manifest& manifest) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("shard-")) continue;
    const bool is_listed =
        std::any_of(manifest.shards.begin(), manifest.shards.end(),
                    [&](const ShardSummary& shard) { return shard.file_name == name; });
    if (!is_listed) {
      throw InputError(
          "{}: not listed in manifest.json, so no part of this store: move it elsewhere.",
          entry->path().string());
    }
  }
  if (error) throw InputError("{}: cannot be listed: {}", folder.string(), error.message());
}

}  // namespace

VerifySummary VerifyStore(const std::filesystem::path& folder,
                          const std::function<void(const std::filesystem::path&)>& opening) {
  const ChainStore store = [&] {
    const std::filesystem::path file = folder / "manifest.json";
    if (PathExists(file)) {
      const Manifest manifest = ParseManifest(ReadFile(file), file);
      RefuseUnlistedShards(folder, manifest);
      for (std::size_t i = 0; i < manifest.shards.size(); ++i) {
        if (opening) opening(folder / manifest.shards[i].file_name);
        CheckFileChecksum(folder, manifest, i);
        const Shard one_alone(folder, manifest, i);
      }
    }
    return ChainStore::Open(folder);
  }();
  const Manifest manifest = ParseManifest(store.manifest_json(), folder / "manifest.json");
  VerifySummary summary;
  summary.has_manifest_digest = manifest.has_digest;
  std::unordered_set<std::int64_t> ids;
  for (std::size_t s = 0; s < manifest.shards.size(); ++s) {
    const Shard shard(folder, manifest, s);
    CheckDatasetChecksums(shard, manifest.shards[s]);
    CheckSplits(shard, manifest.shards[s]);
    ChainChecker checker(store, shard);
    for (std::size_t i = 0; i < shard.subject_id().size(); ++i) {
      if (!ids.insert(shard.subject_id()[i]).second) {
        throw InputError(
            "{}: /subject/id[{}]: found a subject that stands in the store already. "
            "Ingest again.",
            shard.file().string(), i);
      }
      checker.Check(store.chain(summary.subjects), static_cast<std::int64_t>(i),
                    static_cast<std::int64_t>(shard.subject_offset()[i]));
      ++summary.subjects;
    }
    if (manifest.has_texts()) checker.CheckTexts();
    summary.events += checker.events();
    summary.tokens += manifest.shards[s].counts.tokens;
    summary.bytes += manifest.shards[s].file_bytes;
    ++summary.shards;
  }
  return summary;
}

VerifySummary VerifyStoreInChild(const std::filesystem::path& folder) {
  static_assert(std::is_trivially_copyable_v<VerifySummary>);
  const ChildOutcome outcome = RunInChild([&folder](const ChildNotes& note) {
    const VerifySummary summary =
        VerifyStore(folder, [&note](const std::filesystem::path& shard) { note(shard.string()); });
    return std::string(reinterpret_cast<const char*>(&summary), sizeof(summary));
  });
  VerifySummary summary;
  if (outcome.result.size() != sizeof(summary)) {
    throw InputError(
        "{}: the process that read it died ({}). The file is damaged, or made to do harm: use it "
        "in no other program, and {}.",
        outcome.note.empty() ? folder.string() : outcome.note, outcome.death, kMend);
  }
  std::memcpy(&summary, outcome.result.data(), sizeof(summary));
  return summary;
}

}  // namespace sequela
