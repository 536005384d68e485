// Memory of this process as the system counts it; what it will be is memory_plan.h's.
#pragma once

#include <cstdint>

namespace sequela {

// Bytes of memory that this process holds now, and the most it ever held (Linux; 0 where it cannot
// be known).
std::int64_t ResidentBytes();
std::int64_t PeakResidentBytes();

}  // namespace sequela
