// ctest: timeout=600 arrow
// What goes wrong in the world ends within 10 seconds in one message that says what to do, with the
// exit code of the contract, and leaves nothing half-written.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "dataio/store/chain_store.h"
#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using ::testing::Test;

constexpr int kBadInput = 2;
constexpr int kMachineFailed = 4;
constexpr std::chrono::minutes kHang{1};  // what takes longer never ends

TinyWorld& World() {
  static TinyWorld world;
  return world;
}

// One message, in words, without the traces of a crash.
void ExpectRefusal(const ProgramResult& result, const std::vector<std::string>& words,
                   int exit_code = kBadInput) {
  EXPECT_EQ(result.exit_code, exit_code) << result.errors;
  for (const std::string& word : words) {
    EXPECT_NE(result.errors.find(word), std::string::npos) << "'" << word << "' in:\n"
                                                           << result.errors;
  }
  for (const char* trace : {"terminate called", "HDF5-DIAG", "what():", "MPI_ABORT was invoked"}) {
    EXPECT_EQ(result.errors.find(trace), std::string::npos) << result.errors;
  }
}

std::string CopyOfStore(const std::string& name) {
  const std::string copy = World().folder() / name;
  fs::copy(World().store(), copy, fs::copy_options::recursive);
  return copy;
}

std::string FirstShard(const std::string& store) {
  for (const auto& entry : fs::directory_iterator(store)) {
    if (entry.path().extension() == ".h5") return entry.path();
  }
  return "";
}

void FlipByte(const std::string& file, std::uintmax_t offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  const int byte = stream.get();
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(static_cast<char>(byte ^ 0x40));
}

TEST(Faults, MisspeltKeyNamesPlaceAndNearestKey) {
  const std::string file = World().folder() / "misspelt.yaml";
  std::ofstream(file) << "data: {store: x}\nmodel:\n  hiden_size: 32\n";
  ExpectRefusal(RunProgram({"train", file}), {"misspelt.yaml:3", "hiden_size", "hidden_size"});
}

TEST(Faults, MisspeltOverrideIsRefused) {
  ExpectRefusal(RunProgram(World().TrainArguments("x", {"optimizer.learning_rat=1"})),
                {"learning_rat", "learning_rate"});
}

TEST(Faults, MissingFiles) {
  ExpectRefusal(RunProgram({"train", World().folder() / "no-such.yaml"}), {"no-such.yaml"});
  ExpectRefusal(RunProgram(World().TrainArguments("x", {"data.store=/no/such/store"})),
                {"/no/such/store"});
  ExpectRefusal(RunProgram({"ingest", "/no/such/meds", "--out", World().folder() / "out"}),
                {"/no/such/meds"});
  ExpectRefusal(RunProgram({"evaluate", "/no/such/run"}), {"/no/such/run"});
  ExpectRefusal(RunProgram({"verify", "/no/such/store"}), {"/no/such/store"});
  EXPECT_FALSE(fs::exists(World().folder() / "out"));
}

TEST(Faults, CommandsInTheWrongOrder) {
  // A MEDS folder where a store is wanted, a store where a MEDS folder or a run is wanted.
  ExpectRefusal(RunProgram(World().TrainArguments("order", {"data.store=" + World().meds()})),
                {World().meds(), "ingest"});
  ExpectRefusal(RunProgram({"ingest", World().store(), "--out", World().folder() / "out2"}),
                {World().store()});
  ExpectRefusal(RunProgram({"evaluate", World().store()}), {World().store()});
  EXPECT_FALSE(fs::exists(World().folder() / "order"));
}

TEST(Faults, ExistingOutputIsKept) {
  const std::string before = FileBytes(World().store() + "/manifest.json");
  ExpectRefusal(RunProgram({"ingest", World().meds(), "--out", World().store()}),
                {World().store(), "exists"});
  EXPECT_EQ(FileBytes(World().store() + "/manifest.json"), before);
}

TEST(Faults, TruncatedStore) {
  const std::string store = CopyOfStore("truncated");
  const std::string shard = FirstShard(store);
  fs::resize_file(shard, fs::file_size(shard) / 2);
  ExpectRefusal(RunProgram({"verify", store}), {fs::path(shard).filename()});
  ExpectRefusal(RunProgram(World().TrainArguments("x", {"data.store=" + store}), {.ranks = 2}),
                {fs::path(shard).filename()});
}

