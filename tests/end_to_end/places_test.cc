// ctest: timeout=600 arrow
// Folders and files as users name them: one writer for each, links, modes, names of other encodings,
// ~, paths that the system refuses, and stores that moved from under a run.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "kernels/base/atomic_file.h"
#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr int kBadInput = 2;
constexpr int kStopped = 3;

TinyWorld& World() {
  static TinyWorld world;
  return world;
}

std::string Path(const std::string& name) { return World().folder() / name; }

int CountOf(const std::string& text, const std::string& word) {
  int count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++count;
  }
  return count;
}

void ExpectRefusal(const ProgramResult& result, const std::vector<std::string>& words) {
  EXPECT_EQ(result.exit_code, kBadInput) << result.errors;
  for (const std::string& word : words) {
    EXPECT_EQ(CountOf(result.errors, word) > 0, true) << "'" << word << "' in:\n" << result.errors;
  }
  EXPECT_EQ(CountOf(result.errors, "internal error"), 0) << result.errors;
}

// A mapping of one small table, in a folder of its own.
std::string Mapping() {
  const std::string folder = Path("tables");
  if (fs::create_directory(folder)) {
    std::ofstream(folder + "/events.csv") << "subject_id,time,code\n1,2020-01-01,A\n";
    std::ofstream(folder + "/mapping.yaml")
        << "dataset: {name: x, version: \"1\"}\nfolder: .\ntables:\n"
           "  - {file: events.csv, subject: subject_id, time: time, code: \"{code}\"}\n";
  }
  return folder + "/mapping.yaml";
}

// The commands that make a folder, each with `out` as its output.
std::vector<std::vector<std::string>> Writers(const std::string& out) {
  return {{"simulate", out, "--subjects", "5", "--seed", "1"},
          {"ingest", World().meds(), "--out", out},
          {"ingest-csv", Mapping(), "--out", out}};
}

std::set<std::string> RelativeFiles(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    names.insert(fs::relative(entry.path(), folder).string());
  }
  return names;
}

class CurrentFolder {
 public:
  explicit CurrentFolder(const fs::path& folder) : before_(fs::current_path()) {
    fs::current_path(folder);
  }
  ~CurrentFolder() { fs::current_path(before_); }
  CurrentFolder(const CurrentFolder&) = delete;
  CurrentFolder& operator=(const CurrentFolder&) = delete;

 private:
  fs::path before_;
};

TEST(OneWriter, ASecondTrainingIsRefusedAndTheFirstGoesOn) {
  const std::string run = Path("one-writer");
  const auto arguments =
      World().TrainArguments("one-writer", {"schedule.steps=100000", "evaluation.every_steps=0"});
  RunningProgram first(arguments, {});
  const std::string metrics = run + "/metrics.jsonl";
  while ((!fs::exists(metrics) || fs::file_size(metrics) == 0) && !first.WaitFor(milliseconds(5))) {
  }
  for (const int ranks : {0, 2}) {
    const ProgramResult second = RunProgram(arguments, {.ranks = ranks});
    ExpectRefusal(second, {run, "another process is writing here"});
    EXPECT_EQ(CountOf(second.errors, "another process is writing here"), 1) << second.errors;
  }
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Finish().exit_code, kStopped);
  std::set<int> steps;
  for (const nlohmann::json& line : DeterministicMetrics(run)) {
    EXPECT_TRUE(steps.insert(line.at("step").get<int>()).second) << line;
  }
  EXPECT_FALSE(fs::exists(run + "/.sequela-writer"));
}

TEST(OneWriter, AFolderThatAnotherProcessFillsIsRefusedAndLeftAlone) {
  const std::string out = Path("filled");
  {
    PartialFolder held(out);
    std::ofstream(held.folder() / "content") << "ours";
    for (const auto& arguments : Writers(out)) {
      ExpectRefusal(RunProgram(arguments), {out, "another process is writing here"});
    }
    const ProgramResult ranks = RunProgram(Writers(out)[1], {.ranks = 2});
    ExpectRefusal(ranks, {out});
    EXPECT_EQ(CountOf(ranks.errors, "another process is writing here"), 1) << ranks.errors;
    EXPECT_EQ(FileBytes(held.folder() / "content"), "ours");
  }
  EXPECT_FALSE(fs::exists(out + ".partial"));
  EXPECT_EQ(RunProgram(Writers(out)[1]).exit_code, 0);
}

