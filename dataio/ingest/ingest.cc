#include "dataio/ingest/ingest.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "dataio/base/workers.h"
#include "dataio/ingest/event_tokenizer.h"
#include "dataio/ingest/fitting/bin_edges.h"
#include "dataio/ingest/fitting/clean_events.h"
#include "dataio/ingest/fitting/frozen_vocabulary.h"
#include "dataio/ingest/fitting/separate_values.h"
#include "dataio/ingest/fitting/statistics.h"
#include "dataio/ingest/fitting/token_counts.h"
#include "dataio/ingest/fitting/unmatched_names.h"
#include "dataio/ingest/fitting/vocabulary_fit.h"
#include "dataio/ingest/reading/bytes.h"
#include "dataio/ingest/reading/columns.h"
#include "dataio/ingest/reading/partition_files.h"
#include "dataio/ingest/reading/read_events.h"
#include "dataio/ingest/reading/source_files.h"
#include "dataio/ingest/splits.h"
#include "dataio/ingest/writing/report_parts.h"
#include "dataio/ingest/writing/shared_folder.h"
#include "dataio/ingest/writing/write_store.h"
#include "dataio/store/chain_store_writer.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kLeastMemory = 64LL << 20;
constexpr std::int64_t kReaderMemory = 128LL << 20;

class Ingester {
 public:
  explicit Ingester(const IngestOptions& options)
      : options_(options), settings_(options.settings), source_(FindSource(options.source)) {
    CheckOptions();
    if (options.vocabulary) {
      frozen_ = LoadFrozenVocabulary(*options.vocabulary);
      settings_ = frozen_->settings;
      settings_.stay_column = options.settings.stay_column;  // no token depends on it
    }
    columns_ = ColumnsOf(settings_, source_.modifier_columns, options.keep_text);
    columns_.batch_bytes = options.memory_bytes / 8 / options.workers;
    // Each worker's pages, dictionaries and their decompression come on top.
    columns_.memory_bytes = options.memory_bytes + options.workers * kReaderMemory;
    if (options.exclude_subjects) excluded_ = LoadSubjectIds(*options.exclude_subjects);
    if (options.keep_codes_file) kept_codes_ = LoadLines(*options.keep_codes_file);
    FindSplits();
  }

  IngestReport Run() {
    const auto begin = Clock::now();
    const std::int64_t rows = CountRows(source_, columns_);
    if (rows == 0) throw InputError("{}: no events in any file.", options_.source.string());
    SharedFolder folder(options_.out, options_.ranks);
    if (options_.note && !folder.takeover().empty()) options_.note(folder.takeover());
    PartitionFiles partitions(folder.path(), folder.work_name(), ChoosePartitions(rows),
                              options_.ranks.index, options_.ranks.count);
    Read(rows, partitions);
    Clean(partitions);
    FitOrResolve(partitions);
    Write(partitions, folder.path());
    folder.Commit();
    report_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    FinishReport();
    return report_;
  }

 private:
  void CheckOptions() const {
    if (options_.memory_bytes < kLeastMemory) {
      throw InputError("--memory: {} bytes; at least 64MiB are needed.", options_.memory_bytes);
    }
    if (options_.folds != 0 &&
        (options_.folds < 3 || options_.fold < 0 || options_.fold >= options_.folds)) {
      throw InputError("--folds {} --fold {}: give at least 3 folds and 0 <= fold < folds.",
                       options_.folds, options_.fold);
    }
    if (options_.keep_codes_file && options_.vocabulary) {
      throw InputError(
          "--keep-codes and --vocabulary: a fitted vocabulary gets no further tokens; leave one of "
          "the two out.");
    }
    if (options_.folds != 0 && options_.splits_file) {
      throw InputError("--splits and --folds both say how to split; give one of them.");
    }
  }

  void FindSplits() {
    splits_.folds = options_.folds;
    splits_.fold = options_.fold;
    const bool asked = options_.folds > 0 || options_.splits_file.has_value();
    if (options_.splits_file) {
      splits_.given = LoadSplits(*options_.splits_file);
      splits_.given_name = options_.splits_file->string();
    } else if (!asked && source_.splits_file) {
      splits_.given = LoadSplits(*source_.splits_file);
      splits_.given_name = "metadata/subject_splits.parquet";
    }
    splits_.use_folders = !asked && PathsSaySplits(source_, splits_.given.has_value());
  }

  bool HasExtras() const { return options_.keep_text || !columns_.stay.empty(); }

