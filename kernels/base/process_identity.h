// Who a process is, in a form that outlives it, so that another process can tell whether it still
// runs. A process id alone does not: ids are used again, and other hosts have their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sequela {

struct ProcessIdentity {
  std::string host;
  std::string boot_id;        // of the kernel since its start; empty where it does not say
  std::string pid_namespace;  // process ids mean something inside it alone; likewise
  std::int64_t pid = 0;
  std::int64_t start_ticks = 0;  // since the kernel's start, as /proc counts them
  std::string since;             // UTC, when the identity was taken: "2026-05-01 12:00:00 UTC"
  std::string slurm_job;         // SLURM_JOB_ID and SLURM_ARRAY_TASK_ID; empty outside Slurm
  std::string slurm_task;
  std::int64_t slurm_restart = 0;  // SLURM_RESTART_COUNT
};

ProcessIdentity ThisProcess();

// Lines "key value" that begin with a name of the format and end with "end". Reading gives nothing
// for any other text, a cut one included.
std::string ToText(const ProcessIdentity& identity);
std::optional<ProcessIdentity> ProcessIdentityFromText(std::string_view text);

// "process 4711 on node7, since 2026-05-01 12:00:00 UTC", with the Slurm job where there is one.
std::string DescribeProcess(const ProcessIdentity& identity);

bool OnThisKernel(const ProcessIdentity& identity);

// kUnknown: on another host, or in another container's numbering of processes.
enum class Liveness : std::uint8_t { kAlive, kGone, kUnknown };
Liveness LivenessOf(const ProcessIdentity& identity);

// Whether `earlier` belongs to an earlier start (SLURM_RESTART_COUNT) of the Slurm job, and of the
// task of its array, that `now` belongs to. Slurm ends a job before it starts it again.
bool IsEarlierSlurmStart(const ProcessIdentity& earlier, const ProcessIdentity& now);

}  // namespace sequela
