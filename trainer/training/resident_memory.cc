#include "trainer/training/resident_memory.h"

#include <fstream>
#include <string>

namespace sequela {
namespace {

// Bytes of the number after `key` in a /proc file that counts in kB.
std::int64_t StatusBytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    std::int64_t kibibytes = 0;
    if (word == key && file >> kibibytes) return kibibytes << 10;
  }
  return 0;
}

}  // namespace

std::int64_t ResidentBytes() { return StatusBytes("VmRSS:"); }
std::int64_t PeakResidentBytes() { return StatusBytes("VmHWM:"); }

}  // namespace sequela
