// ctest: timeout=300 arrow mpi
// How the program and its scripts are started: launchers, descriptors, processors, what the scripts
// say of a machine that lacks something, and a tree that was installed and moved.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kProgram = SEQUELA_PROGRAM;
constexpr const char* kScripts = SEQUELA_SOURCE_DIR "/launch";

TinyWorld& World() {
  static TinyWorld world;
  return world;
}

struct Ending {
  int code = -1;
  std::string text;  // standard output and error
};

// A command of bash, with a limit of a minute.
Ending Shell(const std::string& command) {
  const std::string file = World().folder() / "command.sh";
  if (FILE* script = std::fopen(file.c_str(), "w")) {
    std::fputs(command.c_str(), script);
    std::fclose(script);
  }
  Ending ending;
  FILE* pipe = ::popen(fmt::format("timeout 60 bash {} 2>&1", file).c_str(), "r");
  std::array<char, 4096> chunk{};
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) ending.text += chunk.data();
  const int status = ::pclose(pipe);
  ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ending;
}

std::string Train(const std::string& run, const std::string& more = "") {
  std::string command = kProgram;
  for (const std::string& argument : World().TrainArguments(run, {"schedule.steps=2"})) {
    command += fmt::format(" '{}'", argument);
  }
  return command + " " + more;
}

TEST(Commands, AreListedWhereNoneIsNamed) {
  for (const char* words : {"", "help", "trian", "help trian", "--help"}) {
    const Ending ending = Shell(fmt::format("{} {}", kProgram, words));
    const std::string name = words;
    EXPECT_EQ(ending.code, name == "help" || name == "--help" ? 0 : 2) << words;
    for (const char* command : {"simulate", "ingest-csv", "verify", "train ", "evaluate"}) {
      EXPECT_THAT(ending.text, ContainsRegex(fmt::format("\n  {}", command))) << words;
    }
    if (name.find("trian") != std::string::npos) {
      EXPECT_THAT(ending.text, HasSubstr("'trian'; did you mean 'train'?"));
    }
  }
  EXPECT_THAT(Shell(fmt::format("{} help verify", kProgram)).text, HasSubstr("sequela verify"));
}

TEST(Launchers, CommandsThatNeedNoRanksStartNoMpi) {
  // One rank of a job alone; the others never call.
  const std::string alone =
      fmt::format("{}/mpirun.sh 2 bash -c '[ $OMPI_COMM_WORLD_RANK = 0 ] || {} describe {}'",
                  kScripts, kProgram, World().meds());
  EXPECT_EQ(Shell(alone).code, 0);
  for (const std::string& words : {std::string("--version"), "inspect " + World().store()}) {
    EXPECT_EQ(Shell(fmt::format("SLURM_STEP_NUM_TASKS=2 {} {}", kProgram, words)).code, 0);
  }
}

TEST(Launchers, ACommandLineThatCannotBeReadStartsNoMpi) {
  const Ending ending = Shell(fmt::format("{}/mpirun.sh 3 {} train --bogus", kScripts, kProgram));
  EXPECT_EQ(ending.code, 2);
  EXPECT_EQ(ending.text.find("--bogus"), ending.text.rfind("--bogus")) << ending.text;
}

TEST(Launchers, ProcessesThatWouldTrainAlikeInOneFolderAreRefused) {
  for (const char* settings : {"WORLD_SIZE=2 RANK=0", "FLUX_JOB_SIZE=2", "JSM_NAMESPACE_SIZE=2"}) {
    const Ending ending = Shell(fmt::format("{} {}", settings, Train("foreign")));
    EXPECT_EQ(ending.code, 2) << settings;
    EXPECT_THAT(ending.text, HasSubstr("mpirun.sh"));
    EXPECT_FALSE(fs::exists(World().folder() / "foreign"));
  }
}

TEST(Descriptors, ResultsThatAreLostAreAFailure) {
  for (const std::string& words :
       {std::string("--version"), std::string("help"), "describe " + World().meds() + " --json",
        "inspect " + World().store(), std::string("train --document-fields")}) {
    const Ending ending = Shell(fmt::format("{} {} > /dev/full", kProgram, words));
    EXPECT_EQ(ending.code, 4) << words << ": " << ending.text;
    EXPECT_THAT(ending.text, HasSubstr("No space left on device")) << words;
  }
}

TEST(Descriptors, AReaderThatHasSeenEnoughIsNone) {
  const Ending ending = Shell(fmt::format("{} inspect {} | (exec <&-); echo ${{PIPESTATUS[0]}}",
                                          kProgram, World().store()));
  EXPECT_EQ(ending.text, "141\n") << "as of other programs, and not a word";
}

TEST(Descriptors, ClosedOnesAreNotTakenForFiles) {
  const std::string store = World().folder() / "closed";
  const Ending ending =
      Shell(fmt::format("{0} ingest {1} --out {2} <&- >&- 2>&-; echo $?; {0} verify {2}", kProgram,
                        World().meds(), store));
  EXPECT_EQ(ending.code, 0) << ending.text;
  EXPECT_THAT(ending.text, ::testing::StartsWith("0\n"));
}

TEST(Processors, TheAffinityMaskDecidesTheThreads) {
  const std::string first = "$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')";
  const Ending one = Shell("unset OMP_NUM_THREADS; taskset -c " + first + " " +
                           Train("one-cpu", "parallel.threads=0"));
  EXPECT_THAT(one.text, HasSubstr("1 rank x 1 thread,"));
  const Ending script = Shell(fmt::format(
      "unset OMP_NUM_THREADS; taskset -c {} {}/mpirun.sh 2 bash -c 'echo $OMP_NUM_THREADS'", first,
      kScripts));
  EXPECT_EQ(script.text, "1\n1\n");
}