  // So many that every worker may hold a partition in all its forms within half of the memory.
  int ChoosePartitions(std::int64_t rows) const {
    if (options_.partitions > 0) return options_.partitions;
    const std::int64_t bytes =
        rows * static_cast<std::int64_t>(1 + columns_.events.size()) *
        static_cast<std::int64_t>(sizeof(RawEvent) + sizeof(CleanEvent) + 16 +
                                  (HasExtras() ? 3 * sizeof(RowExtra) : 0));
    const std::int64_t per_worker = options_.memory_bytes / 2 / options_.workers;
    const std::int64_t least = rows > 1'000'000 ? 2LL * options_.workers * options_.ranks.count : 1;
    return static_cast<int>(std::clamp<std::int64_t>(CeilDiv(bytes, per_worker), least, 4096));
  }

  void Progress(const char* phase, std::int64_t done, std::int64_t total) const {
    if (options_.progress) options_.progress(phase, done, total);
  }

  // Calls work(worker, partition) for this rank's partitions.
  void ForEachPartition(const PartitionFiles& partitions, const char* phase,
                        const std::function<void(int, int)>& work) const {
    const int mine = partitions.count() - options_.ranks.index;
    const std::int64_t tasks = mine <= 0 ? 0 : CeilDiv(mine, options_.ranks.count);
    std::atomic<std::int64_t> done{0};
    RunTasks(options_.workers, tasks, [&](int worker, std::int64_t task) {
      work(worker, static_cast<int>(task) * options_.ranks.count + options_.ranks.index);
      Progress(phase, ++done, tasks);
    });
  }

  void Read(std::int64_t rows, PartitionFiles& partitions) {
    std::atomic<std::int64_t> done{0};
    const ReadOptions read_options{
        options_.workers,
        options_.memory_bytes,
        settings_.text_results,
        settings_.text_result_max_bytes,
        options_.keep_text,
        excluded_.empty() ? nullptr : &excluded_,
        [&](std::int64_t batch) { Progress("read", done += batch, rows); }};
    read_ = ReadEvents(source_, columns_, read_options, options_.ranks, partitions);
    findings_.Merge(read_.findings);
    rules_ =
        RulesOf(read_.codes, settings_, kept_codes_, read_.timed_events, read_.midnight_events);
    FindUnmatchedNames();
    ReadParents();
  }

  // A fitted vocabulary's patterns were written for other data.
  void FindUnmatchedNames() {
    if (!frozen_) report_.unmatched = UnmatchedNames(read_.codes, settings_, kept_codes_);
    const auto named = static_cast<std::int64_t>(excluded_.size());
    const std::int64_t absent = named - findings_[Finding::kExcludedSubjects];
    if (absent == 0) return;
    report_.unmatched.push_back(
        fmt::format("--exclude-subjects: {} of its {} subject ids", absent, named));
  }

  void ReadParents() {
    parents_.resize(read_.codes.size());
    descriptions_.resize(read_.codes.size());
    if (!source_.codes_file) return;
    std::vector<std::string> joined = columns_.modifiers;
    joined.insert(joined.end(), columns_.code_parts.begin(), columns_.code_parts.end());
    std::int64_t* const without_code = &findings_[Finding::kCodeRowsWithoutCode];
    std::map<std::string, CodeMetadata> known;
    for (CodeMetadata& entry : ReadCodeMetadata(*source_.codes_file, joined, without_code)) {
      const std::string code = entry.code;
      known.try_emplace(code, std::move(entry));
    }
    // What is said of a code holds for it with other columns joined to it, too.
    for (std::size_t code = 0; code < read_.codes.size(); ++code) {
      auto found = known.find(read_.codes[code]);
      if (found == known.end()) found = known.find(read_.plain_codes[code]);
      if (found == known.end()) continue;
      parents_[code] = found->second.parent_codes;
      descriptions_[code] = found->second.description;
    }
  }

