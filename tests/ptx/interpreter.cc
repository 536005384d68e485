#include "tests/ptx/interpreter.h"

#include "kernels/base/check.h"

namespace sequela::ptx {

void RegisterMemory(void*, std::size_t, bool) {}
void UnregisterMemory(void*) {}
void LoadText(std::string_view, const std::string&) {}
void SetOptions(const Options&) {}
const Options& CurrentOptions() {
  static const Options options;
  return options;
}
std::map<std::string, KernelCounts> TakeCounts() { return {}; }
void Run(const cuda::KernelLaunch& launch) {
  SEQUELA_CHECK(false, "{}: not written yet", launch.name);
}

}  // namespace sequela::ptx
