// One GPU through the CUDA runtime.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "runtime/device.h"
#include "runtime/peak_rate.h"

namespace sequela {
namespace {

constexpr int kOldestMajor = 8;  // what the kernels are compiled for at least

void Check(cudaError_t error, const char* doing, const std::string& device) {
  if (error == cudaSuccess) return;
  throw MachineError("{}: {}: {}", device, doing, cudaGetErrorString(error));
}

double Gibibytes(std::int64_t bytes) { return static_cast<double>(bytes) / 0x1.0p30; }

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, const cudaDeviceProp& properties)
      : index_(index), name_(fmt::format("GPU {} ({})", index, properties.name)) {
    Check(cudaSetDevice(index), "cannot be used", name_);
    // Not ordered with the legacy default stream, which nothing of ours uses.
    Check(cudaStreamCreateWithFlags(&compute_, cudaStreamNonBlocking), "making a stream", name_);
    Check(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking), "making a stream", name_);
    int clock_khz = 0;
    Check(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, index), "asking for its clock",
          name_);
    gpu_ = {properties.major, properties.minor, properties.multiProcessorCount, clock_khz * 1e3};
  }
  // Errors were thrown where they were met; at the end nothing can be done about them.
  ~CudaDevice() override {
    cudaStreamDestroy(side_);
    cudaStreamDestroy(compute_);
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  Backend backend() const override { return Backend::kCuda; }
  const std::string& name() const override { return name_; }
  int index() const override { return index_; }

  std::byte* Allocate(std::int64_t size_bytes) override {
    SEQUELA_CHECK(size_bytes > 0, "{}", size_bytes);
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, static_cast<std::size_t>(size_bytes));
    if (error == cudaErrorMemoryAllocation) FailOutOfMemory(size_bytes);
    Check(error, "allocating memory", name_);
    Zero(memory, size_bytes);
    return static_cast<std::byte*>(memory);
  }
  void Free(std::byte* memory, std::int64_t) noexcept override { cudaFree(memory); }

  std::byte* AllocatePinned(std::int64_t size_bytes) override {
    SEQUELA_CHECK(size_bytes > 0, "{}", size_bytes);
    void* memory = nullptr;
    const cudaError_t error =
        cudaHostAlloc(&memory, static_cast<std::size_t>(size_bytes), cudaHostAllocDefault);
    if (error != cudaSuccess) {
      cudaGetLastError();  // it is reported here
      throw MachineError(
          "cannot pin {} bytes ({:.2f} GiB) of the machine's memory for {}: {}; the machine, or "
          "this job's limit of locked memory, has not enough",
          size_bytes, Gibibytes(size_bytes), name_, cudaGetErrorString(error));
    }
    std::fill_n(static_cast<std::byte*>(memory), size_bytes, std::byte{0});
    return static_cast<std::byte*>(memory);
  }
  void FreePinned(std::byte* memory, std::int64_t) noexcept override { cudaFreeHost(memory); }

  void Copy(void* to, const void* from, std::int64_t bytes) override {
    Enqueue(to, from, bytes, compute_);
  }
  void CopyOnSideStream(void* to, const void* from, std::int64_t bytes) override {
    Enqueue(to, from, bytes, side_);
  }
  void Zero(void* memory, std::int64_t bytes) override {
    if (bytes == 0) return;
    Check(cudaMemsetAsync(memory, 0, static_cast<std::size_t>(bytes), compute_), "zeroing memory",
          name_);
  }
  void Synchronize() override {
    Check(cudaStreamSynchronize(compute_), "computing", name_);
    Check(cudaStreamSynchronize(side_), "copying", name_);
  }
  void* compute_stream() const override { return compute_; }
  void* side_stream() const override { return side_; }

  double peak_matrix_rate(DType dtype) const override { return PeakMatrixRate(gpu_, dtype); }
  std::int64_t total_bytes() const override { return MemoryInfo().second; }
  std::int64_t free_bytes() const override { return MemoryInfo().first; }

 private:
  void Enqueue(void* to, const void* from, std::int64_t bytes, cudaStream_t stream) {
    if (bytes == 0) return;
    Check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault, stream),
          "copying", name_);
  }

  // Free and total.
  std::pair<std::int64_t, std::int64_t> MemoryInfo() const {
    std::size_t free = 0;
    std::size_t total = 0;
    Check(cudaMemGetInfo(&free, &total), "asking for its memory", name_);
    return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
  }

  [[noreturn]] void FailOutOfMemory(std::int64_t size_bytes) const {
    cudaGetLastError();  // it is reported here; later calls should not meet it again
    const auto [free, total] = MemoryInfo();
    throw MachineError(
        "{}: out of memory: {} bytes ({:.2f} GiB) wanted, {} ({:.2f} GiB) of {:.2f} GiB free. A "
        "smaller parallel.microbatch_tokens or parallel.recompute: full needs less for "
        "activations, a higher parallel.zero_stage on several ranks less for the optimizer",
        name_, size_bytes, Gibibytes(size_bytes), free, Gibibytes(free), Gibibytes(total));
  }

  void* CreateEvent() override {
    cudaEvent_t event = nullptr;
    Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
          "making an event", name_);
    return event;
  }
  void DestroyEvent(void* event) noexcept override {
    cudaEventDestroy(static_cast<cudaEvent_t>(event));
  }
  void RecordEvent(void* event, void* stream) override {
    Check(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)),
          "recording an event", name_);
  }
  void StreamWaitEvent(void* event, void* stream) override {
    Check(
        cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0),
        "waiting for an event", name_);
  }
  bool EventDone(void* event) override {
    const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event));
    if (error == cudaErrorNotReady) return false;
    Check(error, "computing", name_);
    return true;
  }
  void WaitEvent(void* event) override {
    Check(cudaEventSynchronize(static_cast<cudaEvent_t>(event)), "computing", name_);
  }

  int index_;
  std::string name_;
  GpuProperties gpu_;
  cudaStream_t compute_ = nullptr;
  cudaStream_t side_ = nullptr;
};

}  // namespace

