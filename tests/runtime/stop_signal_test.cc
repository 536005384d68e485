// ctest: timeout=60
// Stop requests as a process of its own meets them. With --as the test plays such a process.
#include "runtime/stop_signal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

namespace sequela {
namespace {

using std::chrono::milliseconds;

constexpr std::array kStopSignals = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
constexpr int kServed = 40;   // exit code of a process that noted the signal
constexpr int kNothing = 41;  // that noted nothing
std::string g_program;

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(10));
  return condition();
}

// A process that plays a role; it says that it is ready by one byte.
class Process {
 public:
  // `ignored`: a signal that it is started with as ignored; 0: none.
  explicit Process(const std::string& role, int ignored = 0) {
    int ends[2];
    if (::pipe(ends) != 0) return;
    process_ = ::fork();
    if (process_ == 0) {
      if (ignored != 0) std::signal(ignored, SIG_IGN);
      ::dup2(ends[1], STDOUT_FILENO);
      ::execl(g_program.c_str(), g_program.c_str(), ("--as=" + role).c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    char byte = 0;
    ready_ = ::read(ends[0], &byte, 1) == 1;
    ::close(ends[0]);
  }
  ~Process() {
    if (process_ > 0 && !ended_) Finish();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool ready() const { return ready_; }
  void Send(int signal) const { ::kill(process_, signal); }
  // Its exit code, or 128 + the signal that ended it.
  int Finish() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t process_ = -1;
  bool ready_ = false;
  bool ended_ = false;
};

TEST(StopSignalTest, NotesTheFirstSignalAndTheTimeLimit) {
  for (const int signal : kStopSignals) {
    const StopSignal stop;
    EXPECT_EQ(stop.request(), 0);
    ::kill(::getpid(), signal);
    EXPECT_TRUE(Eventually([&] { return stop.request() == signal; })) << signal;
    EXPECT_EQ(stop.Agree(*MakeSelfCommunicator()), signal);
  }
  const StopSignal limited(0.01);
  EXPECT_TRUE(Eventually([&] { return limited.request() == StopSignal::kTimeLimit; }));
  EXPECT_EQ(StopSignal::Describe(SIGTERM), "SIGTERM");
  EXPECT_EQ(StopSignal::Describe(SIGXCPU), "SIGXCPU");
  EXPECT_EQ(StopSignal::Describe(StopSignal::kTimeLimit), "the time limit");
}

// The mask of this kind ("SigBlk:", "SigCgt:") in a status file of /proc.
std::uint64_t MaskIn(const std::filesystem::path& status, const std::string& kind) {
  std::ifstream file(status);
  for (std::string word; file >> word;) {
    if (word == kind) {
      file >> word;
      return std::stoull(word, nullptr, 16);
    }
  }
  return 0;
}

TEST(StopSignalTest, NoThreadTakesASignalInAHandler) {
  const StopSignal stop;
  std::jthread other([](const std::stop_token& ended) {
    while (!ended.stop_requested()) std::this_thread::sleep_for(milliseconds(1));
  });
  std::uint64_t stop_bits = 0;
  for (const int signal : kStopSignals) stop_bits |= std::uint64_t{1} << (signal - 1);
  int blocked = 0;
  int waiting = 0;  // the kernel opens a thread's mask for what it waits for
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::filesystem::path status = thread.path() / "status";
    EXPECT_EQ(MaskIn(status, "SigCgt:") & stop_bits, 0U);
    if ((MaskIn(status, "SigBlk:") & stop_bits) == stop_bits) {
      ++blocked;
    } else {
      ++waiting;
    }
  }
  EXPECT_GE(blocked, 2) << "this thread and the other";
  EXPECT_EQ(waiting, 1);
}

TEST(StopSignalTest, AWriteToAClosedPipeFails) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  EXPECT_EQ(::write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[1]);
}

TEST(StopSignalTest, AForkedProcessHasWhatThisOneWasStartedWith) {
  const pid_t child = ::fork();
  if (child == 0) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    struct sigaction pipe {};
    sigaction(SIGPIPE, nullptr, &pipe);
    const bool as_started =
        sigismember(&blocked, SIGTERM) == 0 && pipe.sa_handler == SIG_DFL;  // NOLINT
    ::_exit(as_started ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(StopSignalTest, ACommandThatWritesNoCheckpointIsEnded) {
  for (const int signal : kStopSignals) {
    Process process("ends");
    ASSERT_TRUE(process.ready());
    process.Send(signal);
    EXPECT_EQ(process.Finish(), 128 + signal);
  }
}

TEST(StopSignalTest, WhatComesBeforeItIsTakenWaits) {
  EXPECT_EQ(Process("raises-early").Finish(), kServed);
}

TEST(StopSignalTest, ASecondInterruptEndsTheProcess) {
  Process process("notes");
  ASSERT_TRUE(process.ready());
  process.Send(SIGINT);
  process.Send(SIGINT);  // the same, passed on twice
  std::this_thread::sleep_for(milliseconds(400));
  process.Send(SIGINT);
  EXPECT_EQ(process.Finish(), 128 + SIGINT);
}

TEST(StopSignalTest, OtherRepeatedRequestsDoNot) {
  Process process("notes");
  ASSERT_TRUE(process.ready());
  process.Send(SIGTERM);
  std::this_thread::sleep_for(milliseconds(400));
  process.Send(SIGTERM);
  EXPECT_EQ(process.Finish(), kServed);
}

TEST(StopSignalTest, AHangupThatIsIgnoredStaysIgnored) {
  Process noting("notes", SIGHUP);
  Process ending("ends-later", SIGHUP);
  ASSERT_TRUE(noting.ready() && ending.ready());
  noting.Send(SIGHUP);
  ending.Send(SIGHUP);
  EXPECT_EQ(noting.Finish(), kNothing);
  EXPECT_EQ(ending.Finish(), kNothing);
}

TEST(StopSignalTest, AnInterruptThatIsIgnoredEndsNoCommand) {
  Process ending("ends-later", SIGINT);  // as shells start what they put into the background
  ASSERT_TRUE(ending.ready());
  ending.Send(SIGINT);
  EXPECT_EQ(ending.Finish(), kNothing);
}

void SayReady() { (void)!::write(STDOUT_FILENO, "r", 1); }

int PlayRole(const std::string& role) {
  if (role == "raises-early") {
    ::kill(::getpid(), SIGTERM);
    const StopSignal stop;
    return Eventually([&] { return stop.request() == SIGTERM; }) ? kServed : kNothing;
  }
  if (role == "notes") {
    const StopSignal stop;
    SayReady();
    std::this_thread::sleep_for(milliseconds(1500));
    return stop.request() != 0 ? kServed : kNothing;
  }
  TakeStopSignals(OnStopSignal::kEndProcess);
  SayReady();
  std::this_thread::sleep_for(milliseconds(role == "ends" ? 10000 : 500));
  return kNothing;
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  sequela::BlockStopSignals();
  constexpr const char* kRole = "--as=";
  sequela::g_program = argv[0];
  if (argc > 1 && std::string(argv[1]).starts_with(kRole)) {
    return sequela::PlayRole(std::string(argv[1]).substr(5));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
