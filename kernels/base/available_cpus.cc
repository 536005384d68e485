#include "kernels/base/available_cpus.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace sequela {
namespace {

namespace fs = std::filesystem;

// The kernel refuses a set that is smaller than its own; it is asked with one of CpuMask's size.
CpuMask AffinityMask() {
  CpuMask mask;
  std::vector<cpu_set_t> set(mask.size() / CPU_SETSIZE);
  const std::size_t bytes = set.size() * sizeof(cpu_set_t);
  if (::sched_getaffinity(0, bytes, set.data()) == 0) {
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (CPU_ISSET_S(i, bytes, set.data())) mask.set(i);
    }
  }
  if (mask.none()) {
    const auto online = static_cast<std::size_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
    for (std::size_t i = 0; i < std::min(online, mask.size()); ++i) mask.set(i);
  }
  return mask;
}

double Stricter(double a, double b) {
  if (a <= 0 || b <= 0) return std::max({a, b, 0.0});
  return std::min(a, b);
}

double NumberIn(const fs::path& file) {
  double number = 0;
  std::ifstream(file) >> number;
  return number;
}

// Version 2: "150000 100000" (microseconds granted in each period), or "max 100000".
double QuotaOfGroup2(const fs::path& group) {
  double granted = 0;
  double period = 0;
  std::ifstream(group / "cpu.max") >> granted >> period;
  return period > 0 ? granted / period : 0;
}

// Version 1: two files; -1 for no limit.
double QuotaOfGroup1(const fs::path& group) {
  const double granted = NumberIn(group / "cpu.cfs_quota_us");
  const double period = NumberIn(group / "cpu.cfs_period_us");
  return granted > 0 && period > 0 ? granted / period : 0;
}

// The strictest of a group and those above it. In a container the path is often that of the host,
// of which only the root, the container's own group, is there.
double QuotaAbove(const fs::path& mount, fs::path group,
                  const std::function<double(const fs::path&)>& quota_of) {
  double quota = quota_of(mount);
  group = group.relative_path();
  for (; !group.empty(); group = group.parent_path()) {
    quota = Stricter(quota, quota_of(mount / group));
  }
  return quota;
}

// Lines of /proc/self/cgroup: "0::/path" (version 2), "4:cpu,cpuacct:/path" (version 1).
double Quota(const fs::path& root) {
  double quota = 0;
  const fs::path mounts = root / "sys/fs/cgroup";
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      quota = Stricter(quota, QuotaAbove(mounts, group, QuotaOfGroup2));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      quota = Stricter(quota, QuotaAbove(mounts / "cpu", group, QuotaOfGroup1));
    }
  }
  return quota;
}

}  // namespace

CpuLimits ReadCpuLimits(const fs::path& root) {
  return {.affinity = AffinityMask(), .quota = Quota(root)};
}

int AvailableCpus() {
  const CpuLimits limits = ReadCpuLimits();
  return ShareOfCpus({&limits.affinity, 1}, 0, limits.quota);
}

int ShareOfCpus(std::span<const CpuMask> affinities, std::size_t mine, double quota) {
  double share = 0;
  for (std::size_t cpu = 0; cpu < affinities[mine].size(); ++cpu) {
    if (!affinities[mine][cpu]) continue;
    const auto users = std::count_if(affinities.begin(), affinities.end(),
                                     [&](const CpuMask& mask) { return mask[cpu]; });
    share += 1.0 / static_cast<double>(users);
  }
  if (quota > 0) share = std::min(share, quota / static_cast<double>(affinities.size()));
  constexpr double kRounding = 1e-6;  // of the sums of thirds
  return std::max(1, static_cast<int>(std::floor(share + kRounding)));
}

}  // namespace sequela
