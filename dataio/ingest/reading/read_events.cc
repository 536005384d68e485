#include "dataio/ingest/reading/read_events.h"

#include <fmt/ranges.h>

#include <set>

#include "dataio/base/workers.h"
#include "dataio/ingest/reading/rank_facts.h"
#include "dataio/ingest/reading/row_reader.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

std::vector<ReadTask> ListTasks(const SourceDataset& source, const EventColumns& columns,
                                std::vector<std::string>* unused) {
  std::vector<ReadTask> tasks;
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
  std::vector<std::string> chosen = columns.code_parts;
  chosen.insert(chosen.end(), columns.events.begin(), columns.events.end());
  if (!columns.stay.empty()) chosen.push_back(columns.stay);
  for (const std::string& name : chosen) {
    if (other.contains(name)) continue;
    throw InputError(
        "{}: no file has a column '{}', which the settings name. Beside MEDS's own: {}.",
        source.root.string(), Printable(name),
        other.empty() ? "none" : Printable(fmt::format("{}", fmt::join(other, ", ")), 2000));
  }
  for (const std::string& name : chosen) other.erase(name);
  for (const std::string& name : columns.modifiers) other.erase(name);
  unused->assign(other.begin(), other.end());
  return tasks;
}

void AddByNumber(const std::vector<std::int64_t>& from, std::vector<std::int64_t>& to) {
  if (to.size() < from.size()) to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

void AddPlainCodes(const std::vector<std::string>& from, std::vector<std::string>& to) {
  if (to.size() < from.size()) to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!from[i].empty()) AddPlainCode(to[i], from[i]);
  }
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
  const std::vector<ReadTask> tasks = ListTasks(source, columns, &unused);
  ReadShared shared{source, columns, options, partitions, narrow<std::uint16_t>(ranks.index),
                    {},     {},      {}};
  shared.ends.resize(tasks.size());
  std::vector<RowReader> readers;
  readers.reserve(static_cast<std::size_t>(options.workers));
  for (int w = 0; w < options.workers; ++w) readers.emplace_back(shared);
  const auto mine = static_cast<std::int64_t>(tasks.size()) - ranks.index;
  RunTasks(options.workers, mine <= 0 ? 0 : CeilDiv(mine, ranks.count), [&](int w, std::int64_t t) {
    const auto task = static_cast<std::size_t>(t * ranks.count + ranks.index);
    readers[static_cast<std::size_t>(w)].Read(tasks[task], shared.ends[task]);
  });
  RankFacts facts;
  std::set<std::int64_t> excluded;
  for (RowReader& reader : readers) {
    reader.Flush();
    facts.findings.Merge(reader.TakeFindings());
    AddByNumber(reader.timed(), facts.timed);
    AddByNumber(reader.midnight(), facts.midnight);
    AddPlainCodes(reader.plain_codes(), facts.plain_codes);
    excluded.insert(reader.excluded_seen().begin(), reader.excluded_seen().end());
  }
  readers.clear();
  partitions.CloseRaw();
  facts.codes = Take(shared.codes);
  facts.texts = Take(shared.texts);
  facts.excluded.assign(excluded.begin(), excluded.end());
  facts.ends = std::move(shared.ends);
  ReleaseArrowMemory();
  ReadResult result = Combine(ranks.Exchange(Pack(facts)), tasks);
  result.unused_columns = std::move(unused);
  return result;
}

}  // namespace sequela
