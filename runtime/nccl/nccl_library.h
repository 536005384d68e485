// NCCL as it is installed.
#pragma once

#include <string>

#include "runtime/nccl/nccl_api.h"

namespace sequela {

// The real thing. Lives as long as the program.
NcclApi& NcclLibraryApi();

// "NCCL 2.28.9", as the library says at run time. Needs no GPU.
std::string NcclLibraryVersion();

}  // namespace sequela