TEST(MpirunScript, SaysWhatIsWrongWithItsArguments) {
  const std::string script = std::string(kScripts) + "/mpirun.sh";
  EXPECT_EQ(Shell(script + " --help").code, 0);
  for (const char* arguments : {"", "0 true", "two true", "2", "2 /no/such/program"}) {
    const Ending ending = Shell(script + " " + arguments);
    EXPECT_EQ(ending.code, 2) << arguments;
    EXPECT_THAT(ending.text, ::testing::StartsWith("mpirun.sh: ")) << arguments;
  }
}

TEST(MpirunScript, SaysHowACommandEndedThatSaidNothing) {
  const std::string script = std::string(kScripts) + "/mpirun.sh 2 bash -c ";
  const Ending failed = Shell(script + "'exit 7'");
  EXPECT_EQ(failed.code, 7);
  EXPECT_EQ(failed.text, "mpirun.sh: bash ended with exit code 7\n");
  const Ending spoke = Shell(script + "'echo mine >&2; exit 2'");
  EXPECT_EQ(spoke.code, 2);
  EXPECT_THAT(spoke.text, Not(HasSubstr("mpirun"))) << "the command's own words are enough";
  const Ending killed = Shell(script + "'kill -SEGV $$'");
  EXPECT_EQ(killed.code, 139);
  EXPECT_THAT(killed.text, HasSubstr("signal 11 (SEGV)"));
}

TEST(MpirunScript, TellsWhenResultsAreLost) {
  const std::string script = std::string(kScripts) + "/mpirun.sh 2 ";
  const Ending full = Shell(script + "echo result > /dev/full");
  EXPECT_EQ(full.code, 4);
  EXPECT_THAT(full.text, HasSubstr("No space left on device"));
  const Ending closed = Shell("(" + script + "seq 100000; echo $? >&2) | head -n 1");
  EXPECT_EQ(closed.text, "1\n141\n");
  EXPECT_EQ(Shell(script + "seq 50000 | wc -l").text, "100000\n");
}

TEST(MpirunScript, NamesWhatTheMachineLacks) {
  const std::string script = std::string(kScripts) + "/mpirun.sh 2 true";
  const Ending folder = Shell("TMPDIR=/proc " + script);
  EXPECT_EQ(folder.code, 4);
  EXPECT_THAT(folder.text, HasSubstr("TMPDIR"));
  if (Shell("unshare -n -m true").code != 0) GTEST_SKIP() << "no right to make namespaces";
  const Ending network = Shell("unshare -n " + script);
  EXPECT_EQ(network.code, 4);
  EXPECT_THAT(network.text, HasSubstr("ip link set lo up"));
  const Ending memory =
      Shell(fmt::format("unshare -m bash <<'SCRIPT'\nmount -t tmpfs -o size=1m none /dev/shm\n"
                        "exec {}/mpirun.sh 4 {}\nSCRIPT\n",
                        kScripts, Train("small-shm")));
  EXPECT_EQ(memory.code, 0) << memory.text;
  EXPECT_THAT(memory.text, HasSubstr("/dev/shm has"));
}

TEST(Scripts, SayWhatTheyDoAndRefuseWhatTheyDoNotKnow) {
  for (const char* script : {"build.sh", "mpirun.sh", "package.sh", "quickstart.sh", "setup.sh",
                             "test.sh", "sequela.sbatch"}) {
    const Ending help = Shell(fmt::format("bash {}/{} --help", kScripts, script));
    EXPECT_EQ(help.code, 0) << script;
    EXPECT_THAT(help.text, HasSubstr(script)) << script;
    EXPECT_THAT(help.text, Not(HasSubstr("#!"))) << script;
    const Ending wrong = Shell(fmt::format("bash {}/{} --no-such-option", kScripts, script));
    EXPECT_EQ(wrong.code, 2) << script << ": " << wrong.text;
  }
}

TEST(BatchScript, GivesEachTaskItsProcessors) {
  const Ending ending = Shell(fmt::format(
      "srun() {{ echo \"srun $*\"; }}; export -f srun; SLURM_SUBMIT_DIR=/x SLURM_CPUS_PER_TASK=4 "
      "SLURM_JOB_ID=1 SLURM_NTASKS=2 SLURM_JOB_NUM_NODES=1 bash {}/sequela.sbatch a.yaml",
      kScripts));
  EXPECT_THAT(ending.text, ContainsRegex("srun .*--cpus-per-task=4 .*sequela train a.yaml"));
}

// Works from wherever it lies: nothing in it names the folder where it was built.
TEST(InstalledTree, IsWholeAndCanBeMoved) {
  const std::string build = fs::path(kProgram).parent_path().parent_path();
  const std::string folder = World().folder().path();
  const Ending ending = Shell(fmt::format(
      "set -e; cmake --install {0} --prefix {1}/installed > {1}/log || cat {1}/log; "
      "mv {1}/installed {1}/moved; cd {1}/moved; "
      "env -i PATH=/usr/bin:/bin bin/sequela --version; "
      "readelf -d bin/sequela | grep -E 'R(UN)?PATH'; "
      "test -x share/sequela/launch/mpirun.sh; ls share/sequela/configs/quickstart.yaml; "
      "env -i bin/sequela train --print-config share/sequela/configs/quickstart.yaml",
      build, folder));
  EXPECT_EQ(ending.code, 0) << ending.text;
  EXPECT_THAT(ending.text, HasSubstr("[$ORIGIN/../lib/sequela]"));
}

}  // namespace
}  // namespace sequela::testing
