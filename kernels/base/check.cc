#include "kernels/base/check.h"

namespace sequela {

void CheckFailed(const char* condition, const char* file, int line, const std::string& detail) {
  throw InternalError(fmt::format("{}:{}: SEQUELA_CHECK({}) failed{}{}", file, line, condition,
                                  detail.empty() ? "" : ": ", detail));
}

}  // namespace sequela