TEST(Faults, OneFlippedByteIsFoundWhereverItLies) {
  const std::string store = CopyOfStore("flipped");
  const std::string shard = FirstShard(store);
  const std::uintmax_t size = fs::file_size(shard);
  // The middle of each sixteenth of the file, so that every dataset and the header are met.
  int found = 0;
  for (std::uintmax_t part = 0; part < 16; ++part) {
    const std::uintmax_t offset = (2 * part + 1) * size / 32;
    FlipByte(shard, offset);
    const ProgramResult result = RunProgram({"verify", store});
    if (result.exit_code != 0) {
      ExpectRefusal(result, {fs::path(shard).filename()});
      ++found;
    }
    FlipByte(shard, offset);
  }
  EXPECT_GE(found, 14) << "only padding between datasets may go unnoticed";
  EXPECT_EQ(RunProgram({"verify", store}).exit_code, 0);
}

TEST(Faults, TrainingRefusesADamagedStore) {
  const std::string store = CopyOfStore("damaged");
  const std::string shard = FirstShard(store);
  FlipByte(shard, fs::file_size(shard) / 2);
  ExpectRefusal(RunProgram(World().TrainArguments("damaged-run", {"data.store=" + store})),
                {fs::path(shard).filename()});
  EXPECT_FALSE(fs::exists(World().folder() / "damaged-run"));
}

TEST(Faults, StoreFromAnotherVocabulary) {
  const std::string name = "vocabulary-run";
  ASSERT_EQ(RunProgram(World().TrainArguments(name, {"schedule.steps=4"})).exit_code, 0);
  TinyWorld other(60);
  auto arguments = World().TrainArguments(name, {"schedule.steps=4"});
  arguments.push_back("data.store=" + other.store());
  ExpectRefusal(RunProgram(arguments), {other.store(), "vocabulary", "--vocabulary"});
}

TEST(Faults, ChangedSettingThatAffectsResultsIsNamed) {
  ASSERT_EQ(RunProgram(World().TrainArguments("changed", {"schedule.steps=8"})).exit_code, 0);
  ExpectRefusal(RunProgram(World().TrainArguments(
                    "changed", {"schedule.steps=8", "optimizer.learning_rate=0.5"})),
                {"optimizer.learning_rate", "0.5", "0.003"});
  // A setting of the speed group may change.
  EXPECT_EQ(
      RunProgram(World().TrainArguments("changed", {"schedule.steps=8", "parallel.threads=2"}))
          .exit_code,
      0);
}

TEST(Faults, MissingSplits) {
  const ProgramResult result =
      RunProgram({"ingest", World().meds(), "--out", World().folder() / "no-splits", "--splits",
                  World().folder() / "missing-splits.parquet"});
  ExpectRefusal(result, {"missing-splits.parquet"});
  EXPECT_FALSE(fs::exists(World().folder() / "no-splits"));
}

// The folder's entries, so that a test sees that nothing was added.
std::set<std::string> EntriesOf(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

TEST(Faults, NoSubjectInTrain) {
  const std::string splits = World().folder() / "all-held-out.csv";
  {
    std::ofstream file(splits);
    file << "subject_id,split\n";
    const ChainStore store = ChainStore::Open(World().store());
    for (std::int64_t i = 0; i < store.num_subjects(); ++i) {
      file << store.chain(i).subject_id << (i % 2 == 0 ? ",held_out\n" : ",tuning\n");
    }
  }
  const std::string store = World().folder() / "no-train";
  std::vector<std::string> ingest = {"ingest", World().meds(), "--out", store, "--splits", splits};
  const auto before = EntriesOf(World().folder().path());
  // There is nothing to fit a vocabulary on.
  for (const int ranks : {0, 2}) {
    ExpectRefusal(RunProgram(ingest, {.ranks = ranks}),
                  {World().meds(), "no subject in the train split", "--vocabulary"});
    EXPECT_EQ(EntriesOf(World().folder().path()), before);
  }
  // With a vocabulary from elsewhere it is a store to evaluate on, but not to train on.
  ingest.insert(ingest.end(), {"--vocabulary", World().store()});
  ASSERT_EQ(RunProgram(ingest).exit_code, 0);
  for (const int ranks : {0, 2}) {
    ExpectRefusal(RunProgram(World().TrainArguments("no-train-run", {"data.store=" + store}),
                             {.ranks = ranks}),
                  {store, "train", "--splits"});
    EXPECT_FALSE(fs::exists(World().folder() / "no-train-run"));
  }
}

TEST(Faults, AKilledRankEndsTheJob) {
  const auto arguments =
      World().TrainArguments("killed", {"schedule.steps=100000", "evaluation.every_steps=0"});
  RunningProgram program(arguments, {.ranks = 2});
  while (NewestCheckpoint(World().folder() / "killed").empty() &&
         !program.WaitFor(milliseconds(20))) {
  }
  const auto ranks = program.RankProcesses();
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks[1], SIGKILL);
  EXPECT_TRUE(program.WaitFor(kHang)) << "still running a minute after a rank died";
  const ProgramResult result = program.Finish();
  EXPECT_TRUE(result.exit_code == kMachineFailed || result.exit_code == 137) << result.exit_code;
  EXPECT_NE(NewestCheckpoint(World().folder() / "killed"), "");
}

