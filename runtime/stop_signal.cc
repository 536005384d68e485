#include "runtime/stop_signal.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <thread>

#include "kernels/base/check.h"

namespace sequela {
namespace {

struct NamedSignal {
  int number;
  const char* name;
};

constexpr std::array kStopSignals = {
    NamedSignal{SIGTERM, "SIGTERM"}, NamedSignal{SIGINT, "SIGINT"},
    NamedSignal{SIGHUP, "SIGHUP"},   NamedSignal{SIGUSR1, "SIGUSR1"},
    NamedSignal{SIGUSR2, "SIGUSR2"}, NamedSignal{SIGXCPU, "SIGXCPU"}};
constexpr std::array kIgnoredSignals = {SIGPIPE, SIGXFSZ};

// Programs that pass signals on send one Ctrl-C twice within milliseconds; a person takes longer.
constexpr auto kSecondInterrupt = std::chrono::milliseconds(200);

// How the process was started. Written by BlockStopSignals alone, before there are threads.
struct Inherited {
  sigset_t mask;
  std::array<struct sigaction, kStopSignals.size()> stop;
  std::array<struct sigaction, kIgnoredSignals.size()> ignored;
};
Inherited g_inherited;
sigset_t g_taken;  // what the waiting thread waits for
bool g_blocked = false;

std::atomic<OnStopSignal> g_action{OnStopSignal::kEndProcess};
std::atomic<int> g_request{0};
std::atomic<bool> g_listening{false};  // a StopSignal lives

void SetDisposition(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

// In a child of fork, before it does anything: only calls that are safe there.
void RestoreInherited() {
  for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
    sigaction(kStopSignals[i].number, &g_inherited.stop[i], nullptr);
  }
  for (std::size_t i = 0; i < kIgnoredSignals.size(); ++i) {
    sigaction(kIgnoredSignals[i], &g_inherited.ignored[i], nullptr);
  }
  pthread_sigmask(SIG_SETMASK, &g_inherited.mask, nullptr);
}

bool WasIgnored(int signal) {
  for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
    if (kStopSignals[i].number == signal) return g_inherited.stop[i].sa_handler == SIG_IGN;
  }
  return false;
}

// Whoever waits for this process sees that the signal ended it. The first process of a container is
// not ended by signals: it exits.
[[noreturn]] void EndProcess(int signal) {
  SetDisposition(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  std::raise(signal);
  ::_exit(128 + signal);
}

// The waiting thread. Whoever presses Ctrl-C twice does not want to wait for a checkpoint.
[[noreturn]] void ServeStopSignals() {
  using Clock = std::chrono::steady_clock;
  Clock::time_point interrupted{};
  while (true) {
    int signal = 0;
    if (sigwait(&g_taken, &signal) != 0) continue;
    if (g_action == OnStopSignal::kEndProcess) {
      if (!WasIgnored(signal)) EndProcess(signal);
      continue;
    }
    int none = 0;
    g_request.compare_exchange_strong(none, signal);
    if (signal != SIGINT) continue;
    const Clock::time_point now = Clock::now();
    if (interrupted == Clock::time_point{}) {
      interrupted = now;
    } else if (now - interrupted >= kSecondInterrupt) {
      EndProcess(signal);
    }
  }
}

}  // namespace

void BlockStopSignals() {
  SEQUELA_CHECK(!g_blocked, "signals are blocked already");
  g_blocked = true;
  sigemptyset(&g_taken);
  for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
    const int signal = kStopSignals[i].number;
    sigaction(signal, nullptr, &g_inherited.stop[i]);
    if (signal == SIGHUP && WasIgnored(signal)) continue;
    sigaddset(&g_taken, signal);
  }
  pthread_sigmask(SIG_BLOCK, &g_taken, &g_inherited.mask);
  // An ignored signal would not wait.
  for (const NamedSignal& stop : kStopSignals) {
    if (sigismember(&g_taken, stop.number) == 1) SetDisposition(stop.number, SIG_DFL);
  }
  for (std::size_t i = 0; i < kIgnoredSignals.size(); ++i) {
    sigaction(kIgnoredSignals[i], nullptr, &g_inherited.ignored[i]);
    SetDisposition(kIgnoredSignals[i], SIG_IGN);
  }
  pthread_atfork(nullptr, nullptr, RestoreInherited);
}

void TakeStopSignals(OnStopSignal action) {
  SEQUELA_CHECK(g_blocked, "main() calls BlockStopSignals first");
  g_action = action;
  static std::once_flag started;
  std::call_once(started, [] { std::thread(ServeStopSignals).detach(); });
}

StopSignal::StopSignal(double time_limit_seconds, OnStopSignal action)
    : start_(std::chrono::steady_clock::now()), time_limit_seconds_(time_limit_seconds) {
  SEQUELA_CHECK(!g_listening.exchange(true), "a second StopSignal");
  if (g_blocked) TakeStopSignals(action);
}

StopSignal::~StopSignal() {
  g_request = 0;
  g_listening = false;
}

std::int64_t StopSignal::request() const {
  if (const int signal = g_request; signal != 0) return signal;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  return time_limit_seconds_ > 0 && elapsed.count() >= time_limit_seconds_ ? kTimeLimit : 0;
}

std::int64_t StopSignal::Agree(Communicator& communicator) const {
  std::int64_t requests = request();
  communicator.AllReduceMax({&requests, 1});
  return requests;
}

std::string StopSignal::Describe(std::int64_t request) {
  if (request == kTimeLimit) return "the time limit";
  for (const NamedSignal& stop : kStopSignals) {
    if (stop.number == request) return stop.name;
  }
  return fmt::format("signal {}", request);
}

}  // namespace sequela
