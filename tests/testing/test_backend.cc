#include "tests/testing/test_backend.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>

#include "kernels/base/check.h"

#if defined(SEQUELA_WITH_CUDA)
#include <cuda_runtime.h>

#include "kernels/cpu/gemm.h"
#include "kernels/cuda/launch_interface.h"
#include "tests/ptx/interpreter/interpreter.h"
#endif

namespace sequela::testing {
namespace {

constexpr std::size_t kSharedAlignment = 256;

std::string BackendName() {
  const char* text = std::getenv("SEQUELA_TEST_BACKEND");
  return text == nullptr ? "cpu" : text;
}

TestBackend ReadBackend() {
  const std::string name = BackendName();
  if (name == "cpu") return TestBackend::kCpu;
#if defined(SEQUELA_WITH_CUDA)
  if (name == "ptx" || name == "ptx_hopper") return TestBackend::kPtx;
  if (name == "gpu" || name == "gpu_ampere") return TestBackend::kGpu;
#endif
  SEQUELA_CHECK(false, "SEQUELA_TEST_BACKEND={} is not a backend of this build", name);
}

#if defined(SEQUELA_WITH_CUDA)
// The stand-in for cuBLASLt: our own CPU product on the same memory.
void GemmOnTheCpu(const Exec& exec, const GemmArgs& args) {
  Exec cpu{.num_threads = 1};
  std::vector<std::byte> workspace(static_cast<std::size_t>(cpu::GemmWorkspaceBytes(cpu, args)) +
                                   64);
  void* begin = workspace.data();
  std::size_t room = workspace.size();
  std::align(64, room - 64, begin, room);
  cpu.workspace = {static_cast<std::byte*>(begin), workspace.size() - 64};
  (void)exec;
  cpu::Gemm(cpu, args);
}
#endif

// Puts the backend in place before the first test, and says where there is none.
class BackendEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
#if defined(SEQUELA_WITH_CUDA)
    if (ChosenBackend() == TestBackend::kPtx) {
      cuda::TEST_SetLaunchInterface(
          {.launch = ptx::Run, .gemm = GemmOnTheCpu, .hopper = BackendName() == "ptx_hopper"});
    }
    if (BackendName() == "gpu_ampere") cuda::TEST_SetLaunchInterface({.hopper = false});
    if (ChosenBackend() == TestBackend::kGpu) {
      int devices = 0;
      const cudaError_t error = cudaGetDeviceCount(&devices);
      if (error != cudaSuccess || devices == 0) {
        GTEST_SKIP() << "no GPU here (" << cudaGetErrorString(error)
                     << "): " << ::testing::UnitTest::GetInstance()->test_to_run_count()
                     << " tests need one";
      }
    }
#endif
  }
};
const auto* const backend_environment =
    ::testing::AddGlobalTestEnvironment(new BackendEnvironment);  // gtest owns it

}  // namespace

TestBackend ChosenBackend() {
  static const TestBackend chosen = ReadBackend();
  return chosen;
}

Exec TestExec(int num_threads, std::span<std::byte> workspace) {
  return {.backend = OnCuda() ? Backend::kCuda : Backend::kCpu,
          .num_threads = num_threads,
          .workspace = workspace};
}

void Synchronize() {
#if defined(SEQUELA_WITH_CUDA)
  if (ChosenBackend() != TestBackend::kGpu) return;
  const cudaError_t error = cudaDeviceSynchronize();
  SEQUELA_CHECK(error == cudaSuccess, "{}", cudaGetErrorString(error));
#endif
}

void* AllocateShared(std::size_t bytes) {
#if defined(SEQUELA_WITH_CUDA)
  if (ChosenBackend() == TestBackend::kGpu) {
    void* memory = nullptr;  // pinned: the same address on host and device
    if (cudaHostAlloc(&memory, bytes, cudaHostAllocMapped) != cudaSuccess) throw std::bad_alloc();
    return memory;
  }
#endif
  const std::size_t size = (bytes / kSharedAlignment + 1) * kSharedAlignment;
  void* memory = std::aligned_alloc(kSharedAlignment, size);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(SEQUELA_WITH_CUDA)
  if (OnPtx()) ptx::RegisterMemory(memory, bytes);
#endif
  return memory;
}

void FreeShared(void* memory) {
#if defined(SEQUELA_WITH_CUDA)
  if (ChosenBackend() == TestBackend::kGpu) {
    cudaFreeHost(memory);
    return;
  }
  if (OnPtx()) ptx::UnregisterMemory(memory);
#endif
  std::free(memory);
}

}  // namespace sequela::testing