  void Clean(PartitionFiles& partitions) {
    const int rare = frozen_ ? 0 : std::max(settings_.min_subjects, 10);
    std::vector<Statistics> per_worker(static_cast<std::size_t>(options_.workers),
                                       Statistics(read_.codes.size(), rare));
    const CleanContext context{settings_, rules_, splits_, source_.files};
    ForEachPartition(partitions, "sort", [&](int worker, int partition) {
      Statistics& statistics = per_worker[static_cast<std::size_t>(worker)];
      std::vector<RawEvent> raw = partitions.TakeRaw(partition);
      for (RawEvent& event : raw) {
        event.code = read_.code_rank[event.reader][event.code];
        if (event.text < kFreeText) event.text = read_.text_rank[event.reader][event.text];
      }
      const CleanPartition clean = CleanEvents(std::move(raw), partitions.TakeExtras(partition),
                                               context, statistics.findings);
      statistics.Add(clean, rules_, settings_);
      partitions.SaveClean(partition, clean);
    });
    Statistics mine(read_.codes.size(), rare);
    for (const Statistics& statistics : per_worker) mine.Merge(statistics);
    per_worker.clear();
    statistics_.emplace(read_.codes.size(), rare);
    for (const std::string& packed : options_.ranks.Exchange(mine.Pack())) {
      statistics_->MergePacked(packed);
    }
    findings_.Merge(statistics_->findings);
    for (int split = 0; split < 3; ++split) {
      report_.subjects[split] = statistics_->totals[split].subjects;
      report_.events[split] = statistics_->totals[split].events;
    }
    RefuseNoSubjects();
    if (report_.subjects[0] == 0 && !frozen_) {
      throw InputError(
          "{}: no subject in the train split, on which the vocabulary is fitted. Give other "
          "splits (--splits, --folds), or a fitted vocabulary (--vocabulary).",
          options_.source.string());
    }
  }

  void RefuseNoSubjects() const {
    if (report_.total_subjects() > 0) return;
    throw InputError(
        "{}: no subject is left: {} have no event with a time (a chain needs one), and {} are "
        "excluded (--exclude-subjects).",
        options_.source.string(), findings_[Finding::kStaticOnlySubjects],
        findings_[Finding::kExcludedSubjects]);
  }

  Tokenizer MakeTokenizer(const Vocabulary& vocabulary) const {
    return {vocabulary, read_.codes, parents_, read_.texts, rules_, settings_};
  }

  void FitOrResolve(PartitionFiles& partitions) {
    if (frozen_) {
      vocabulary_ = frozen_->vocabulary;
      for (std::size_t i = 0; i < parents_.size(); ++i) {
        const auto known = frozen_->parents.find(read_.codes[i]);
        if (parents_[i].empty() && known != frozen_->parents.end()) parents_[i] = known->second;
      }
      return;
    }
    report_.min_subjects = EffectiveMinSubjects(settings_, report_.subjects[0]);
    const FitInput input{read_.codes,  parents_,  read_.texts,         rules_,
                         *statistics_, settings_, report_.min_subjects};
    const auto each = [&](const std::function<void(int, const CleanPartition&)>& use) {
      ForEachPartition(partitions, "count", [&](int worker, int partition) {
        use(worker, partitions.LoadClean(partition));
      });
    };
    const auto edges =
        FitAllBinEdges(input, options_.workers, options_.memory_bytes, options_.ranks, each);
    const std::vector<TokenEntry> draft = DraftTokens(input, edges);
    const Vocabulary draft_vocabulary(draft);
    const Tokenizer tokenizer = MakeTokenizer(draft_vocabulary);
    std::vector<TokenCounter> counters(static_cast<std::size_t>(options_.workers),
                                       TokenCounter(draft.size()));
    each([&](int worker, const CleanPartition& partition) {
      counters[static_cast<std::size_t>(worker)].Count(partition, tokenizer);
    });
    std::vector<TokenUse> use = MergeCounts(counters, options_.ranks);
    std::vector<TokenEntry> tokens = FinalTokens(input, draft, use);
    if (settings_.value_tokens == IngestSettings::ValueTokens::kSeparate) {
      tokens = SeparateValues(tokens);
    }
    vocabulary_ = Vocabulary(std::move(tokens));
  }

