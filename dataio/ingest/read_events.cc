#include "dataio/ingest/read_events.h"

#include <algorithm>
#include <optional>
#include <set>

#include "dataio/ingest/bytes.h"
#include "dataio/ingest/string_pool.h"
#include "dataio/ingest/workers.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

struct Task {
  std::uint32_t file;
  int row_group;
};

// Where a row group begins and ends, to see whether time goes on across row groups.
struct Seam {
  bool empty = true;
  std::int64_t first_subject = 0, first_time = 0, last_subject = 0, last_time = 0;
};

// Trimmed and in lower case (ASCII): results that differ only so are one result.
std::string Normalized(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return "";
  std::string result(text.substr(begin, text.find_last_not_of(kBlank) - begin + 1));
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

struct Shared {
  const SourceDataset& source;
  const EventColumns& columns;
  const ReadOptions& options;
  PartitionFiles& partitions;
  std::uint32_t rank;
  StringPool codes;
  StringPool texts;
  std::vector<Seam> seams;  // by task
};

class Reader {
 public:
  explicit Reader(Shared& shared) : shared_(shared) {
    const auto partitions = static_cast<std::size_t>(shared.partitions.count());
    const std::int64_t per_buffer = shared.options.memory_bytes / 8 / shared.options.workers /
                                    static_cast<std::int64_t>(partitions) /
                                    static_cast<std::int64_t>(sizeof(RawEvent));
    capacity_ = static_cast<std::size_t>(std::clamp<std::int64_t>(per_buffer, 64, 8192));
    buffers_.resize(partitions);
  }

  void Read(const Task& task, Seam& seam) {
    if (!open_ || open_file_ != task.file) {
      const SourceFile& file = shared_.source.files[task.file];
      open_.emplace(EventFile::Open(file.path, shared_.columns));
      open_file_ = task.file;
      code_numbers_ = {};
      text_numbers_ = {};
    }
    seam_ = &seam;
    open_->ReadRowGroup(
        task.row_group, [&](const EventBatch& batch) { Consume(batch); }, counts_);
  }

  void Flush() {
    for (std::size_t p = 0; p < buffers_.size(); ++p) FlushBuffer(p);
  }

  Findings TakeFindings() {
    findings_[Finding::kRoundedValues] += counts_.rounded_values;
    findings_[Finding::kNonfiniteValues] += counts_.nonfinite_values;
    findings_[Finding::kInvalidTexts] += counts_.invalid_texts;
    return findings_;
  }
  const std::vector<std::int64_t>& timed() const { return timed_; }
  const std::vector<std::int64_t>& midnight() const { return midnight_; }
  const std::set<std::int64_t>& excluded_seen() const { return excluded_seen_; }

 private:
  // Numbers of a dictionary's strings, kept while the dictionary stays the same. A string gets its
  // number with the first row that is kept: dictionaries may hold more than their rows use.
  struct Numbers {
    static constexpr std::uint32_t kUnset = 0xFFFFFFFDU;
    std::uint64_t serial = 0;
    std::vector<std::uint32_t> of;

    void Follow(const StringColumn& column) {
      if (serial == column.serial) return;
      serial = column.serial;
      of.assign(column.dictionary.size(), kUnset);
    }
  };

  std::uint32_t CodeNumber(const EventBatch& batch, std::size_t i) {
    if (!batch.modifiers.empty()) return ModifiedCode(batch, i);
    std::uint32_t& number = code_numbers_.of[batch.code.index[i]];
    if (number == Numbers::kUnset) {
      number = shared_.codes.Intern(batch.code.dictionary[batch.code.index[i]]);
    }
    return number;
  }
  std::uint32_t TextNumber(const StringColumn& texts, std::size_t i) {
    const std::uint32_t entry = texts.index[i];
    if (entry == StringColumn::kNull) return kNoText;
    std::uint32_t& number = text_numbers_.of[entry];
    if (number != Numbers::kUnset) return number;
    number = kFreeText;
    if (texts.invalid.empty() || !texts.invalid[entry]) {
      const std::string text = Normalized(texts.dictionary[entry]);
      if (text.empty()) {
        number = kNoText;
      } else if (text.size() <= static_cast<std::size_t>(shared_.options.text_max_bytes)) {
        number = shared_.texts.Intern(text);
      }
    }
    return number;
  }
  // With modifier columns a code is "code//modifier//...", absent modifiers left out.
  std::uint32_t ModifiedCode(const EventBatch& batch, std::size_t i) {
    std::string code(batch.code.dictionary[batch.code.index[i]]);
    for (const StringColumn& modifier : batch.modifiers) {
      if (modifier.index[i] == StringColumn::kNull) continue;
      code += "//";
      code += modifier.dictionary[modifier.index[i]];
    }
    return shared_.codes.Intern(code);
  }

  void Consume(const EventBatch& batch) {
    code_numbers_.Follow(batch.code);
    text_numbers_.Follow(batch.text);
    const auto rows = static_cast<std::size_t>(batch.rows());
    findings_[Finding::kRowsRead] += batch.rows();
    if (!std::in_range<std::uint32_t>(batch.first_row + batch.rows())) {
      throw InputError("{}: more than 4 billion rows in one file. Write several files.",
                       shared_.source.files[open_file_].path.string());
    }
    for (std::size_t i = 0; i < rows; ++i) {
      NoteOrder(batch.subject[i], batch.time_us[i]);
      if (shared_.options.excluded != nullptr && IsExcluded(batch.subject[i])) continue;
      const std::uint32_t code = CodeNumber(batch, i);
      const std::uint32_t text = TextNumber(batch.text, i);
      NoteTime(code, batch.time_us[i]);
      Append({SubjectKey(batch.subject[i]), batch.time_us[i], code, batch.value[i], text,
              open_file_,
              static_cast<std::uint32_t>(batch.first_row) + static_cast<std::uint32_t>(i),
              shared_.rank});
    }
    if (shared_.options.progress) shared_.options.progress(batch.rows());
  }

  void NoteOrder(std::int64_t subject, std::int64_t time) {
    Seam& seam = *seam_;
    if (seam.empty) {
      seam = {false, subject, time, subject, time};
      return;
    }
    findings_[Finding::kRowsOutOfOrder] += subject == seam.last_subject && time < seam.last_time;
    seam.last_subject = subject;
    seam.last_time = time;
  }
  bool IsExcluded(std::int64_t subject) {
    if (subject != last_asked_ || !asked_) {
      asked_ = true;
      last_asked_ = subject;
      last_excluded_ = shared_.options.excluded->contains(subject);
      if (last_excluded_) excluded_seen_.insert(subject);
    }
    findings_[Finding::kExcludedRows] += last_excluded_ ? 1 : 0;
    return last_excluded_;
  }
  void NoteTime(std::uint32_t code, std::int64_t time) {
    if (time == kStaticTime) return;
    if (code >= timed_.size()) {
      timed_.resize(code + 1 + code / 2);
      midnight_.resize(timed_.size());
    }
    ++timed_[code];
    midnight_[code] += time % kDayUs == 0 ? 1 : 0;
  }
  void Append(const RawEvent& event) {
    const auto p = static_cast<std::size_t>(shared_.partitions.PartitionOf(event.subject_key));
    buffers_[p].push_back(event);
    if (buffers_[p].size() >= capacity_) FlushBuffer(p);
  }
  void FlushBuffer(std::size_t p) {
    shared_.partitions.AppendRaw(static_cast<int>(p), buffers_[p]);
    buffers_[p].clear();
  }

  Shared& shared_;
  std::optional<EventFile> open_;
  std::uint32_t open_file_ = 0;
  Seam* seam_ = nullptr;
  std::size_t capacity_ = 0;
  std::vector<std::vector<RawEvent>> buffers_;
  Numbers code_numbers_;
  Numbers text_numbers_;
  EventReadCounts counts_;
  Findings findings_;
  std::vector<std::int64_t> timed_;  // by code number
  std::vector<std::int64_t> midnight_;
  bool asked_ = false;
  std::int64_t last_asked_ = 0;
  bool last_excluded_ = false;
  std::set<std::int64_t> excluded_seen_;
};

std::vector<Task> ListTasks(const SourceDataset& source, const EventColumns& columns,
                            std::vector<std::string>* unused) {
  std::vector<Task> tasks;
  std::set<std::string> other;
  for (std::uint32_t f = 0; f < source.files.size(); ++f) {
    const EventFile file = EventFile::Open(source.files[f].path, columns);
    for (int g = 0; g < file.num_row_groups(); ++g) tasks.push_back({f, g});
    other.insert(file.column_names().begin(), file.column_names().end());
  }
  for (const std::string& name :
       {columns.subject, columns.time, columns.code, columns.value, columns.text}) {
    other.erase(name);
  }
  for (const std::string& name : columns.modifiers) other.erase(name);
  unused->assign(other.begin(), other.end());
  return tasks;
}

// Rows that go back in time from one row group to the next of the same file.
std::int64_t CountBadSeams(const std::vector<Task>& tasks, const std::vector<Seam>& seams) {
  std::int64_t bad = 0;
  for (std::size_t i = 1; i < tasks.size(); ++i) {
    if (tasks[i].file != tasks[i - 1].file || seams[i].empty || seams[i - 1].empty) continue;
    bad += seams[i].first_subject == seams[i - 1].last_subject &&
                   seams[i].first_time < seams[i - 1].last_time
               ? 1
               : 0;
  }
  return bad;
}

// This rank's strings in sorted order with its numbers, as told to the others.
struct RankStrings {
  std::vector<std::string> sorted;
  std::vector<std::uint32_t> rank_of;
};

// All ranks' strings in one sorted list, and each rank's numbers as places there.
void UniteStrings(std::vector<RankStrings>& ranks, std::vector<std::string>& all,
                  std::vector<std::vector<std::uint32_t>>& place_of) {
  for (const RankStrings& rank : ranks) {
    all.insert(all.end(), rank.sorted.begin(), rank.sorted.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (RankStrings& rank : ranks) {
    std::vector<std::uint32_t> place(rank.sorted.size());
    for (std::size_t i = 0; i < place.size(); ++i) {
      place[i] = static_cast<std::uint32_t>(
          std::lower_bound(all.begin(), all.end(), rank.sorted[i]) - all.begin());
    }
    for (std::uint32_t& number : rank.rank_of) {
      number = place.empty() ? 0 : place[number];
    }
    place_of.push_back(std::move(rank.rank_of));
  }
}

struct RankFacts {
  Findings findings;
  RankStrings codes;
  RankStrings texts;
  std::vector<std::int64_t> timed;  // by this rank's number
  std::vector<std::int64_t> midnight;
  std::vector<std::int64_t> excluded;
  std::vector<Seam> seams;  // of all tasks; those of other ranks empty
};

std::string Pack(const RankFacts& facts) {
  ByteWriter bytes;
  bytes.Put(facts.findings);
  for (const RankStrings* strings : {&facts.codes, &facts.texts}) {
    bytes.Put(strings->sorted);
    bytes.Put(strings->rank_of);
  }
  bytes.Put(facts.timed);
  bytes.Put(facts.midnight);
  bytes.Put(facts.excluded);
  bytes.Put(facts.seams);
  return bytes.Take();
}

RankFacts Unpack(std::string_view packed) {
  RankFacts facts;
  ByteReader bytes(packed);
  bytes.Get(facts.findings);
  for (RankStrings* strings : {&facts.codes, &facts.texts}) {
    bytes.Get(strings->sorted);
    bytes.Get(strings->rank_of);
  }
  bytes.Get(facts.timed);
  bytes.Get(facts.midnight);
  bytes.Get(facts.excluded);
  bytes.Get(facts.seams);
  return facts;
}

void AddByNumber(const std::vector<std::int64_t>& from, std::vector<std::int64_t>& to) {
  if (to.size() < from.size()) to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

ReadResult Combine(const std::vector<std::string>& packed, const std::vector<Task>& tasks) {
  std::vector<RankFacts> facts;
  for (const std::string& bytes : packed) facts.push_back(Unpack(bytes));
  ReadResult result;
  std::vector<RankStrings> codes;
  std::vector<RankStrings> texts;
  std::vector<Seam> seams(tasks.size());
  std::set<std::int64_t> excluded;
  for (std::size_t rank = 0; rank < facts.size(); ++rank) {
    result.findings.Merge(facts[rank].findings);
    codes.push_back(std::move(facts[rank].codes));
    texts.push_back(std::move(facts[rank].texts));
    excluded.insert(facts[rank].excluded.begin(), facts[rank].excluded.end());
    for (std::size_t i = rank; i < tasks.size(); i += facts.size()) seams[i] = facts[rank].seams[i];
  }
  UniteStrings(codes, result.codes, result.code_rank);
  UniteStrings(texts, result.texts, result.text_rank);
  result.timed_events.resize(result.codes.size());
  result.midnight_events.resize(result.codes.size());
  for (std::size_t rank = 0; rank < facts.size(); ++rank) {
    for (std::size_t i = 0; i < facts[rank].timed.size(); ++i) {
      if (facts[rank].timed[i] == 0) continue;
      result.timed_events[result.code_rank[rank][i]] += facts[rank].timed[i];
      result.midnight_events[result.code_rank[rank][i]] += facts[rank].midnight[i];
    }
  }
  result.findings[Finding::kExcludedSubjects] = static_cast<std::int64_t>(excluded.size());
  result.findings[Finding::kRowsOutOfOrder] += CountBadSeams(tasks, seams);
  return result;
}

RankStrings Take(StringPool& pool) {
  StringPool::Ranks ranks = pool.TakeRanks();
  return {std::move(ranks.sorted), std::move(ranks.rank_of)};
}

}  // namespace

std::int64_t CountRows(const SourceDataset& source, const EventColumns& columns) {
  std::int64_t rows = 0;
  for (const SourceFile& file : source.files)
    rows += EventFile::Open(file.path, columns).num_rows();
  return rows;
}

ReadResult ReadEvents(const SourceDataset& source, const EventColumns& columns,
                      const ReadOptions& options, const Ranks& ranks, PartitionFiles& partitions) {
  std::vector<std::string> unused;
  const std::vector<Task> tasks = ListTasks(source, columns, &unused);
  Shared shared{source, columns, options, partitions, static_cast<std::uint32_t>(ranks.index),
                {},     {},      {}};
  shared.seams.resize(tasks.size());
  std::vector<Reader> readers;
  readers.reserve(static_cast<std::size_t>(options.workers));
  for (int w = 0; w < options.workers; ++w) readers.emplace_back(shared);
  const auto mine = static_cast<std::int64_t>(tasks.size()) - ranks.index;
  RunTasks(options.workers, mine <= 0 ? 0 : CeilDiv(mine, ranks.count), [&](int w, std::int64_t t) {
    const auto task = static_cast<std::size_t>(t * ranks.count + ranks.index);
    readers[static_cast<std::size_t>(w)].Read(tasks[task], shared.seams[task]);
  });
  RankFacts facts;
  std::set<std::int64_t> excluded;
  for (Reader& reader : readers) {
    reader.Flush();
    facts.findings.Merge(reader.TakeFindings());
    AddByNumber(reader.timed(), facts.timed);
    AddByNumber(reader.midnight(), facts.midnight);
    excluded.insert(reader.excluded_seen().begin(), reader.excluded_seen().end());
  }
  readers.clear();
  partitions.CloseRaw();
  facts.codes = Take(shared.codes);
  facts.texts = Take(shared.texts);
  facts.excluded.assign(excluded.begin(), excluded.end());
  facts.seams = std::move(shared.seams);
  ReleaseArrowMemory();
  ReadResult result = Combine(ranks.Exchange(Pack(facts)), tasks);
  result.unused_columns = std::move(unused);
  return result;
}

}  // namespace sequela
