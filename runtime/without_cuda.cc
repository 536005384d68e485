// What a build without CUDA says where a GPU is asked for.
#if !defined(SEQUELA_WITH_CUDA)

#include "kernels/base/errors.h"
#include "runtime/device.h"

namespace sequela {

std::unique_ptr<Device> MakeCudaDevice(int) {
  throw InputError("this build has no CUDA backend: use parallel.device: cpu or auto");
}

int NumCudaDevices() { return 0; }
std::vector<std::string> CudaDeviceIds() { return {}; }
bool CudaInBuild() { return false; }

}  // namespace sequela

#endif  // SEQUELA_WITH_CUDA