  void Write(PartitionFiles& partitions, const fs::path& folder) {
    const Tokenizer tokenizer = MakeTokenizer(vocabulary_);
    const StoreContent content = WriteShards(
        {partitions, tokenizer, vocabulary_, folder, options_.shard_bytes, !columns_.stay.empty(),
         options_.keep_text, options_.workers, options_.ranks,
         [&](std::int64_t done, std::int64_t total) { Progress("write", done, total); }});
    findings_[Finding::kStaticFactsWithoutToken] += content.facts_without_token;
    report_.kept_texts = content.kept_texts;
    std::vector<TokenEntry> entries = vocabulary_.tokens();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (!frozen_) entries[i].train_count = content.token_counts[0][i];
    }
    vocabulary_ = Vocabulary(std::move(entries));
    CountMass(content.token_counts, vocabulary_, &report_);
    for (int split = 0; split < 3; ++split) report_.tokens[split] = content.tokens[split];
    report_.shards = static_cast<int>(content.shards.size());
    for (const auto& shard : content.shards) {
      report_.store_bytes += static_cast<std::int64_t>(shard.file_bytes);
      report_.kept_text_bytes += shard.extras.text_bytes;
    }
    if (options_.ranks.index == 0) WriteMetadata(folder, tokenizer, content);
  }

  std::vector<CodeEntry> CodeTable(const Tokenizer& tokenizer) const {
    std::vector<CodeEntry> entries(read_.codes.size());
    for (std::uint32_t i = 0; i < entries.size(); ++i) {
      CodeEntry& entry = entries[i];
      const CodeStatistics& statistics = statistics_->codes[i];
      entry.code = read_.codes[i];
      entry.description = descriptions_[i];
      entry.parent_codes = parents_[i];
      entry.train_events = statistics.events + statistics.static_events;
      entry.train_subjects = std::max(statistics.subjects, statistics.static_subjects);
      const bool is_fact = rules_[i].is_static && tokenizer.StaticToken(i) != Vocabulary::kNone &&
                           statistics.events == 0;
      entry.token = is_fact ? tokenizer.StaticToken(i) : tokenizer.PlainToken(i);
    }
    return entries;
  }

  void WriteMetadata(const fs::path& folder, const Tokenizer& tokenizer,
                     const StoreContent& content) {
    nlohmann::ordered_json source = {{"name", FolderName(options_.source)},
                                     {"files", nlohmann::json::array()},
                                     {"dataset", nullptr}};
    for (const SourceFile& file : source_.files) source["files"].push_back(file.relative);
    if (!source_.dataset_json.empty()) {
      source["dataset"] =
          ParseJsonText<nlohmann::ordered_json>(source_.dataset_json, "metadata/dataset.json");
    }
    nlohmann::ordered_json settings =
        ParseJsonText<nlohmann::ordered_json>(ToJson(settings_), "tokenization");
    settings["effective_min_subjects"] = report_.min_subjects;
    settings["keep_codes_exactly"] = kept_codes_;
    settings["splits"] = options_.folds > 0
                             ? fmt::format("fold {} of {}", options_.fold, options_.folds)
                         : splits_.given       ? "file"
                         : splits_.use_folders ? "folders"
                                               : "hash";
    settings["vocabulary"] = frozen_ ? "frozen" : "fitted";
    settings["texts"] = options_.keep_text ? "kept" : "left out";
    WriteStoreMetadata(folder, {.vocabulary = vocabulary_,
                                .codes = CodeTable(tokenizer),
                                .shards = content.shards,
                                .settings_json = settings.dump(),
                                .source_json = JsonToText(source),
                                .simulation_json = source_.simulation_json});
  }

  void FinishReport() {
    report_.num_codes = static_cast<std::int64_t>(read_.codes.size());
    report_.vocabulary_size = vocabulary_.size();
    report_.vocabulary_hash = vocabulary_.hash();
    for (const TokenEntry& entry : vocabulary_.tokens()) {
      ++report_.vocabulary_kinds[static_cast<std::size_t>(entry.kind)];
    }
    AddFindings(findings_, &report_);
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      if (rules_[i].is_date_only) report_.date_only_codes.push_back(read_.codes[i]);
    }
    if (frozen_) {
      report_.drift = FindDrift(read_.codes, read_.timed_events, frozen_->train_shares);
    }
    report_.unused_columns = read_.unused_columns;
    report_.skipped = source_.skipped;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    report_.peak_memory_bytes = usage.ru_maxrss * 1024L;
  }

  const IngestOptions& options_;
  IngestSettings settings_;
  SourceDataset source_;
  EventColumns columns_;
  SplitRules splits_;
  std::unordered_set<std::int64_t> excluded_;
  std::vector<std::string> kept_codes_;
  std::optional<FrozenVocabulary> frozen_;

  ReadResult read_;
  std::vector<CodeRule> rules_;
  std::vector<std::vector<std::string>> parents_;
  std::vector<std::string> descriptions_;
  Findings findings_;
  std::optional<Statistics> statistics_;
  Vocabulary vocabulary_;
  IngestReport report_;
};

}  // namespace

IngestReport Ingest(const IngestOptions& options) { return Ingester(options).Run(); }

}  // namespace sequela
