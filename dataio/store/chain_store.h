// Reading a chain store: the folder that `sequela ingest` writes (dataio/CHAIN_FORMAT.md).
// A store is opened once, validated, and then read without HDF5 (mapped at H5Dget_offset, or read
// through H5Dread where mapping is impossible). Safe for concurrent reads.
//
// A subject's chain, in order:
//   static tokens   (kind static; time INT64_MIN, except MEDS_BIRTH, which has its real time)
//   timed tokens    (for each distinct time stamp: a gap token at the new time -- except before the
//                   first stamp -- then the tokens of its events)
//   [END]           at the subject's last time: the record ends here (censoring), unless death
//   ended it
// BOS and age tokens are not stored: the loader puts them at the head of every window, since age is
// that of the window's start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/missing_values.h"
#include "dataio/base/split.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

inline constexpr std::uint32_t kNoCode = 0xFFFFFFFFU;

// One row of codes.json, in the order of /chain/code.
struct CodeEntry {
  std::string code{};
  std::string description{};  // empty where the source has none
  std::vector<std::string> parent_codes{};
  std::int64_t train_events = 0;
  std::int64_t train_subjects = 0;
  // The token that an event of this code without a usable value becomes ([UNK] at the worst).
  std::int32_t token = 0;
};

// A view of one subject's chain; valid as long as its store. All spans have the same length.
class ChainView {
 public:
  std::int64_t subject_id = 0;
  Split split = Split::kTrain;
  std::int64_t size() const { return static_cast<std::int64_t>(time_us.size()); }
  std::int32_t token(std::int64_t i) const {
    return tokens16 != nullptr ? static_cast<std::int32_t>(tokens16[i])
                               : static_cast<std::int32_t>(tokens32[i]);
  }
  const std::uint16_t* tokens16 = nullptr;  // exactly one of the two is set (where size() > 0)
  const std::uint32_t* tokens32 = nullptr;
  std::span<const std::int64_t> time_us;  // microseconds since 1970
  std::span<const std::uint32_t> code;    // index into ChainStore::codes(), or kNoCode
  std::span<const float> value;           // NaN where there is none
  // The events' stay ids, kNoStay where there is none; empty in a store without stays.
  std::span<const std::int64_t> stay;
};

class ChainStore {
 public:
  // Opens and validates structure (files, versions, sizes, offsets, CRCs of all but the chains;
  // those of the chains where the store has at most 1 GiB, else only with Verify, verify.h). Throws
  // InputError naming file, dataset, what was found and expected.
  static ChainStore Open(const std::filesystem::path& folder);
  ChainStore(ChainStore&&) noexcept;
  ChainStore& operator=(ChainStore&&) noexcept;
  ~ChainStore();

  const std::filesystem::path& folder() const;
  const Vocabulary& vocabulary() const;
  const std::vector<CodeEntry>& codes() const;
  const std::string& manifest_json() const;  // manifest.json as it lies on the disk
  // The "simulation" object of the manifest (as JSON text) where the source was simulated.
  std::optional<std::string> simulation_json() const;
  std::string content_hash() const;  // of all datasets' CRCs: names this store's content

  std::int64_t num_subjects() const;  // over all shards, in shard order
  std::int64_t num_tokens() const;
  ChainView chain(std::int64_t subject_index) const;  // 0 <= subject_index < num_subjects()
  // The same chain for readers that look its numbers up in tables: throws InputError where a token
  // is outside of the vocabulary or a code outside of codes().
  ChainView checked_chain(std::int64_t subject_index) const;
  std::int64_t chain_length(std::int64_t subject_index) const;
  Split split(std::int64_t subject_index) const;
  std::optional<std::int64_t> FindSubject(std::int64_t subject_id) const;  // its index
  // Whether the store kept the records' texts (ingest --text), and those of a subject's events (its
  // tokens with a code, in order); empty for none. The first call of a shard counts its events.
  // REQUIRES: has_texts(). Throws InputError where the store is damaged.
  bool has_texts() const;
  std::vector<std::string_view> texts(std::int64_t subject_index) const;

 private:
  struct Impl;
  explicit ChainStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Facts about a chain's head that the loader, inspect and the oracle share.
struct ChainHead {
  std::int64_t static_end = 0;           // tokens [0, static_end) are static
  std::optional<std::int64_t> birth_us;  // time of MEDS_BIRTH where recorded
};
ChainHead HeadOf(const Vocabulary& vocabulary, const ChainView& chain);

// Whether a token in a chain's timed part is a target of the objective: kinds gap, code and value,
// and [UNK], which is an event like any other. Never static facts or [END] (censoring: records
// without death simply stop).
inline bool IsTarget(const TokenEntry& entry) {
  return entry.kind == TokenKind::kGap || entry.kind == TokenKind::kCode ||
         entry.kind == TokenKind::kValue ||
         (entry.kind == TokenKind::kSpecial && entry.text == kUnknownText);
}

}  // namespace sequela
