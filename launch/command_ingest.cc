// `sequela ingest`: MEDS Parquet to a chain store (dataio/ingest/ingest.h does the work).
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>

#include "dataio/ingest/ingest.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "kernels/base/printable_text.h"
#include "launch/commands.h"
#include "launch/format_units.h"
#include "launch/start_world.h"
#include "runtime/log.h"

namespace sequela {
namespace {

struct Arguments {
  std::string source, out, config, memory = "1GiB", vocabulary, splits, keep_codes, exclude;
  std::string shard_size = "512MiB";
  int folds = 0;
  int fold = 0;
  int workers = 0;
  std::vector<std::string> code_columns, event_columns;
  std::string stay_column;
  bool text = false;
  bool json = false;
};

std::optional<std::filesystem::path> Optional(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

// Columns named on the command line stand before those of the settings' file.
void ChooseColumns(const Arguments& arguments, IngestSettings* settings) {
  const bool names_tokens = !arguments.code_columns.empty() || !arguments.event_columns.empty();
  if (names_tokens && !arguments.vocabulary.empty()) {
    throw InputError(
        "--code-columns, --event-columns and --vocabulary: a fitted vocabulary brings the columns "
        "that its tokens are made of; leave them out.");
  }
  if (!arguments.code_columns.empty()) settings->code_columns = arguments.code_columns;
  if (!arguments.event_columns.empty()) settings->event_columns = arguments.event_columns;
  if (!arguments.stay_column.empty()) settings->stay_column = arguments.stay_column;
}

IngestOptions OptionsOf(const Arguments& arguments) {
  IngestOptions options;
  options.source = arguments.source;
  options.out = arguments.out;
  if (!arguments.config.empty()) options.settings = LoadIngestSettings(arguments.config);
  if (!arguments.config.empty() && !arguments.vocabulary.empty()) {
    throw InputError(
        "--config and --vocabulary: a fitted vocabulary brings the settings it was fitted under; "
        "give "
        "one of the two.");
  }
  ChooseColumns(arguments, &options.settings);
  options.keep_text = arguments.text;
  options.vocabulary = Optional(arguments.vocabulary);
  options.splits_file = Optional(arguments.splits);
  options.folds = arguments.folds;
  options.fold = arguments.fold;
  options.keep_codes_file = Optional(arguments.keep_codes);
  options.exclude_subjects = Optional(arguments.exclude);
  options.memory_bytes = ParseBytes("--memory", arguments.memory);
  options.shard_bytes = ParseBytes("--shard-size", arguments.shard_size);
  return options;
}

// Ranks share the work; each needs the same paths on a file system that all see.
Ranks RanksOf(World& world) {
  Ranks ranks{world.rank(), world.size(), {}};
  ranks.exchange = [&world](const std::string& mine) {
    const auto bytes = std::as_bytes(std::span(mine));
    std::vector<std::string> all;
    for (const std::vector<std::byte>& theirs : world.communicator().AllGather(bytes)) {
      all.emplace_back(reinterpret_cast<const char*>(theirs.data()), theirs.size());
    }
    return all;
  };
  return ranks;
}

nlohmann::ordered_json LinesJson(const std::vector<IngestReport::Line>& lines) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& line : lines) json[line.key] = line.count;
  return json;
}

void PrintJson(const IngestReport& r) {
  nlohmann::ordered_json json = {{"subjects", r.total_subjects()},
                                 {"events", r.total_events()},
                                 {"tokens", r.total_tokens()},
                                 {"splits", nlohmann::ordered_json::object()},
                                 {"codes", r.num_codes},
                                 {"vocabulary_size", r.vocabulary_size},
                                 {"vocabulary_hash", r.vocabulary_hash},
                                 {"min_subjects", r.min_subjects},
                                 {"unknown_fraction", r.unknown_fraction},
                                 {"held_out_unknown_fraction", r.held_out_unknown_fraction},
                                 {"events_by_token",
                                  {{"code", r.as_code},
                                   {"value", r.as_value},
                                   {"text_result", r.as_text},
                                   {"static", r.as_static},
                                   {"parent", r.as_parent},
                                   {"truncation", r.as_truncation},
                                   {"prefix", r.as_prefix},
                                   {"unknown", r.as_unknown}}},
                                 {"dropped", LinesJson(r.dropped)},
                                 {"warnings", LinesJson(r.warnings)},
                                 {"notes", LinesJson(r.notes)},
                                 {"kept_texts", r.kept_texts},
                                 {"kept_text_bytes", r.kept_text_bytes},
                                 {"date_only_codes", r.date_only_codes},
                                 {"unused_columns", r.unused_columns},
                                 {"unmatched", r.unmatched},
                                 {"skipped", r.skipped},
                                 {"shards", r.shards},
                                 {"store_bytes", r.store_bytes},
                                 {"seconds", r.seconds},
                                 {"peak_memory_bytes", r.peak_memory_bytes}};
  for (const auto& drift : r.drift) {
    json["drift"][drift.code] = {{"then", drift.share_then}, {"now", drift.share_now}};
  }
  const char* names[] = {"train", "tuning", "held_out"};
  for (int split = 0; split < 3; ++split) {
    json["splits"][names[split]] = {
        {"subjects", r.subjects[split]}, {"events", r.events[split]}, {"tokens", r.tokens[split]}};
  }
  fmt::print("{}\n", JsonToText(json, 2));
}

void PrintLines(const char* title, const std::vector<IngestReport::Line>& lines) {
  if (lines.empty()) return;
  fmt::print("\n{}\n", title);
  for (const auto& line : lines) fmt::print("  {:<44}{:>18}\n", line.text, Grouped(line.count));
}

void PrintNames(const char* title, const std::vector<std::string>& names,
                std::size_t most_bytes = 73) {
  if (names.empty()) return;
  constexpr std::size_t kShown = 5;
  fmt::print("\n{}\n", title);
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    fmt::print("  {}\n", Printable(names[i], most_bytes));
  }
  if (names.size() > kShown) fmt::print("  and {} more\n", names.size() - kShown);
}