TEST(Faults, AFileSystemThatHangsWhileSavingEndsTheJob) {
  const fs::path checkpoints = World().folder() / "hangs/checkpoints";
  RunningProgram program(
      World().TrainArguments("hangs", {"schedule.steps=100000", "data.global_batch_tokens=128",
                                       "evaluation.every_steps=0", "checkpoint.every_steps=20",
                                       "checkpoint.deadline_seconds=2"}),
      {.ranks = 2, .timeout_seconds = 60});
  while (NewestCheckpoint(World().folder() / "hangs").empty() &&
         !program.WaitFor(milliseconds(5))) {
  }
  // A pipe that nobody reads, where a coming checkpoint's file will be: opening it never returns.
  const fs::path partial = checkpoints / "step-00000300.partial";
  fs::create_directory(partial);
  ASSERT_EQ(::mkfifo((partial / "model.safetensors").c_str(), 0600), 0);
  const ProgramResult result = program.Finish();
  EXPECT_EQ(result.exit_code, kMachineFailed) << result.errors;
  EXPECT_NE(result.errors.find(partial.string() + " has made no progress for 2 s"),
            std::string::npos)
      << result.errors;
  EXPECT_EQ(NewestCheckpoint(World().folder() / "hangs"), "step-00000280");
}

// A file system of a few hundred kilobytes; needs the right to mount.
class FullDisk : public Test {
 protected:
  void SetUp() override {
    fs::create_directories(mount_point_);
    if (::mount("tmpfs", mount_point_.c_str(), "tmpfs", 0, "size=400k") != 0) {
      GTEST_SKIP() << "no right to mount a small file system";
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) ::umount2(mount_point_.c_str(), MNT_DETACH);
  }
  std::string mount_point_ = World().folder() / "small-disk";
  bool mounted_ = false;
};

TEST_F(FullDisk, TrainingEndsWithTheLastWholeCheckpoint) {
  auto arguments =
      World().TrainArguments("x", {"checkpoint.every_steps=1", "checkpoint.keep_last=100"});
  arguments.push_back("run.folder=" + mount_point_ + "/run");
  const ProgramResult result = RunProgram(arguments, {.ranks = 2});
  EXPECT_EQ(result.exit_code, kMachineFailed) << result.errors;
  EXPECT_NE(result.errors.find("No space left"), std::string::npos) << result.errors;
}

TEST_F(FullDisk, IngestLeavesNothing) {
  const std::string out = mount_point_ + "/store";
  const ProgramResult result = RunProgram({"ingest", World().meds(), "--out", out});
  ExpectRefusal(result, {"No space left"}, kMachineFailed);
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(FullDisk, ReadOnlyFolder) {
  ASSERT_EQ(::mount("", mount_point_.c_str(), "", MS_REMOUNT | MS_RDONLY, ""), 0);
  ExpectRefusal(RunProgram({"ingest", World().meds(), "--out", mount_point_ + "/store"}),
                {mount_point_ + "/store", "ead-only"});
  auto arguments = World().TrainArguments("x");
  arguments.push_back("run.folder=" + mount_point_ + "/run");
  ExpectRefusal(RunProgram(arguments, {.ranks = 2}), {mount_point_ + "/run", "ead-only"});
}

}  // namespace
}  // namespace sequela::testing
