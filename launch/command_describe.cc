// `sequela describe`: what a MEDS dataset holds (dataio/ingest/describe.h does the work).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "dataio/ingest/describe.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "kernels/base/printable_text.h"
#include "launch/commands.h"
#include "launch/format_units.h"

namespace sequela {
namespace {

using Part = DatasetDescription::Part;

struct Row {
  const char* key;
  const char* text;
  std::int64_t Part::*count;
};

constexpr Row kRows[] = {{"subjects", "subjects", &Part::subjects},
                         {"events", "events", &Part::events},
                         {"static_events", "  without a time", &Part::static_events},
                         {"with_value", "  with a number", &Part::with_value},
                         {"text_only", "  with a text only", &Part::text_only},
                         {"time_stamps", "time stamps", &Part::time_stamps},
                         {"births", "births", &Part::births},
                         {"deaths", "deaths", &Part::deaths},
                         {"codes", "distinct codes", &Part::codes}};

// Seconds as people say them.
std::string Duration(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.1f} h", seconds / 3600);
  if (seconds < 63115200) return fmt::format("{:.1f} d", seconds / 86400);
  return fmt::format("{:.1f} y", seconds / 31557600);
}

void PrintTable(const DatasetDescription& d) {
  fmt::print("{:<20}{:>15}{:>15}{:>15}{:>15}\n", "", "train", "tuning", "held_out", "all");
  for (const Row& row : kRows) {
    const std::int64_t a = d.parts[0].*row.count;
    const std::int64_t b = d.parts[1].*row.count;
    const std::int64_t c = d.parts[2].*row.count;
    const std::int64_t all = row.count == &Part::codes ? d.codes : a + b + c;
    fmt::print("{:<20}{:>15}{:>15}{:>15}{:>15}\n", row.text, Grouped(a), Grouped(b), Grouped(c),
               Grouped(all));
  }
  fmt::print("\n{} files; {} codes are seen once\n", d.files, Grouped(d.codes_once));
  const auto& e = d.events_per_subject;
  fmt::print("events per subject: least {}, quartiles {} {} {}, most {}\n", Grouped(e[0]),
             Grouped(e[1]), Grouped(e[2]), Grouped(e[3]), Grouped(e[4]));
  if (d.gap_deciles.size() == 11) {
    fmt::print("time between stamps: 10 % {}, 50 % {}, 90 % {}, longest {}\n",
               Duration(d.gap_deciles[1]), Duration(d.gap_deciles[5]), Duration(d.gap_deciles[9]),
               Duration(d.gap_deciles[10]));
  }
  fmt::print("\nCommonest codes\n");
  for (const auto& [code, count] : d.commonest) {
    fmt::print("  {:<60}{:>18}\n", Printable(code, 56), Grouped(count));
  }
  if (!d.unused_columns.empty()) {
    fmt::print("\nColumns that ingest does not read: {}\n",
               Printable(fmt::format("{}", fmt::join(d.unused_columns, ", ")), 2000));
  }
  if (d.split_by_hash > 0) {
    fmt::print("\n{} subjects have no given split; a hash of their id gives them one\n",
               Grouped(d.split_by_hash));
  }
  if (d.skipped.empty()) return;
  constexpr std::size_t kShown = 5;
  fmt::print("\nNot read below data/\n");
  for (std::size_t i = 0; i < std::min(d.skipped.size(), kShown); ++i) {
    fmt::print("  {}\n", d.skipped[i]);
  }
  if (d.skipped.size() > kShown) fmt::print("  and {} more\n", d.skipped.size() - kShown);
}

void PrintJson(const DatasetDescription& d) {
  nlohmann::ordered_json json = {
      {"files", d.files}, {"codes", d.codes}, {"codes_once", d.codes_once}};
  const char* names[] = {"train", "tuning", "held_out"};
  for (std::size_t split = 0; split < 3; ++split) {
    for (const Row& row : kRows) json["splits"][names[split]][row.key] = d.parts[split].*row.count;
  }
  json["events_per_subject_quartiles"] = d.events_per_subject;
  json["gap_deciles_seconds"] = d.gap_deciles;
  json["unused_columns"] = d.unused_columns;
  json["subjects_split_by_hash"] = d.split_by_hash;
  json["skipped"] = d.skipped;
  for (const auto& [code, count] : d.commonest) json["commonest_codes"][code] = count;
  fmt::print("{}\n", JsonToText(json, 2));
}

}  // namespace

void AddDescribeCommand(CLI::App& program) {
  auto source = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  auto* command =
      program.add_subcommand("describe", "Say what a MEDS dataset holds, before it is ingested");
  command->footer("Example:\n  sequela describe mimic_meds");
  command->add_option("MEDS_DIR", *source, "dataset folder (data/, metadata/), or Parquet")
      ->transform(ExpandHome)
      ->required();
  command->add_flag("--json", *as_json, "print one JSON document");
  command->callback([source, as_json] {
    const DatasetDescription description = DescribeDataset(*source);
    if (*as_json) {
      PrintJson(description);
    } else {
      PrintTable(description);
    }
  });
}

}  // namespace sequela