void PrintMass(const IngestReport& r) {
  const auto row = [&](const char* name, std::int64_t count) {
    if (count == 0) return;
    fmt::print("  {:<44}{:>18}{:>8.2f} %\n", name, Grouped(count),
               100.0 * static_cast<double>(count) / static_cast<double>(r.total_events()));
  };
  fmt::print("\nEvents by what they became\n");
  row("their code's token", r.as_code);
  row("their code's value bin", r.as_value);
  row("their code's text result", r.as_text);
  row("a static fact", r.as_static);
  row("rare code: a parent code", r.as_parent);
  row("rare code: the code shortened", r.as_truncation);
  row("rare code: a prefix", r.as_prefix);
  row("unknown [UNK]", r.as_unknown);
}

void PrintTable(const IngestReport& r, const std::string& out) {
  fmt::print("{:<16}{:>16}{:>16}{:>16}{:>16}\n", "", "train", "tuning", "held_out", "all");
  const auto row = [](const char* name, const std::int64_t(&counts)[3]) {
    fmt::print("{:<16}{:>16}{:>16}{:>16}{:>16}\n", name, Grouped(counts[0]), Grouped(counts[1]),
               Grouped(counts[2]), Grouped(counts[0] + counts[1] + counts[2]));
  };
  row("subjects", r.subjects);
  row("events", r.events);
  row("tokens", r.tokens);
  fmt::print(
      "\nVocabulary      {} tokens of {} codes: {} codes, {} values, {} gaps, {} static, {} age\n",
      Grouped(r.vocabulary_size), Grouped(r.num_codes), Grouped(r.vocabulary_kinds[4]),
      Grouped(r.vocabulary_kinds[5]), r.vocabulary_kinds[3], r.vocabulary_kinds[1],
      r.vocabulary_kinds[2]);
  if (r.min_subjects > 0) {
    fmt::print("                a token stands for at least {} train subjects\n", r.min_subjects);
  }
  PrintMass(r);
  PrintLines("Dropped", r.dropped);
  PrintLines("Warnings", r.warnings);
  PrintLines("Noted", r.notes);
  PrintNames("Codes with dates but no times (settings: date_only)", r.date_only_codes);
  PrintNames("Columns that are not read (settings: code_columns, event_columns, stay_column)",
             r.unused_columns);
  PrintNames("Named, and not in this data (misspelt?)", r.unmatched, 200);
  PrintNames("Not read below data/", r.skipped, 1000);
  if (r.kept_texts > 0) {
    fmt::print("\nTexts kept      {}, {}\n", Grouped(r.kept_texts), FormatBytes(r.kept_text_bytes));
  }
  if (!r.drift.empty())
    fmt::print("\n{:<48}{:>14}{:>14}\n", "Codes that drifted most", "then", "now");
  for (std::size_t i = 0; i < std::min<std::size_t>(r.drift.size(), 5); ++i) {
    fmt::print("  {:<46}{:>12.3f} %{:>12.3f} %\n", Printable(r.drift[i].code, 42),
               100.0 * r.drift[i].share_then, 100.0 * r.drift[i].share_now);
  }
  const double rate = static_cast<double>(r.total_events()) / std::max(r.seconds, 1e-9);
  fmt::print("\n{}: {} in {} shard{}; {:.1f} s, {} events/s, peak memory {}\n", out,
             FormatBytes(r.store_bytes), r.shards, r.shards == 1 ? "" : "s", r.seconds,
             Grouped(static_cast<std::int64_t>(rate)), FormatBytes(r.peak_memory_bytes));
}

