#include "trainer/training/run/device_fit.h"

#include <fmt/format.h>

#include <string>

#include "kernels/base/errors.h"
#include "trainer/training/memory_plan.h"

namespace sequela {
namespace {

std::int64_t BytesWith(const PreparedRun& prepared, Recompute recompute, std::int64_t tokens) {
  TrainStateOptions options = prepared.state_options;
  options.decoder.recompute = recompute;
  options.decoder.max_tokens = tokens;
  return PlanMemory(prepared.config, options, prepared.communicator.size(), *prepared.device)
      .total_bytes();
}

// The most tokens of a micro-batch that fit, in steps of a thousandth; 0 where one window does not.
std::int64_t TokensThatFit(const PreparedRun& prepared, Recompute recompute,
                           std::int64_t free_bytes) {
  const std::int64_t least = prepared.experiment.data.context_length;
  std::int64_t fits = 0;
  std::int64_t above = prepared.state_options.decoder.max_tokens + 1;
  for (std::int64_t tokens = least; tokens < above;) {
    if (BytesWith(prepared, recompute, tokens) <= free_bytes) {
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

std::string WhatWouldFit(const PreparedRun& prepared, std::int64_t free_bytes) {
  for (const auto recompute :
       {prepared.state_options.decoder.recompute, Recompute::kSelective, Recompute::kFull}) {
    const std::int64_t tokens = TokensThatFit(prepared, recompute, free_bytes);
    if (tokens == 0) continue;
    return fmt::format("parallel.microbatch_tokens={} parallel.recompute={} would fit", tokens,
                       NameOf(recompute));
  }
  return "no micro-batch of one window fits: spread the optimizer over more ranks "
         "(parallel.zero_stage), or take a smaller model or data.context_length";
}

}  // namespace

void CheckFitsDevice(const PreparedRun& prepared) {
  if (prepared.device->is_host()) return;
  const DecoderOptions& decoder = prepared.state_options.decoder;
  const std::int64_t wanted = BytesWith(prepared, decoder.recompute, decoder.max_tokens);
  const std::int64_t free_bytes = prepared.device->free_bytes();
  if (wanted <= free_bytes) return;
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / 0x1.0p20; };
  throw InputError("{}: this run needs {:.0f} MiB, {:.0f} MiB are free: {}",
                   prepared.device->name(), mebibytes(wanted), mebibytes(free_bytes),
                   WhatWouldFit(prepared, free_bytes));
}

}  // namespace sequela
