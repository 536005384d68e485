// What our kernels' PTX may not contain. Each rule guards against something that compiles without a
// word and then costs speed, determinism or the interpreter's agreement with a GPU.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sequela::ptx {

// Rules, by the names that a finding carries:
//   call         everything is inlined; recursion would need calls
//   function     a device function was left that somebody may call
//   printf       costs registers and a buffer in every launch
//   malloc       an operation allocates nothing
//   texture      textures and surfaces: nothing here needs them
//   fp64-trig    sines and cosines in fp64: angles come from the host
//   wmma         reaches 8 % of the rate of mma.sync's own instructions
//   float-atomic a sum in the order in which threads arrive is another one at each run
//   rounding     a product or sum without .rn, which ptxas may fuse
//   setmaxnreg   is ignored in silence where .maxntid is not given
//   maxntid      a kernel without __launch_bounds__ is compiled for 1024 threads
//   local        more .local memory than the kernel's stated bytes
//   name         a kernel's name begins with sequela_
struct Finding {
  std::string rule;
  std::string kernel;  // empty outside kernels
  int line = 0;        // of the text, from 1
  std::string statement;
};

// The bytes of .local memory that a kernel may take.
using LocalBytes = std::function<std::int64_t(const std::string& kernel)>;

// All findings in the order of lines.
std::vector<Finding> Lint(
    std::string_view text, const LocalBytes& local_bytes = [](const std::string&) { return 0; });

}  // namespace sequela::ptx
