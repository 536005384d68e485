#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "dataio/store/chain_store.h"
#include "dataio/store/readable_chain.h"
#include "dataio/store/store_summary.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "kernels/base/printable_text.h"
#include "launch/commands.h"
#include "launch/inspect_folder.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

struct InspectArguments {
  std::string path;
  std::optional<std::int64_t> subject;
  bool json = false;
};

Json DescribeStore(const ChainStore& store) {
  const StoreSummary summary = Summarize(store);
  const auto manifest = ParseJsonText(store.manifest_json(), store.folder() / "manifest.json");
  Json splits = Json::object();
  for (const Split split : {Split::kTrain, Split::kTuning, Split::kHeldOut}) {
    const auto& facts = summary.by_split[static_cast<std::size_t>(split)];
    splits[std::string(NameOf(split))] = {
        {"subjects", facts.subjects}, {"events", facts.events}, {"tokens", facts.tokens}};
  }
  Json kinds = Json::object();
  for (std::size_t kind = 0; kind < summary.by_kind.size(); ++kind) {
    kinds[std::string(NameOf(static_cast<TokenKind>(kind)))] = {
        {"vocabulary", summary.by_kind[kind].vocabulary},
        {"occurrences", summary.by_kind[kind].occurrences}};
  }
  Json lengths = Json::object();
  for (std::size_t k = 0; k < summary.kPercents.size(); ++k) {
    lengths[std::to_string(summary.kPercents[k])] = summary.length_quantiles[k];
  }
  return {{"kind", "chain_store"},
          {"path", store.folder().string()},
          {"format_version", manifest.at("format_version")},
          {"content_hash", store.content_hash()},
          {"vocabulary_hash", store.vocabulary().hash()},
          {"shards", manifest.at("shards").size()},
          {"vocabulary_size", store.vocabulary().size()},
          {"codes", store.codes().size()},
          {"splits", splits},
          {"token_kinds", kinds},
          {"unknown_tokens", summary.unknown_tokens},
          {"values", summary.values},
          {"chain_length_percentiles", lengths},
          {"simulated", store.simulation_json().has_value()}};
}

void PrintStore(const Json& store) {
  fmt::print("{}: a chain store, format {}\n", store["path"].get<std::string>(),
             store["format_version"].get<std::string>());
  fmt::print("content {}, vocabulary {}, {} shards, {} codes{}\n\n",
             store["content_hash"].get<std::string>(), store["vocabulary_hash"].get<std::string>(),
             store["shards"].get<std::int64_t>(), store["codes"].get<std::int64_t>(),
             store["simulated"].get<bool>() ? ", simulated" : "");
  fmt::print("{:<10}{:>14}{:>16}{:>16}\n", "split", "subjects", "events", "tokens");
  for (const auto& [name, facts] : store["splits"].items()) {
    fmt::print("{:<10}{:>14}{:>16}{:>16}\n", name, facts["subjects"].get<std::int64_t>(),
               facts["events"].get<std::int64_t>(), facts["tokens"].get<std::int64_t>());
  }
  fmt::print("\n{:<10}{:>14}{:>16}\n", "kind", "vocabulary", "in chains");
  for (const auto& [name, facts] : store["token_kinds"].items()) {
    fmt::print("{:<10}{:>14}{:>16}\n", name, facts["vocabulary"].get<std::int64_t>(),
               facts["occurrences"].get<std::int64_t>());
  }
  fmt::print("{:<10}{:>14}{:>16}\n", "[UNK]", 1, store["unknown_tokens"].get<std::int64_t>());
  fmt::print("\ntokens per subject, by percent of the subjects\n");
  for (const auto& [percent, length] : store["chain_length_percentiles"].items()) {
    fmt::print("{:>9}%", percent);
  }
  fmt::print("\n");
  for (const auto& [percent, length] : store["chain_length_percentiles"].items()) {
    fmt::print("{:>10}", length.get<std::int64_t>());
  }
  fmt::print("\n");
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Any other description: one value a line, checkpoints as a table.
void PrintFacts(const Json& facts) {
  for (const auto& [key, value] : facts.items()) {
    if (key == "checkpoints") {
      fmt::print("\n{:>12}{:>8}{:>6}{:>8}{:>16}\n", "step", "ranks", "zero", "dtype", "bytes");
      for (const Json& one : value) {
        fmt::print("{:>12}{:>8}{:>6}{:>8}{:>16}\n", one.value("step", std::int64_t{-1}),
                   one.value("world_size", 0), one.value("zero_stage", 0),
                   one.value("compute_dtype", "?"), one.value("bytes", std::uint64_t{0}));
      }
      fmt::print("\n");
    } else if (value.is_object()) {
      fmt::print("{}\n", Printable(key));
      for (const auto& [inner, content] : value.items()) {
        fmt::print("  {:<22}{:.54}\n", Printable(inner), Printable(TextOf(content)));
      }
    } else {
      fmt::print("{:<24}{}\n", Printable(key), Printable(TextOf(value), 2000));
    }
  }
}

void PrintSubject(const ChainStore& store, std::int64_t subject_id) {
  const std::optional<std::int64_t> index = store.FindSubject(subject_id);
  if (!index) {
    throw InputError(
        "{}: has no subject with this id. `sequela inspect` without --subject says "
        "what the store holds.",
        store.folder().string());
  }
  fmt::print("{}", ReadableChain(store, *index));
}

Json Describe(FolderKind kind, const std::string& path) {
  switch (kind) {
    case FolderKind::kRun:
      return DescribeRun(path);
    case FolderKind::kCheckpoint:
      return DescribeCheckpoint(path);
    case FolderKind::kMeds:
      return DescribeMeds(path);
    case FolderKind::kStore:
      break;
  }
  return DescribeStore(ChainStore::Open(path));
}

void Inspect(const InspectArguments& arguments) {
  const FolderKind kind = KindOf(arguments.path);
  if (arguments.subject) {
    if (kind != FolderKind::kStore || arguments.json) {
      throw InputError("--subject prints one chain of a chain store, and not as JSON");
    }
    PrintSubject(ChainStore::Open(arguments.path), *arguments.subject);
    return;
  }
  const Json description = Describe(kind, arguments.path);
  if (arguments.json) {
    fmt::print("{}\n", JsonToText(description, 1));
  } else if (kind == FolderKind::kStore) {
    PrintStore(description);
  } else {
    PrintFacts(description);
  }
  if (kind == FolderKind::kMeds && !arguments.json) {
    fmt::print("\n`sequela describe {}` counts its events.\n", arguments.path);
  }
}

}  // namespace

void AddInspectCommand(CLI::App& program) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* command = program.add_subcommand(
      "inspect", "Say what a chain store, a run, a checkpoint or a MEDS dataset holds");
  command->add_option("path", arguments->path, "Its folder")->transform(ExpandHome)->required();
  command->add_option("--subject", arguments->subject,
                      "Print this subject's chain readably (chain stores)");
  command->add_flag("--json", arguments->json, "One JSON document instead of tables");
  command->footer(
      "Example:\n"
      "  sequela inspect chains\n"
      "  sequela inspect chains --subject 10000032\n");
  command->callback([arguments] { Inspect(*arguments); });
}

}  // namespace sequela
