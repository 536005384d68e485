// How many processors this process may keep busy: those of its affinity mask (taskset, srun, a
// container's cpuset), and no more than the CPU time that its control group grants (docker --cpus,
// a Kubernetes limit, systemd's CPUQuota). std::thread::hardware_concurrency() knows neither.
#pragma once

#include <bitset>
#include <filesystem>
#include <span>

namespace sequela {

// Bit i: processor i.
using CpuMask = std::bitset<8192>;

struct CpuLimits {
  CpuMask affinity;
  double quota = 0;  // processors' worth of time that the control group grants; 0: no limit
};

// Of this process. `root` is where /proc and /sys/fs/cgroup are found; control groups of version 1
// and 2, the strictest of the process's group and those above it. What cannot be read limits nothing.
CpuLimits ReadCpuLimits(const std::filesystem::path& root = "/");

// For a process that shares its machine with no other of its job. At least 1.
int AvailableCpus();

// For one of several processes that a job has on a machine: a processor in the masks of n of them
// counts 1/n, and the quota is shared by all. `affinities` are theirs, `mine` is one of these.
// Rounded down: a thread more than that makes all the others wait for it. At least 1.
int ShareOfCpus(std::span<const CpuMask> affinities, std::size_t mine, double quota);

}  // namespace sequela
