#include "runtime/stop_signal.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstddef>

#include "kernels/base/check.h"

namespace sequela {
namespace {

constexpr std::array kSignals = {SIGTERM, SIGUSR1, SIGINT};

// What a handler may touch. One StopSignal at a time owns them.
volatile std::sig_atomic_t g_signal = 0;
std::array<struct sigaction, kSignals.size()> g_previous;
bool g_installed = false;

void Note(int signal) {
  // Who presses Ctrl-C twice does not want to wait for a checkpoint.
  if (signal == SIGINT && g_signal == SIGINT) std::_Exit(128 + SIGINT);
  g_signal = signal;
}

}  // namespace

StopSignal::StopSignal(double time_limit_seconds)
    : start_(std::chrono::steady_clock::now()), time_limit_seconds_(time_limit_seconds) {
  SEQUELA_CHECK(!g_installed, "a second StopSignal");
  g_installed = true;
  g_signal = 0;
  struct sigaction action {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &action, &g_previous[i]);
  }
}

StopSignal::~StopSignal() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &g_previous[i], nullptr);
  }
  g_installed = false;
}

std::int64_t StopSignal::wish() const {
  if (g_signal != 0) return g_signal;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  return time_limit_seconds_ > 0 && elapsed.count() >= time_limit_seconds_ ? kTimeLimit : 0;
}

std::int64_t StopSignal::Agree(Communicator& communicator) const {
  std::int64_t wishes = wish();
  communicator.AllReduceMax({&wishes, 1});
  return wishes;
}

std::string StopSignal::Describe(std::int64_t wish) {
  switch (wish) {
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGINT:
      return "SIGINT";
    case kTimeLimit:
      return "the time limit";
    default:
      return fmt::format("signal {}", wish);
  }
}

}  // namespace sequela
