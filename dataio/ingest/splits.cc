#include "dataio/ingest/splits.h"

#include <charconv>
#include <sstream>

#include "dataio/meds/event_file.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

std::uint64_t SplitHash(std::int64_t subject_id) {
  return MixBits(static_cast<std::uint64_t>(subject_id) ^ HashName("split"));
}

std::string Trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\"");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\"") - begin + 1);
}

std::optional<std::int64_t> ParseId(const std::string& text) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

// subject_id,split with a heading line, the columns in either order.
std::vector<SubjectSplitRow> ReadSplitsCsv(const fs::path& file) {
  std::vector<SubjectSplitRow> rows;
  std::istringstream lines(ReadFile(file));
  std::string line;
  bool split_first = false;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto comma = line.find(',');
    if (Trimmed(line).empty()) continue;
    const std::string a = Trimmed(line.substr(0, comma));
    const std::string b = comma == std::string::npos ? "" : Trimmed(line.substr(comma + 1));
    if (number == 1) {
      split_first = a == "split" && b == "subject_id";
      if (!split_first && (a != "subject_id" || b != "split")) {
        throw InputError("{}:1: found \"{}\" where the heading subject_id,split is expected.",
                         file.string(), line);
      }
      continue;
    }
    const auto id = ParseId(split_first ? b : a);
    if (!id) throw InputError("{}:{}: the subject_id is no whole number.", file.string(), number);
    rows.push_back({*id, split_first ? a : b});
  }
  return rows;
}

}  // namespace

Split HashSplit(std::int64_t subject_id) {
  const std::uint64_t tenth = SplitHash(subject_id) % 10;
  return tenth < 8 ? Split::kTrain : tenth == 8 ? Split::kTuning : Split::kHeldOut;
}

Split FoldSplit(std::int64_t subject_id, int folds, int fold) {
  const int mine = static_cast<int>(SplitHash(subject_id) % static_cast<std::uint64_t>(folds));
  if (mine == fold) return Split::kHeldOut;
  return mine == (fold + 1) % folds ? Split::kTuning : Split::kTrain;
}

std::unordered_map<std::int64_t, Split> LoadSplits(const fs::path& file) {
  const auto rows = file.extension() == ".csv" ? ReadSplitsCsv(file) : ReadSubjectSplits(file);
  std::unordered_map<std::int64_t, Split> splits;
  splits.reserve(rows.size());
  std::int64_t number = 0;
  for (const SubjectSplitRow& row : rows) {
    ++number;
    Split split{};
    try {
      split = ParseSplit(row.split);
    } catch (const InputError& error) {
      throw InputError("{}, column 'split', row {}: {}", file.string(), number - 1, error.what());
    }
    const auto [place, inserted] = splits.emplace(row.subject_id, split);
    if (!inserted && place->second != split) {
      throw InputError(
          "{}, row {}: this subject_id stands in two splits, {} and {}. Give each subject "
          "one split.",
          file.string(), number - 1, NameOf(place->second), row.split);
    }
  }
  return splits;
}

std::optional<Split> SplitOfPath(const fs::path& relative_file) {
  for (const fs::path& part : relative_file.parent_path()) {
    for (const Split split : {Split::kTrain, Split::kTuning, Split::kHeldOut}) {
      if (part.string() == NameOf(split)) return split;
    }
  }
  return std::nullopt;
}

std::vector<std::string> LoadLines(const fs::path& file) {
  std::istringstream text(ReadFile(file));
  std::vector<std::string> lines;
  std::string line;
  while (std::getline(text, line)) {
    line = Trimmed(line);
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  }
  return lines;
}

std::unordered_set<std::int64_t> LoadSubjectIds(const fs::path& file) {
  std::unordered_set<std::int64_t> ids;
  std::istringstream text(ReadFile(file));
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    line = Trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    const auto id = ParseId(line);
    if (!id)
      throw InputError("{}:{}: no subject id (a whole number a line).", file.string(), number);
    ids.insert(*id);
  }
  return ids;
}

}  // namespace sequela
