#include "kernels/base/check.h"
#include "kernels/cuda/matrix.h"

namespace sequela::cuda {
namespace {
[[noreturn]] void Missing() { SEQUELA_CHECK(false, "not written yet"); }
}  // namespace
void AttentionForward(const Exec&, const AttentionForwardArgs&) { Missing(); }
std::int64_t AttentionForwardWorkspaceBytes(const Exec&, const AttentionShape&) { Missing(); }
void AttentionBackward(const Exec&, const AttentionBackwardArgs&) { Missing(); }
std::int64_t AttentionBackwardWorkspaceBytes(const Exec&, const AttentionShape&, std::int64_t) {
  Missing();
}
}  // namespace sequela::cuda
