#include "trainer/training/run/device_memory.h"

#include <fmt/format.h>

#include <string>

#include "kernels/base/errors.h"
#include "trainer/training/memory_plan.h"

namespace sequela {
namespace {

std::int64_t BytesWith(const RunSetup& setup, Recompute recompute, std::int64_t tokens) {
  TrainStateOptions options = setup.state_options;
  options.decoder.recompute = recompute;
  options.decoder.max_tokens = tokens;
  return PlanMemory(setup.config, options, setup.communicator.size(), *setup.device).total_bytes();
}

// The most tokens of a micro-batch that fit, in steps of a thousandth; 0 where one window does not.
std::int64_t TokensThatFit(const RunSetup& setup, Recompute recompute, std::int64_t free_bytes) {
  const std::int64_t least = setup.experiment.data.context_length;
  std::int64_t fits = 0;
  std::int64_t above = setup.state_options.decoder.max_tokens + 1;
  for (std::int64_t tokens = least; tokens < above;) {
    if (BytesWith(setup, recompute, tokens) <= free_bytes) {
      fits = tokens;
    } else {
      above = tokens;
    }
    const std::int64_t next = (fits + above) / 2;
    if (fits == 0 || next - fits < 1 + above / 1000) break;
    tokens = next;
  }
  return fits;
}

std::string WhatWouldFit(const RunSetup& setup, std::int64_t free_bytes) {
  for (const auto recompute :
       {setup.state_options.decoder.recompute, Recompute::kSelective, Recompute::kFull}) {
    const std::int64_t tokens = TokensThatFit(setup, recompute, free_bytes);
    if (tokens == 0) continue;
    return fmt::format("parallel.microbatch_tokens={} parallel.recompute={} would fit", tokens,
                       NameOf(recompute));
  }
  return "no micro-batch of one window fits: spread the optimizer over more ranks "
         "(parallel.zero_stage), or take a smaller model or data.context_length";
}

}  // namespace

void CheckDeviceMemory(const RunSetup& setup) {
  if (setup.device->is_host()) return;
  const DecoderOptions& decoder = setup.state_options.decoder;
  const std::int64_t wanted = BytesWith(setup, decoder.recompute, decoder.max_tokens);
  const std::int64_t free_bytes = setup.device->free_bytes();
  if (wanted <= free_bytes) return;
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / 0x1.0p20; };
  throw InputError("{}: this run needs {:.0f} MiB, {:.0f} MiB are free: {}", setup.device->name(),
                   mebibytes(wanted), mebibytes(free_bytes), WhatWouldFit(setup, free_bytes));
}

}  // namespace sequela
