#include "kernels/base/process_identity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

namespace sequela {
namespace {

constexpr std::string_view kFormat = "sequela writer 1";
constexpr std::string_view kEnd = "end";

std::string HostName() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string FirstLine(const char* file) {
  std::string line;
  std::ifstream stream(file);
  std::getline(stream, line);
  return line;
}

std::string Environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

std::int64_t NumberOf(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

// State and start time of a process of this kernel; nothing where there is none (any more). The
// second field of /proc/PID/stat is a name in parentheses that may itself hold spaces and ')'.
std::optional<std::pair<char, std::int64_t>> StateAndStart(std::int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  char state = '?';
  std::string skipped;
  std::int64_t start_ticks = 0;
  fields >> state;
  constexpr int kFieldsBetween = 18;  // state is field 3, the start time field 22
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  fields >> start_ticks;
  return std::pair(state, start_ticks);
}

}  // namespace

ProcessIdentity ThisProcess() {
  ProcessIdentity me;
  me.host = HostName();
  me.boot_id = FirstLine("/proc/sys/kernel/random/boot_id");
  std::error_code ignored;
  me.pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
  me.pid = ::getpid();
  const auto state = StateAndStart(me.pid);
  me.start_ticks = state ? state->second : 0;
  me.since = UtcNow();
  me.slurm_job = Environment("SLURM_JOB_ID");
  me.slurm_task = Environment("SLURM_ARRAY_TASK_ID");
  me.slurm_restart = NumberOf(Environment("SLURM_RESTART_COUNT"));
  return me;
}

std::string ToText(const ProcessIdentity& identity) {
  return fmt::format(
      "{}\nhost {}\nboot_id {}\npid_namespace {}\npid {}\nstart_ticks {}\nsince {}\nslurm_job {}\n"
      "slurm_task {}\nslurm_restart {}\n{}\n",
      kFormat, identity.host, identity.boot_id, identity.pid_namespace, identity.pid,
      identity.start_ticks, identity.since, identity.slurm_job, identity.slurm_task,
      identity.slurm_restart, kEnd);
}

std::optional<ProcessIdentity> ProcessIdentityFromText(std::string_view text) {
  ProcessIdentity identity;
  const std::pair<std::string_view, std::string*> texts[] = {
      {"host", &identity.host},           {"boot_id", &identity.boot_id},
      {"since", &identity.since},         {"pid_namespace", &identity.pid_namespace},
      {"slurm_job", &identity.slurm_job}, {"slurm_task", &identity.slurm_task}};
  const std::pair<std::string_view, std::int64_t*> numbers[] = {
      {"pid", &identity.pid},
      {"start_ticks", &identity.start_ticks},
      {"slurm_restart", &identity.slurm_restart}};
  std::istringstream lines{std::string(text)};
  std::string line;
  if (!std::getline(lines, line) || line != kFormat) return std::nullopt;
  while (std::getline(lines, line)) {
    if (line == kEnd) return identity;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) return std::nullopt;
    const std::string_view key = std::string_view(line).substr(0, space);
    for (const auto& [name, to] : texts) {
      if (name == key) *to = line.substr(space + 1);
    }
    for (const auto& [name, to] : numbers) {
      if (name == key) *to = NumberOf(std::string_view(line).substr(space + 1));
    }
  }
  return std::nullopt;
}

std::string DescribeProcess(const ProcessIdentity& identity) {
  std::string text =
      fmt::format("process {} on {}, since {}", identity.pid, identity.host, identity.since);
  if (!identity.slurm_job.empty()) {
    text += fmt::format(" (Slurm job {}{}{})", identity.slurm_job,
                        identity.slurm_task.empty() ? "" : "_", identity.slurm_task);
  }
  return text;
}

bool OnThisKernel(const ProcessIdentity& identity) {
  const std::string boot_id = FirstLine("/proc/sys/kernel/random/boot_id");
  if (boot_id.empty() || identity.boot_id.empty()) return identity.host == HostName();
  return identity.boot_id == boot_id;
}

Liveness LivenessOf(const ProcessIdentity& identity) {
  if (!OnThisKernel(identity)) {
    // This host under an earlier start of its kernel, unless the name tells hosts apart poorly.
    const bool restarted = identity.host == HostName() && identity.host != "localhost";
    return restarted ? Liveness::kGone : Liveness::kUnknown;
  }
  std::error_code ignored;
  if (std::filesystem::read_symlink("/proc/self/ns/pid", ignored) != identity.pid_namespace) {
    return Liveness::kUnknown;
  }
  const auto state = StateAndStart(identity.pid);
  if (!state || state->second != identity.start_ticks) return Liveness::kGone;
  const bool ended = state->first == 'Z' || state->first == 'X';  // its parent has not asked yet
  return ended ? Liveness::kGone : Liveness::kAlive;
}

bool IsEarlierSlurmStart(const ProcessIdentity& earlier, const ProcessIdentity& now) {
  return !now.slurm_job.empty() && earlier.slurm_job == now.slurm_job &&
         earlier.slurm_task == now.slurm_task && earlier.slurm_restart < now.slurm_restart;
}

}  // namespace sequela