void Run(const Arguments& arguments) {
  World& world = StartWorld();
  IngestOptions options = OptionsOf(arguments);
  options.ranks = RanksOf(world);
  options.workers = arguments.workers > 0 ? arguments.workers : world.available_cpus();
  options.note = [](const std::string& text) { LogInfo("{}", text); };
  const IngestReport report = Ingest(options);
  if (world.rank() != 0) return;
  if (arguments.json) {
    PrintJson(report);
  } else {
    PrintTable(report, arguments.out);
  }
}

}  // namespace

void AddIngestCommand(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand("ingest", "Turn a MEDS dataset into a chain store");
  command->add_flag_callback(
      "--document-fields",
      [] {
        fmt::print("{}", SectionsText(IngestSettingsSections()));
        throw CLI::Success();
      },
      "print the table of the settings in docs/records.md, and end");
  command->footer("Example:\n  sequela ingest mimic_meds --out mimic-store --memory 2GiB");
  command
      ->add_option("MEDS_DIR", arguments->source, "dataset folder (data/, metadata/), or Parquet")
      ->transform(ExpandHome)
      ->required();
  command->add_option("--out", arguments->out, "folder of the new store")
      ->transform(ExpandHome)
      ->required();
  command->add_option("--config", arguments->config, "tokenisation settings (YAML)")
      ->transform(ExpandHome);
  command->add_option("--memory", arguments->memory, "bound on the memory used")
      ->capture_default_str();
  command
      ->add_option("--vocabulary", arguments->vocabulary,
                   "a store or run whose vocabulary is used as it is")
      ->transform(ExpandHome);
  auto* splits = command
                     ->add_option("--splits", arguments->splits,
                                  "subject_id,split as Parquet or CSV, instead of the dataset's")
                     ->transform(ExpandHome);
  auto* folds = command->add_option("--folds", arguments->folds, "cross-validation by subject");
  auto* fold = command->add_option("--fold", arguments->fold, "the fold held out, from 0");
  folds->needs(fold)->excludes(splits);
  fold->needs(folds);
  command
      ->add_option("--keep-codes", arguments->keep_codes,
                   "file of codes, one a line, that get a token however rare")
      ->transform(ExpandHome);
  command
      ->add_option("--exclude-subjects", arguments->exclude,
                   "file of subject ids, one a line, that are left out")
      ->transform(ExpandHome);
  command->add_flag("--text", arguments->text, "keep every event's text_value in the store");
  command
      ->add_option("--code-columns", arguments->code_columns,
                   "further columns joined to the code, comma-separated")
      ->delimiter(',')
      ->allow_extra_args(false);  // else it would take the dataset's name, too
  command
      ->add_option("--event-columns", arguments->event_columns,
                   "further columns that are events at their row's time, comma-separated")
      ->delimiter(',')
      ->allow_extra_args(false);  // else it would take the dataset's name, too
  command->add_option("--stay-column", arguments->stay_column,
                      "column of integer stay ids, kept as /chain/stay");
  command->add_option("--workers", arguments->workers,
                      "threads (default: all processors that it may use)");
  command->add_option("--shard-size", arguments->shard_size, "bytes of a shard")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "print one JSON document");
  command->callback([arguments] { Run(*arguments); });
}

}  // namespace sequela