TEST(OneWriter, OfTwoIngestsOneWritesTheStore) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    const std::string out = Path("race" + std::to_string(attempt));
    RunningProgram first({"ingest", World().meds(), "--out", out}, {});
    first.WaitFor(milliseconds(30 * attempt));
    const ProgramResult second = RunProgram({"ingest", World().meds(), "--out", out});
    const std::set<int> codes = {first.Finish().exit_code, second.exit_code};
    EXPECT_EQ(codes, (std::set<int>{0, kBadInput})) << second.errors;
    EXPECT_EQ(RelativeFiles(out), RelativeFiles(World().store()));
    EXPECT_EQ(FileBytes(out + "/manifest.json"), FileBytes(World().store() + "/manifest.json"));
    EXPECT_FALSE(fs::exists(out + ".partial"));
  }
}

TEST(OneWriter, WhatAKilledProcessBeganIsTakenOverAndSaid) {
  int number = 0;
  for (const auto& arguments : Writers(Path("taken-over"))) {
    const pid_t child = ::fork();
    if (child == 0) {
      const PartialFolder held(Path("taken-over"));
      std::ofstream(held.folder() / "raw-0-0.spill") << "half a record";
      ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(child, nullptr, 0);
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    EXPECT_EQ(CountOf(result.errors, "taken over from"), 1) << arguments[0] << result.errors;
    EXPECT_EQ(CountOf(result.errors, std::to_string(child)), 1) << result.errors;
    fs::rename(Path("taken-over"), Path("was-taken-over" + std::to_string(number++)));
  }
}

TEST(Links, InARunFolderAreNotWrittenThrough) {
  const std::vector<std::string> steps = {"schedule.steps=4", "schedule.decay=constant"};
  const std::vector<std::string> more = {"schedule.steps=6", "schedule.decay=constant"};
  for (const std::string name : {"metrics.jsonl", "checkpoints"}) {
    const std::string run = "links-" + name;
    ASSERT_EQ(RunProgram(World().TrainArguments(run, steps)).exit_code, 0);
    const std::string victim = Path("victim-" + name);
    fs::rename(Path(run) + "/" + name, victim);
    fs::create_symlink(victim, Path(run) + "/" + name);
    const auto before = fs::is_directory(victim) ? RelativeFiles(victim) : std::set<std::string>();
    const std::string bytes = fs::is_directory(victim) ? "" : FileBytes(victim);
    ExpectRefusal(RunProgram(World().TrainArguments(run, more)), {Path(run) + "/" + name, "link"});
    if (fs::is_directory(victim)) {
      EXPECT_EQ(RelativeFiles(victim), before);
    } else {
      EXPECT_EQ(FileBytes(victim), bytes);
    }
  }
}

TEST(Links, AnEmptyFolderBehindALinkBecomesTheRun) {
  fs::create_directory(Path("far"));
  fs::create_directory_symlink(Path("far"), Path("near"));
  EXPECT_EQ(RunProgram(World().TrainArguments("near/", {"schedule.steps=2"})).exit_code, 0);
  EXPECT_TRUE(fs::is_symlink(Path("near")));
  EXPECT_TRUE(fs::exists(Path("far") + "/run.json"));
}

TEST(Modes, NobodyElseReadsWhateverTheUmask) {
  const mode_t before = ::umask(0);
  std::vector<std::string> places;
  for (const auto& arguments : Writers("")) {
    places.push_back(Path("open-" + arguments[0]));
    auto filled = arguments;
    std::replace(filled.begin(), filled.end(), std::string(), places.back());
    EXPECT_EQ(RunProgram(filled).exit_code, 0);
  }
  EXPECT_EQ(RunProgram(World().TrainArguments("open-run", {"schedule.steps=4"})).exit_code, 0);
  ::umask(before);
  places.push_back(Path("open-run"));
  for (const std::string& place : places) {
    std::vector<fs::path> all = {place};
    for (const auto& entry : fs::recursive_directory_iterator(place)) all.push_back(entry.path());
    EXPECT_GT(all.size(), 3U);
    for (const fs::path& path : all) {
      const auto others = fs::perms::group_all | fs::perms::others_all;
      EXPECT_EQ(fs::status(path).permissions() & others, fs::perms::none) << path;
    }
  }
}

TEST(Names, OfAnotherEncodingGiveValidJson) {
  const std::string meds = Path(
      "donn\xe9"
      "es");
  const std::string store = Path("st\xf4re");
  fs::copy(World().meds(), meds, fs::copy_options::recursive);
  EXPECT_EQ(RunProgram({"ingest", meds, "--out", store}).exit_code, 0);
  const auto manifest = nlohmann::json::parse(FileBytes(store + "/manifest.json"));
  EXPECT_EQ(manifest.at("source").at("name"),
            "donn\xEF\xBF\xBD"
            "es");
  EXPECT_EQ(RunProgram({"verify", store}).exit_code, 0);
  const ProgramResult inspected = RunProgram({"inspect", store, "--json"});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.errors;
  EXPECT_EQ(nlohmann::json::parse(inspected.output).at("kind"), "chain_store");

  ASSERT_EQ(RunProgram(World().TrainArguments("plain-name", {"schedule.steps=2"})).exit_code, 0);
  fs::copy(Path("plain-name"), Path("\xff"), fs::copy_options::recursive);
  const ProgramResult evaluated = RunProgram({"evaluate", Path("\xff"), "--json"});
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.errors;
  EXPECT_TRUE(nlohmann::json::parse(evaluated.output).contains("run"));
}

TEST(Names, ThatTheRunsFilesCannotHoldAreRefused) {
  ExpectRefusal(RunProgram(World().TrainArguments("r\xe9", {})), {"run.folder", "UTF-8"});
  EXPECT_FALSE(fs::exists(Path("r\xe9")));
  ExpectRefusal(RunProgram(World().TrainArguments("x", {"data.store=\xe9"})),
                {"data.store", "UTF-8"});
}

TEST(Names, OfTheHomeFolder) {
  const std::string home = Path("home");
  fs::create_directory(home);
  const ProgramOptions options{.environment = {"HOME=" + home}};
  fs::copy(World().store(), home + "/store", fs::copy_options::recursive);
  const CurrentFolder here(World().folder().path());
  EXPECT_EQ(RunProgram({"train", World().experiment(), "data.store=~/store", "run.folder=~/run",
                        "schedule.steps=2"},
                       options)
                .exit_code,
            0);
  EXPECT_TRUE(fs::exists(home + "/run/run.json"));
  EXPECT_EQ(RunProgram({"evaluate", "~/run"}, options).exit_code, 0);
  EXPECT_EQ(
      RunProgram({"simulate", "~/lives", "--subjects", "3", "--seed", "1"}, options).exit_code, 0);
  EXPECT_TRUE(fs::exists(home + "/lives/data"));
  EXPECT_FALSE(fs::exists("~"));
  ExpectRefusal(RunProgram({"verify", "~somebody/store"}, options), {"~somebody/store"});
}

TEST(Names, ThatTheSystemRefusesAreNamed) {
  fs::create_symlink(Path("loop"), Path("loop"));
  std::ofstream(Path("a-file")) << "x";
  const std::string long_name(300, 'a');
  for (const std::string& bad : {Path("loop"), Path("loop/x"), Path(long_name), Path("a-file/x")}) {
    std::vector<std::vector<std::string>> commands = {
        {"inspect", bad},
        {"verify", bad},
        {"describe", bad},
        {"oracle", bad},
        {"evaluate", bad},
        {"train", bad},
        {"ingest", bad, "--out", Path("none")},
        {"ingest-csv", bad, "--out", Path("none")},
        {"ingest", World().meds(), "--out", Path("none"), "--vocabulary", bad},
        {"ingest", World().meds(), "--out", Path("none"), "--config", bad},
        {"ingest", World().meds(), "--out", Path("none"), "--splits", bad},
        {"ingest", World().meds(), "--out", Path("none"), "--keep-codes", bad},
        World().TrainArguments("none", {"data.store=" + bad}),
        World().TrainArguments("none", {"run.folder=" + bad}),
        World().TrainArguments("none", {"--init-from", bad})};
    for (const auto& arguments : Writers(bad)) commands.push_back(arguments);
    for (const auto& command : commands) {
      SCOPED_TRACE(command[0] + " " + command.back().substr(0, 60));
      ExpectRefusal(RunProgram(command), {fs::path(bad).filename()});
    }
    EXPECT_FALSE(fs::exists(Path("none")));
  }
}

// A run on a store of its own, both named relatively to the folder that it returns.
std::string RelativeRun(const std::string& name) {
  const std::string folder = Path(name);
  fs::create_directory(folder);
  fs::copy(World().store(), folder + "/store", fs::copy_options::recursive);
  const CurrentFolder here(folder);
  const ProgramResult result = RunProgram(
      {"train", World().experiment(), "data.store=store", "run.folder=run", "schedule.steps=4"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  return folder;
}

TEST(MovedStore, IsFoundFromAnyFolderByItsContent) {
  const std::string folder = RelativeRun("relative");
  const std::string run = folder + "/run";
  const ProgramResult evaluated = RunProgram({"evaluate", run, "--json"});
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.errors;
  EXPECT_EQ(nlohmann::json::parse(evaluated.output).at("store"), folder + "/store");
  EXPECT_EQ(RunProgram({"ingest", World().meds(), "--out", folder + "/again", "--vocabulary", run})
                .exit_code,
            0);
  const auto inspected = nlohmann::json::parse(RunProgram({"inspect", run, "--json"}).output);
  EXPECT_EQ(inspected.at("store"), folder + "/store");

  // It lies at data.store of another folder: the first place is taken.
  fs::create_directory(folder + "/elsewhere");
  fs::rename(folder + "/store", folder + "/elsewhere/store");
  {
    const CurrentFolder here(folder + "/elsewhere");
    EXPECT_EQ(RunProgram({"evaluate", "../run"}).exit_code, 0);
  }
  const std::vector<std::string> words = {"data.store, store: no chain store", folder + "/store",
                                          "--store"};
  ExpectRefusal(RunProgram({"evaluate", run}), words);
  ExpectRefusal(
      RunProgram({"ingest", World().meds(), "--out", folder + "/third", "--vocabulary", run}),
      words);
  EXPECT_EQ(RunProgram({"evaluate", run, "--store", folder + "/elsewhere/store"}).exit_code, 0);
  const auto without = nlohmann::json::parse(RunProgram({"inspect", run, "--json"}).output);
  EXPECT_FALSE(without.contains("store"));
  EXPECT_NE(without.at("store_fault").get<std::string>().find("store"), std::string::npos);
}

TEST(MovedStore, AnotherOneInItsPlaceIsRefused) {
  const std::string folder = RelativeRun("replaced");
  const std::string run = folder + "/run";
  const auto hash_of = [](const std::string& store) {
    return nlohmann::json::parse(FileBytes(store + "/manifest.json"))
        .at("content_hash")
        .get<std::string>();
  };
  const std::string trained_on = hash_of(folder + "/store");
  fs::rename(folder + "/store", folder + "/old");
  // The same vocabulary, other splits: subjects of train are held out.
  ASSERT_EQ(RunProgram({"ingest", World().meds(), "--out", folder + "/store", "--vocabulary",
                        folder + "/old", "--folds", "3", "--fold", "0"})
                .exit_code,
            0);
  const CurrentFolder here(folder);
  ExpectRefusal(RunProgram({"evaluate", "run"}), {trained_on, hash_of(folder + "/store")});
  ExpectRefusal(
      RunProgram({"ingest", World().meds(), "--out", folder + "/third", "--vocabulary", "run"}),
      {trained_on, hash_of(folder + "/store")});
  // By name it is scored, with a word about it.
  const ProgramResult named = RunProgram({"evaluate", "run", "--store", "store"});
  EXPECT_EQ(named.exit_code, 0) << named.errors;
  EXPECT_EQ(CountOf(named.errors, "is not the store that"), 1) << named.errors;
}

}  // namespace
}  // namespace sequela::testing