std::unique_ptr<Device> MakeCudaDevice(int index) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess && error != cudaErrorNoDevice) {
    cudaGetLastError();
    throw InputError("no GPU can be used: {}: use parallel.device: cpu, or install its driver",
                     cudaGetErrorString(error));
  }
  if (count == 0) throw InputError("this machine has no NVIDIA GPU: use parallel.device: cpu");
  if (index < 0 || index >= count) {
    throw InputError(
        "there is no GPU {}: this process sees {}; start at most one rank for each GPU of a "
        "machine (CUDA_VISIBLE_DEVICES limits what it sees)",
        index, count);
  }
  cudaDeviceProp properties{};
  if (const cudaError_t unread = cudaGetDeviceProperties(&properties, index);
      unread != cudaSuccess) {
    throw InputError("GPU {} cannot be used: {}", index, cudaGetErrorString(unread));
  }
  if (properties.major < kOldestMajor) {
    throw InputError(
        "GPU {} ({}) has compute capability {}.{}; the kernels need {}.0 or newer: use "
        "parallel.device: cpu",
        index, properties.name, properties.major, properties.minor, kOldestMajor);
  }
  return std::make_unique<CudaDevice>(index, properties);
}

int NumCudaDevices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // no driver is an answer, not an error for later calls
    return 0;
  }
  return count;
}

std::vector<std::string> CudaDeviceIds() {
  std::vector<std::string> ids;
  for (int index = 0; index < NumCudaDevices(); ++index) {
    cudaDeviceProp properties{};
    Check(cudaGetDeviceProperties(&properties, index), "asking for its properties",
          fmt::format("GPU {}", index));
    std::string id;
    for (const char byte : properties.uuid.bytes) {
      id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    }
    ids.push_back(id);
  }
  return ids;
}

bool CudaInBuild() { return true; }

}  // namespace sequela
