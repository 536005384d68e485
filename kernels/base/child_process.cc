#include "kernels/base/child_process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

// A message from child to parent: kind, the text's size, the text.
enum class Kind : char { kNote, kResult, kInputError, kMachineError, kBadAlloc, kOther };

void WriteAll(int descriptor, const void* data, std::size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ::_exit(1);  // nobody reads: the parent has ended
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

void Send(int descriptor, Kind kind, std::string_view text) {
  const auto size = static_cast<std::uint64_t>(text.size());
  WriteAll(descriptor, &kind, sizeof(kind));
  WriteAll(descriptor, &size, sizeof(size));
  WriteAll(descriptor, text.data(), text.size());
}

[[noreturn]] void WorkAsChild(int descriptor, pid_t parent,
                              const std::function<std::string(const ChildNotes&)>& work) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  try {
    const std::string result =
        work([descriptor](std::string_view text) { Send(descriptor, Kind::kNote, text); });
    Send(descriptor, Kind::kResult, result);
  } catch (const InputError& error) {
    Send(descriptor, Kind::kInputError, error.what());
  } catch (const MachineError& error) {
    Send(descriptor, Kind::kMachineError, error.what());
  } catch (const std::bad_alloc&) {
    Send(descriptor, Kind::kBadAlloc, "");
  } catch (const std::exception& error) {
    Send(descriptor, Kind::kOther, error.what());
  }
  ::_exit(0);  // what runs at exit belongs to the parent
}

std::string ReadAll(int descriptor) {
  std::string all;
  char piece[4096];
  while (true) {
    const ssize_t size = ::read(descriptor, piece, sizeof(piece));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return all;
    all.append(piece, static_cast<std::size_t>(size));
  }
}

// How a child ended, which counts where it sent no result.
std::string DeathOf(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    std::string death = fmt::format("signal {} ({})", signal, ::strsignal(signal));
    if (signal != SIGKILL && signal != SIGTERM) return death;
    throw MachineError("a process that was reading for this one was ended by {}", death);
  }
  return fmt::format("exit code {}", WEXITSTATUS(status));
}

// Throws what the work threw.
ChildOutcome OutcomeOf(std::string_view messages, std::string death) {
  ChildOutcome outcome;
  outcome.death = std::move(death);
  constexpr std::size_t kHead = sizeof(Kind) + sizeof(std::uint64_t);
  while (messages.size() >= kHead) {
    Kind kind = Kind::kNote;
    std::uint64_t size = 0;
    std::memcpy(&kind, messages.data(), sizeof(kind));
    std::memcpy(&size, messages.data() + sizeof(kind), sizeof(size));
    if (messages.size() - kHead < size) break;  // the child died while it was sending
    const std::string text(messages.substr(kHead, size));
    messages.remove_prefix(kHead + size);
    switch (kind) {
      case Kind::kNote:
        outcome.note = text;
        break;
      case Kind::kResult:
        outcome.result = text;
        outcome.death.clear();
        break;
      case Kind::kInputError:
        throw InputError(text);
      case Kind::kMachineError:
        throw MachineError(text);
      case Kind::kBadAlloc:
        throw std::bad_alloc();
      case Kind::kOther:
        throw std::runtime_error(text);
    }
  }
  return outcome;
}

}  // namespace

ChildOutcome RunInChild(const std::function<std::string(const ChildNotes&)>& work) {
  int ends[2];
  if (::pipe(ends) != 0) {
    throw MachineError("cannot make a pipe: {}", std::generic_category().message(errno));
  }
  std::fflush(nullptr);  // or both processes would print what waits
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    const int error = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    throw MachineError("cannot make a process: {}", std::generic_category().message(error));
  }
  if (child == 0) {
    ::close(ends[0]);
    WorkAsChild(ends[1], parent, work);
  }
  ::close(ends[1]);
  const std::string messages = ReadAll(ends[0]);
  ::close(ends[0]);
  return OutcomeOf(messages, DeathOf(child));
}

}  // namespace sequela
