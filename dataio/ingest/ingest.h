// MEDS Parquet to a chain store: the work of `sequela ingest`. Four passes: rows into partitions of
// subjects; each partition sorted, repaired and counted; the vocabulary fitted on train; chains
// encoded and written. Memory is bounded by the options whatever the size of the data; the store is
// the same, byte for byte, for any number of workers and ranks, any memory bound and any order of
// the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dataio/ingest/ingest_settings.h"
#include "dataio/ingest/ranks.h"

namespace sequela {

struct IngestOptions {
  // What decides the result.
  std::filesystem::path source;
  std::filesystem::path out;
  IngestSettings settings;
  std::optional<std::filesystem::path> vocabulary;   // a STORE or RUN: nothing is fitted
  std::optional<std::filesystem::path> splits_file;  // at most one of splits_file and folds
  int folds = 0;
  int fold = 0;
  std::optional<std::filesystem::path> keep_codes_file;   // a code a line
  std::optional<std::filesystem::path> exclude_subjects;  // a subject_id a line
  bool keep_text = false;                                 // /text/bytes, /text/offset
  std::int64_t shard_bytes = 512LL << 20;
  // What decides only how fast.
  std::int64_t memory_bytes = 1LL << 30;
  int workers = 1;
  int partitions = 0;  // 0: as many as the memory asks for
  Ranks ranks;
  // phase, done, total; from any thread; may be empty.
  std::function<void(const char* phase, std::int64_t done, std::int64_t total)> progress;
  // For the log, a sentence at a time (an interrupted work that is taken over); from the calling
  // thread of the first rank; may be empty.
  std::function<void(const std::string&)> note;
};

struct IngestReport {
  struct Line {
    std::string key;   // for JSON
    std::string text;  // for people
    std::int64_t count = 0;
  };
  // Train, tuning, held_out.
  std::int64_t subjects[3] = {};
  std::int64_t events[3] = {};
  std::int64_t tokens[3] = {};
  std::int64_t total_subjects() const { return subjects[0] + subjects[1] + subjects[2]; }
  std::int64_t total_events() const { return events[0] + events[1] + events[2]; }
  std::int64_t total_tokens() const { return tokens[0] + tokens[1] + tokens[2]; }

  std::int64_t num_codes = 0;
  std::int32_t vocabulary_size = 0;
  std::int64_t vocabulary_kinds[6] = {};  // tokens by TokenKind
  int min_subjects = 0;
  // Events by what they became: their own code's token, a value bin, a text result, a fallback,
  // [UNK].
  std::int64_t as_code = 0, as_value = 0, as_text = 0, as_static = 0;
  std::int64_t as_parent = 0, as_truncation = 0, as_prefix = 0, as_unknown = 0;
  double unknown_fraction = 0.0;  // of events
  double held_out_unknown_fraction = 0.0;
  std::int64_t kept_texts = 0;  // keep_text: events with a text, and their texts' bytes
  std::int64_t kept_text_bytes = 0;

  std::vector<Line> dropped;
  std::vector<Line> warnings;
  std::vector<Line> notes;
  std::vector<std::string> date_only_codes;
  std::vector<std::string> unused_columns;
  // Kept codes, patterns of the settings and excluded subjects (their number) that are in no row.
  std::vector<std::string> unmatched;
  std::vector<std::string> skipped;  // below data/ and not read: "path: reason"
  // --vocabulary: codes whose share of the events differs most from its train split's, at most 20.
  struct Drift {
    std::string code;
    double share_then = 0.0;  // 0: unknown there
    double share_now = 0.0;
  };
  std::vector<Drift> drift;

  int shards = 0;
  std::int64_t store_bytes = 0;
  double seconds = 0.0;
  std::int64_t peak_memory_bytes = 0;
  std::string vocabulary_hash;
};

// Throws InputError (docs/meds-violations.md, an existing output) and MachineError (disk full).
// Nothing is left under the output's name, then. With several ranks all call it alike; each gets
// the report.
IngestReport Ingest(const IngestOptions& options);

}  // namespace sequela
