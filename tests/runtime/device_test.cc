// ctest: labels=quick;sanitize;threads cuda
// What every device promises: the CPU, the interpreted GPU of the tests, a real one.
#include "runtime/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/errors.h"
#include "runtime/arena.h"
#include "runtime/buffer.h"
#include "tests/testing/interpreted_device.h"
#include "tests/testing/message_of.h"
#include "tests/testing/test_backend.h"

namespace sequela {
namespace {

using testing::TestDevice;

std::vector<std::byte> BytesOf(const Buffer& buffer) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(buffer.size_bytes()), std::byte{99});
  TestDevice().Copy(bytes.data(), buffer.data(), buffer.size_bytes());
  TestDevice().Synchronize();
  return bytes;
}

bool AreAll(std::span<const std::byte> bytes, int value) {
  return std::ranges::all_of(bytes,
                             [&](std::byte b) { return b == static_cast<std::byte>(value); });
}

TEST(DeviceTest, MemoryIsZeroAndAligned) {
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{1000}, std::int64_t{5} << 20}) {
    const Buffer buffer(size, TestDevice());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0U);
    EXPECT_TRUE(AreAll(BytesOf(buffer), 0)) << size;
    const Buffer pinned = Buffer::Pinned(size, TestDevice());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pinned.data()) % 256, 0U);
    EXPECT_TRUE(AreAll(pinned.bytes(), 0)) << size;
  }
}

TEST(DeviceTest, CopiesGoEveryWayAndZeroingStaysInItsRange) {
  Device& device = TestDevice();
  const std::vector<std::byte> ones(1000, std::byte{1});
  Buffer first(1000, device);
  Buffer second(1000, device);
  device.Copy(first.data(), ones.data(), 1000);
  device.Copy(second.data(), first.data(), 999);
  device.Zero(second.data() + 10, 5);
  device.Copy(second.data(), ones.data(), 0);
  const std::vector<std::byte> back = BytesOf(second);
  EXPECT_TRUE(AreAll(std::span(back).first(10), 1));
  EXPECT_TRUE(AreAll(std::span(back).subspan(10, 5), 0));
  EXPECT_TRUE(AreAll(std::span(back).subspan(15, 984), 1));
  EXPECT_EQ(back.back(), std::byte{0});
}

// What the compute stream wrote is what the side stream copies, and an event says when.
TEST(DeviceTest, EventsOrderTheStreams) {
  Device& device = TestDevice();
  constexpr std::int64_t kBytes = std::int64_t{4} << 20;
  Buffer memory(kBytes, device);
  Buffer host = Buffer::Pinned(kBytes, device);
  Buffer values = Buffer::Pinned(kBytes, device);
  Event written(device);
  Event copied(device);
  EXPECT_TRUE(written.Done()) << "not recorded yet";
  written.Wait();
  for (int round = 1; round <= 5; ++round) {
    std::ranges::fill(values.bytes(), static_cast<std::byte>(round));
    device.Copy(memory.data(), values.data(), kBytes);
    written.Record(device.compute_stream());
    written.MakeWait(device.side_stream());
    device.CopyOnSideStream(host.data(), memory.data(), kBytes);
    copied.Record(device.side_stream());
    std::thread([&] { copied.Wait(); }).join();
    EXPECT_TRUE(copied.Done());
    EXPECT_TRUE(AreAll(host.bytes(), round));
  }
}

TEST(DeviceTest, TooMuchMemoryIsSaidWithItsSize) {
  Device& device = TestDevice();
  if (testing::OnPtx()) GTEST_SKIP() << "the interpreted GPU has the host's memory";
  const std::int64_t size = std::int64_t{1} << 60;
  try {
    const Buffer buffer(size, device);
    FAIL() << "accepted";
  } catch (const MachineError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(std::to_string(size)));
    if (!device.is_host()) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("parallel.microbatch_tokens"));
    }
  }
}

TEST(DeviceTest, AnArenaLiesInItsMemory) {
  Device& device = TestDevice();
  Arena arena(4096, device);
  float* values = arena.Allocate<float>(16);
  const float three = 3.0F;
  float back = 0.0F;
  device.Copy(values + 15, &three, sizeof(float));
  device.Copy(&back, values + 15, sizeof(float));
  device.Synchronize();
  EXPECT_EQ(back, 3.0F);
}

TEST(DeviceTest, KnowsItsNameAndMemory) {
  Device& device = TestDevice();
  EXPECT_FALSE(device.name().empty());
  EXPECT_GT(device.total_bytes(), 0);
  EXPECT_GT(device.free_bytes(), 0);
  EXPECT_LE(device.free_bytes(), device.total_bytes());
  const Exec exec = ExecOn(device, 2);
  EXPECT_EQ(exec.backend, device.backend());
  EXPECT_EQ(exec.stream, device.compute_stream());
  EXPECT_EQ(exec.num_threads, 2);
}

// Whatever is missing here, it is said in one line as the user's matter.
TEST(CudaDeviceTest, RefusesInOneLineWhatIsNotThere) {
  const std::string message = testing::MessageOf([] { MakeCudaDevice(1000); });
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_THAT(message, ::testing::AnyOf(::testing::HasSubstr("parallel.device: cpu"),
                                        ::testing::HasSubstr("no GPU 1000")));
}

}  // namespace
}  // namespace sequela
