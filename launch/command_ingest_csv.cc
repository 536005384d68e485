// `sequela ingest-csv`: event tables to MEDS Parquet (dataio/ingest/ingest_csv.h does the work).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "dataio/ingest/ingest_csv.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "kernels/base/printable_text.h"
#include "launch/commands.h"
#include "launch/format_units.h"
#include "runtime/log.h"

namespace sequela {
namespace {

struct Arguments {
  std::string mapping, out, tables, memory = "1GiB";
  bool json = false;
};

void PrintTable(const IngestCsvReport& report, const std::string& out) {
  fmt::print("{:<30}{:>12}{:>12}{:>12}{:>12}\n", "table", "rows", "events", "skipped", "lost");
  for (const auto& table : report.tables) {
    fmt::print("{:<30}{:>12}{:>12}{:>12}{:>12}\n", Printable(table.file, 29), Grouped(table.rows),
               Grouped(table.events), Grouped(table.skipped), Grouped(table.lost.total()));
    for (std::size_t i = 0; i < kNumLosses; ++i) {
      if (table.lost.count[i] == 0) continue;
      fmt::print("  {:<64}{:>12}\n", kLossNames[i], Grouped(table.lost.count[i]));
    }
  }
  if (report.extra_deaths > 0) {
    fmt::print("\nEarlier deaths of one subject, dropped: {}\n", Grouped(report.extra_deaths));
  }
  fmt::print("\n{:<30}{:>12}{:>12}{:>12}\n", "", "train", "tuning", "held_out");
  fmt::print("{:<30}{:>12}{:>12}{:>12}\n", "subjects", Grouped(report.subjects[0]),
             Grouped(report.subjects[1]), Grouped(report.subjects[2]));
  fmt::print("{:<30}{:>12}{:>12}{:>12}\n", "events", Grouped(report.events[0]),
             Grouped(report.events[1]), Grouped(report.events[2]));
  fmt::print("\n{}: MEDS 0.4, {} codes; {:.1f} s\n", Printable(out), Grouped(report.num_codes),
             report.seconds);
}

// Every reason is there, also with a count of 0.
void PrintJson(const IngestCsvReport& report) {
  nlohmann::ordered_json json = {{"tables", nlohmann::ordered_json::array()}};
  for (const auto& table : report.tables) {
    nlohmann::ordered_json& entry =
        json["tables"].emplace_back(nlohmann::ordered_json{{"file", table.file},
                                                           {"rows", table.rows},
                                                           {"events", table.events},
                                                           {"skipped", table.skipped}});
    for (std::size_t i = 0; i < kNumLosses; ++i) {
      entry["lost"][std::string(kLossNames[i])] = table.lost.count[i];
    }
  }
  json["extra_deaths"] = report.extra_deaths;
  const char* splits[] = {"train", "tuning", "held_out"};
  for (std::size_t i = 0; i < 3; ++i) json["subjects"][splits[i]] = report.subjects[i];
  for (std::size_t i = 0; i < 3; ++i) json["events"][splits[i]] = report.events[i];
  json["codes"] = report.num_codes;
  json["seconds"] = report.seconds;
  fmt::print("{}\n", JsonToText(json, 2));
}

void Run(const Arguments& arguments) {
  IngestCsvOptions options{LoadCsvMapping(arguments.mapping), arguments.out,
                           ParseBytes("--memory", arguments.memory)};
  options.note = [](const std::string& text) { LogInfo("{}", text); };
  if (!arguments.tables.empty()) options.mapping.folder = arguments.tables;
  const IngestCsvReport report = IngestCsv(options);
  if (arguments.json) {
    PrintJson(report);
  } else {
    PrintTable(report, arguments.out);
  }
}

}  // namespace

void AddIngestCsvCommand(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand(
      "ingest-csv", "Turn event tables (.csv, .csv.gz, .parquet) into a MEDS dataset");
  command->add_flag_callback(
      "--document-fields",
      [] {
        fmt::print("{}", SectionsText(CsvMappingSections()));
        throw CLI::Success();
      },
      "print the tables of keys in docs/ingest-csv.md, and end");
  command->footer(
      "Example:\n"
      "  sequela ingest-csv configs/eicu_demo.yaml --tables eicu-demo --out eicu-meds");
  command->add_option("TABLES.yaml", arguments->mapping, "how the columns become events")
      ->transform(ExpandHome)
      ->required();
  command->add_option("--out", arguments->out, "folder of the new MEDS dataset")
      ->transform(ExpandHome)
      ->required();
  command
      ->add_option("--tables", arguments->tables,
                   "folder of the tables (default: the mapping's 'folder')")
      ->transform(ExpandHome);
  command->add_option("--memory", arguments->memory, "bound on the memory used")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "print one JSON document");
  command->callback([arguments] { Run(*arguments); });
}

}  // namespace sequela
