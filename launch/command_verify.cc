#include <fmt/format.h>

#include <memory>
#include <string>

#include "dataio/store/verify.h"
#include "kernels/base/path_names.h"
#include "launch/commands.h"

namespace sequela {
namespace {

void Verify(const std::string& folder) {
  const VerifySummary summary = VerifyStoreInChild(folder);
  fmt::print("{}: a whole chain store\n", folder);
  fmt::print(
      "  shards   {:>14}\n  bytes    {:>14}\n  subjects {:>14}\n  events   {:>14}\n"
      "  tokens   {:>14}\n",
      summary.shards, summary.bytes, summary.subjects, summary.events, summary.tokens);
  if (!summary.has_manifest_digest) {
    fmt::print(
        "  manifest.json has no digest of its own (a store before version 1.2): changes of its\n"
        "  tokenization, source and simulation go unseen\n");
  }
}

}  // namespace

void AddVerifyCommand(CLI::App& program) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand(
      "verify", "Read all of a chain store and check it: checksums, offsets, order, ranges");
  command->add_option("store", *folder, "The folder that `sequela ingest` wrote")
      ->transform(ExpandHome)
      ->required();
  command->footer(
      "Exit code 0 where all is well; else 2, and one message with the first fault.\n\n"
      "Example:\n"
      "  sequela verify chains\n");
  command->callback([folder] { Verify(*folder); });
}

}  // namespace sequela
