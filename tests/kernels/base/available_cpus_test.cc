// ctest: labels=sanitize timeout=60
// Processors by affinity mask and control group.
#include "kernels/base/available_cpus.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

CpuMask MaskOf(const std::vector<std::size_t>& cpus) {
  CpuMask mask;
  for (const std::size_t cpu : cpus) mask.set(cpu);
  return mask;
}

class ControlGroups : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  double Quota() { return ReadCpuLimits(root_.path()).quota; }
  testing::TempFolder root_;
};

TEST_F(ControlGroups, NothingThatCanBeReadLimitsNothing) { EXPECT_EQ(Quota(), 0); }

TEST_F(ControlGroups, Version2TakesTheStrictestOfTheGroupAndThoseAbove) {
  Write("proc/self/cgroup", "0::/user.slice/job/step\n");
  Write("sys/fs/cgroup/user.slice/job/step/cpu.max", "max 100000\n");
  EXPECT_EQ(Quota(), 0);
  Write("sys/fs/cgroup/user.slice/job/cpu.max", "250000 100000\n");
  EXPECT_EQ(Quota(), 2.5);
  Write("sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n");
  EXPECT_EQ(Quota(), 2.5);
}

TEST_F(ControlGroups, AContainerSeesItsOwnGroupAsTheRoot) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(Quota(), 0.5);
  Write("proc/self/cgroup", "0::/kubepods/pod1/container\n");  // the host's name of it
  EXPECT_EQ(Quota(), 0.5);
}

TEST_F(ControlGroups, Version1) {
  Write("proc/self/cgroup",
        "11:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n");
  Write("sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Quota(), 0);
  Write("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(Quota(), 3);
}

TEST(ShareOfCpusTest, RanksShareWhatTheyBothMayUse) {
  const std::vector<CpuMask> unbound(4, MaskOf({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(ShareOfCpus(unbound, 2, 0), 2);
  const std::vector<CpuMask> bound = {MaskOf({0, 1}), MaskOf({2, 3, 700})};
  EXPECT_EQ(ShareOfCpus(bound, 0, 0), 2);
  EXPECT_EQ(ShareOfCpus(bound, 1, 0), 3);
  const std::vector<CpuMask> thirds(3, MaskOf({0, 1, 2}));
  EXPECT_EQ(ShareOfCpus(thirds, 1, 0), 1);
  const std::vector<CpuMask> crowded(5, MaskOf({0, 1}));
  EXPECT_EQ(ShareOfCpus(crowded, 4, 0), 1);
}

TEST(ShareOfCpusTest, TheQuotaIsSharedAndRoundedDown) {
  const std::vector<CpuMask> two(2, MaskOf({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(ShareOfCpus(two, 0, 5.0), 2);
  EXPECT_EQ(ShareOfCpus(two, 0, 0.5), 1);
  EXPECT_EQ(ShareOfCpus(std::span(two).first(1), 0, 3.9), 3);
}

TEST(ReadCpuLimitsTest, TheAffinityMaskHolds) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(ReadCpuLimits().affinity, MaskOf({static_cast<std::size_t>(first)}));
  EXPECT_EQ(AvailableCpus(), 1);
  ::sched_setaffinity(0, sizeof(before), &before);
}

}  // namespace
}  // namespace sequela
