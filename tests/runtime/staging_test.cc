// ctest: labels=quick;sanitize;threads cuda
// What the host writes into a slot stands in the device's block, whichever slot and however often;
// on an interpreted GPU and on a real one the blocks are two, on the CPU one.
#include "runtime/staging.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/base/check.h"
#include "tests/testing/interpreted_device.h"
#include "tests/testing/test_backend.h"

namespace sequela {
namespace {

constexpr std::int64_t kCapacity = 1000;

std::byte ValueOf(int step, std::size_t i) {
  return static_cast<std::byte>((static_cast<std::size_t>(step) * 31 + i * 7) % 251);
}

TEST(StagingTest, BringsEveryBatchToTheDevice) {
  Device& device = testing::TestDevice();
  Staging staging(device, kCapacity);
  EXPECT_EQ(staging.capacity_bytes(), kCapacity);
  std::vector<std::byte> back(kCapacity);
  for (int step = 0; step < 7; ++step) {
    const int slot = step % Staging::kSlots;
    const std::int64_t bytes = kCapacity - 100 * step;
    const std::span<std::byte> host = staging.Begin(slot);
    ASSERT_EQ(std::ssize(host), kCapacity);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(host.data()) % 256, 0U);
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = ValueOf(step, i);
    staging.Upload(slot, bytes);
    const std::byte* block = staging.Ready(slot);
    EXPECT_EQ(block == host.data(), device.is_host());
    device.Copy(back.data(), block, bytes);
    staging.Release(slot);
    device.Synchronize();
    for (std::size_t i = 0; i < static_cast<std::size_t>(bytes); ++i) {
      ASSERT_EQ(back[i], ValueOf(step, i)) << "step " << step << ", byte " << i;
    }
  }
}

// The block of the step that computes must not change while the next one's is prepared.
TEST(StagingTest, KeepsTheSlotInUse) {
  Device& device = testing::TestDevice();
  Staging staging(device, kCapacity);
  std::ranges::fill(staging.Begin(0), std::byte{1});
  staging.Upload(0, kCapacity);
  const std::byte* first = staging.Ready(0);
  std::ranges::fill(staging.Begin(1), std::byte{2});
  staging.Upload(1, kCapacity);
  std::vector<std::byte> back(kCapacity);
  device.Copy(back.data(), first, kCapacity);
  staging.Release(0);
  EXPECT_EQ(std::ranges::count(back, std::byte{1}), kCapacity);
  device.Copy(back.data(), staging.Ready(1), kCapacity);
  staging.Release(1);
  EXPECT_EQ(std::ranges::count(back, std::byte{2}), kCapacity);
}

TEST(StagingTest, RefusesMoreThanItHolds) {
  Staging staging(testing::TestDevice(), kCapacity);
  staging.Begin(0);
  EXPECT_THROW(staging.Upload(0, kCapacity + 1), InternalError);
}

}  // namespace
}  // namespace sequela
