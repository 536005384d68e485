// What is fuzzed: functions that read what somebody else may have written. The rule for each: it
// accepts an input or throws InputError, within two seconds. Anything else is a finding: a crash,
// another exception, a leak, a broken SEQUELA_CHECK of the target itself. fuzzer_main.cc runs one
// target under libFuzzer, replay_test.cc all of them over the kept corpora.
#pragma once

#include <filesystem>
#include <ostream>
#include <span>
#include <string_view>

namespace sequela::testing {

// Each throws InputError or returns.
void ReadStoreMetadata(std::string_view input);
void ReadSafetensors(std::string_view input);
void ReadModelConfig(std::string_view input);
void ReadExperiment(std::string_view input);
void ReadIngestSettings(std::string_view input);
void ReadCsvMapping(std::string_view input);
void ReadCsvText(std::string_view input);

struct FuzzTarget {
  std::string_view name;  // of its folder below tests/fuzz/corpus
  void (*read)(std::string_view input);
};
inline void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }
std::span<const FuzzTarget> FuzzTargets();
// Null where there is none.
const FuzzTarget* FindFuzzTarget(std::string_view name);

// Runs the target under the rule above: returns where it accepts or refuses the input.
void RunFuzzInput(const FuzzTarget& target, std::string_view input);

// A file in memory with this content, for functions that take a path. One thread at a time: its path
// and content hold until the next call.
std::filesystem::path FileInMemory(std::string_view content);

}  // namespace sequela::testing
