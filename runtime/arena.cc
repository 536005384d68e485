#include "runtime/arena.h"

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kAlignmentBytes = 64;

}  // namespace

std::byte* Arena::AllocateBytes(std::int64_t size_bytes) {
  SEQUELA_CHECK(size_bytes >= 0, "{}", size_bytes);
  const std::int64_t begin = used_bytes_;
  used_bytes_ += RoundUp(size_bytes, kAlignmentBytes);
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  if (measuring_) return nullptr;
  SEQUELA_CHECK(used_bytes_ <= capacity_bytes(), "{} bytes wanted, {} planned", used_bytes_,
                capacity_bytes());
  return memory_.data() + begin;
}

void Arena::Release(std::int64_t mark) {
  SEQUELA_CHECK(mark >= 0 && mark <= used_bytes_, "{} of {}", mark, used_bytes_);
  used_bytes_ = mark;
}

}  // namespace sequela
