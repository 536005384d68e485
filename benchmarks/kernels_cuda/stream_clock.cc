#include "benchmarks/kernels_cuda/stream_clock.h"

#include <cuda_runtime.h>

#include <chrono>

#include "kernels/base/errors.h"

namespace sequela::benchmarks {
namespace {

void Check(cudaError_t error) {
  if (error != cudaSuccess) throw MachineError("timing: {}", cudaGetErrorString(error));
}

using HostTime = std::chrono::steady_clock::time_point;
double MillisecondsBetween(HostTime begin, HostTime end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

}  // namespace

struct StreamClock::Impl {
  Device& device;
  std::vector<HostTime> host_begin, host_end;
  std::vector<cudaEvent_t> begin, end;
};

StreamClock::StreamClock(Device& device, int stretches) : impl_(new Impl{device, {}, {}, {}, {}}) {
  const auto count = static_cast<std::size_t>(stretches);
  impl_->host_begin.resize(count);
  impl_->host_end.resize(count);
  if (device.is_host()) return;
  impl_->begin.resize(count);
  impl_->end.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    Check(cudaEventCreate(&impl_->begin[i]));
    Check(cudaEventCreate(&impl_->end[i]));
  }
}

StreamClock::~StreamClock() {
  for (cudaEvent_t event : impl_->begin) cudaEventDestroy(event);
  for (cudaEvent_t event : impl_->end) cudaEventDestroy(event);
}

void StreamClock::Begin(int stretch) {
  const auto i = static_cast<std::size_t>(stretch);
  impl_->host_begin[i] = std::chrono::steady_clock::now();
  if (impl_->device.is_host()) return;
  Check(
      cudaEventRecord(impl_->begin[i], static_cast<cudaStream_t>(impl_->device.compute_stream())));
}

void StreamClock::End(int stretch) {
  const auto i = static_cast<std::size_t>(stretch);
  impl_->host_end[i] = std::chrono::steady_clock::now();
  if (impl_->device.is_host()) return;
  Check(cudaEventRecord(impl_->end[i], static_cast<cudaStream_t>(impl_->device.compute_stream())));
}

std::vector<double> StreamClock::Milliseconds() {
  impl_->device.Synchronize();
  std::vector<double> result;
  for (std::size_t i = 0; i < impl_->host_begin.size(); ++i) {
    if (impl_->device.is_host()) {
      result.push_back(MillisecondsBetween(impl_->host_begin[i], impl_->host_end[i]));
      continue;
    }
    float milliseconds = 0.0F;
    Check(cudaEventElapsedTime(&milliseconds, impl_->begin[i], impl_->end[i]));
    result.push_back(milliseconds);
  }
  return result;
}

}  // namespace sequela::benchmarks
