#include "runtime/nccl/nccl_api.h"

#ifdef SEQUELA_WITH_NCCL
#include "runtime/nccl/nccl_library.h"
#endif

namespace sequela {
namespace {

NcclApi* g_test_api = nullptr;

}  // namespace

NcclApi* ChosenNcclApi() {
  if (g_test_api != nullptr) return g_test_api;
#ifdef SEQUELA_WITH_NCCL
  return &NcclLibraryApi();
#else
  return nullptr;
#endif
}

void TEST_SetNcclApi(NcclApi* api) { g_test_api = api; }

}  // namespace sequela
