#include "dataio/ingest/splits.h"

#include <sstream>
#include <string_view>
#include <utility>

#include "dataio/base/number_text.h"
#include "dataio/base/text_file.h"
#include "dataio/meds/event_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/philox.h"
#include "kernels/base/printable_text.h"

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

std::optional<Split> SplitOfText(std::string_view text) {
  for (const Split split : {Split::kTrain, Split::kTuning, Split::kHeldOut}) {
    if (text == NameOf(split)) return split;
  }
  return std::nullopt;
}

constexpr std::pair<std::string_view, Split> kSplitNames[] = {
    {"train", Split::kTrain},      {"tuning", Split::kTuning},     {"val", Split::kTuning},
    {"valid", Split::kTuning},     {"validation", Split::kTuning}, {"dev", Split::kTuning},
    {"held_out", Split::kHeldOut}, {"held-out", Split::kHeldOut},  {"heldout", Split::kHeldOut},
    {"test", Split::kHeldOut},
};

// Without numbers at its end: "train-00000-of-00005" is "train".
std::string_view WithoutNumbers(std::string_view name) {
  for (;;) {
    const auto sign = name.find_last_of("-_. ");
    if (sign == std::string_view::npos || sign == 0 || sign + 1 == name.size()) return name;
    const std::string_view last = name.substr(sign + 1);
    if (last != "of" && last.find_first_not_of("0123456789") != std::string_view::npos) return name;
    name = name.substr(0, sign);
  }
}

std::optional<Split> SplitOfName(std::string name) {
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  constexpr std::string_view kEnding = ".parquet";
  constexpr std::string_view kKey = "split=";
  std::string_view text = name;
  if (text.ends_with(kEnding)) text.remove_suffix(kEnding.size());
  const bool has_key = text.starts_with(kKey);
  if (has_key) text.remove_prefix(kKey.size());
  for (const auto& [known, split] : kSplitNames) {
    if (WithoutNumbers(text) == known) return split;
  }
  if (has_key) {
    throw InputError("its path has {}{}; expected {}train, {}tuning or {}held_out.", kKey,
                     Printable(text), kKey, kKey, kKey);
  }
  return std::nullopt;
}

// subject_id,split with a heading line, the columns in either order.
std::vector<SubjectSplitRow> ReadSplitsCsv(const fs::path& file) {
  std::vector<SubjectSplitRow> rows;
  std::istringstream lines(ReadTextFile(file));
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
        throw InputError(
            "{}:1: the heading subject_id,split is expected here. Write it as the first line.",
            file.string());
      }
      continue;
    }
    const auto id = NumberFromText<std::int64_t>(split_first ? b : a);
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
    const auto parsed = SplitOfText(row.split);
    if (!parsed) {
      throw InputError("{}, column 'split', row {}: no split; expected train, tuning or held_out.",
                       file.string(), number - 1);
    }
    const Split split = *parsed;
    const auto [place, inserted] = splits.emplace(row.subject_id, split);
    if (!inserted && place->second != split) {
      throw InputError(
          "{}, row {}: this subject_id stands in two splits, {} and {}. Give each subject "
          "one split.",
          file.string(), number - 1, NameOf(place->second), NameOf(split));
    }
  }
  return splits;
}

std::optional<Split> SplitOfPath(const fs::path& relative_file) {
  std::optional<Split> split;
  for (const fs::path& part : relative_file) {
    const std::optional<Split> named = SplitOfName(part.string());
    if (!named) continue;
    if (split && *split != *named) {
      throw InputError(
          "its path names two splits, {} and {}. Leave one in its path, or say the splits "
          "by --splits FILE.",
          NameOf(*split), NameOf(*named));
    }
    split = named;
  }
  return split;
}

std::vector<std::string> LoadLines(const fs::path& file) {
  std::istringstream text(ReadTextFile(file));
  std::vector<std::string> lines;
  std::string line;
  while (std::getline(text, line)) {
    line = Trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    lines.push_back(line);
  }
  return lines;
}

std::unordered_set<std::int64_t> LoadSubjectIds(const fs::path& file) {
  std::unordered_set<std::int64_t> ids;
  std::istringstream text(ReadTextFile(file));
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    line = Trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    const auto id = NumberFromText<std::int64_t>(line);
    if (!id)
      throw InputError("{}:{}: no subject id (a whole number a line).", file.string(), number);
    ids.insert(*id);
  }
  return ids;
}

}  // namespace sequela
