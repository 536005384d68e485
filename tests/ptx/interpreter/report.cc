// What a fault says.
#include "kernels/base/check.h"
#include "tests/ptx/interpreter/machine.h"

namespace sequela::ptx {

std::string_view LineOf(std::string_view text, int line) {
  std::size_t begin = 0;
  for (int i = 1; i < line && begin != std::string_view::npos; ++i) {
    begin = text.find('\n', begin);
    if (begin != std::string_view::npos) ++begin;
  }
  if (begin == std::string_view::npos) return "";
  text = text.substr(begin, text.find('\n', begin) - begin);
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string_view::npos ? "" : text.substr(first);
}

void Fault(const Warp& warp, std::uint32_t lane, const std::string& what) {
  const Block& block = *warp.block;
  const int line = warp.current->line;
  throw InternalError(fmt::format("kernel {}, block ({}, {}, {}), thread {}: {}\n  line {}: {}",
                                  warp.program->name, block.index[0], block.index[1],
                                  block.index[2], warp.index * kLanes + lane, what, line,
                                  LineOf(warp.program->text, line)));
}

}  // namespace sequela::ptx
