#include "trainer/training/run/announcement.h"

#include <fmt/format.h>

#include "kernels/gemm.h"
#include "runtime/log.h"
#include "trainer/training/memory_plan.h"
#include "trainer/training/progress.h"
#include "trainer/training/run/peak_memory.h"

namespace sequela {

void Announce(const RunSetup& setup, const std::vector<std::int64_t>& planned_peaks) {
  const DecoderOptions& decoder = setup.state_options.decoder;
  const bool is_bf16 = decoder.compute_dtype == DType::kBFloat16;
  LogInfo("sequela {}, result hash {}", SEQUELA_VERSION, setup.run.identity.result_hash);
  LogInfo("device {}, {} rank{} x {} thread{}, {}, ZeRO {}", setup.device->name(),
          setup.communicator.size(), setup.communicator.size() == 1 ? "" : "s", decoder.num_threads,
          decoder.num_threads == 1 ? "" : "s", is_bf16 ? "bf16" : "fp32",
          setup.state_options.zero_stage);
  if (is_bf16 && !GemmHasNativeBf16(ExecOn(*setup.device))) {
    LogWarning("this processor has no bf16 instructions: bf16 halves memory but is no faster");
  }
  LogInfo("model {}: {} parameters, {} layers of {}, {} heads, vocabulary {}",
          NameOf(setup.config.model_type),
          CountText(static_cast<double>(CountParameters(setup.config))),
          setup.config.num_hidden_layers, setup.config.hidden_size,
          setup.config.num_attention_heads, setup.config.vocab_size);
  const WindowAccount& account = setup.loader->account();
  LogInfo("data {}: an epoch has {} subjects, {} windows, {} tokens, {} targets in {} steps",
          setup.store.folder().string(), account.subjects, account.windows, account.tokens,
          account.targets, setup.loader->StepsForEpochs(1.0));
  if (account.subjects_without_targets + account.static_tokens_left_out > 0) {
    LogInfo(
        "left out: {} subjects with static facts only, {} static tokens beyond a quarter window",
        account.subjects_without_targets, account.static_tokens_left_out);
  }
  LogInfo("memory of each rank: {}",
          PlanMemory(setup.config, setup.state_options, setup.communicator.size(), *setup.device)
              .ToString());
  LogInfo("peak of each rank: {}{}, with program, libraries, store and checkpoints",
          PeaksText(planned_peaks), setup.device->is_host() ? "" : " of the host's memory");
  LogInfo("{} steps of {} tokens; {} {}", setup.total_steps,
          setup.experiment.data.global_batch_tokens,
          setup.checkpoint ? fmt::format("going on from step {} of", setup.progress.step)
                           : "a new run in",
          setup.run.folder.string());
  if (setup.experiment.evaluation.every_steps > 0 && !setup.evaluates) {
    LogWarning("{} has no tuning split: no evaluation while training",
               setup.store.folder().string());
  }
  if (setup.checkpoint && !setup.options.init_from.empty()) {
    LogWarning("--init-from is not read again: the run goes on from its own checkpoint");
  }
}

}  // namespace sequela
