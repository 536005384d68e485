#include "trainer/training/run/announcement.h"

#include <fmt/format.h>

#include "kernels/gemm.h"
#include "runtime/log.h"
#include "trainer/training/memory_plan.h"
#include "trainer/training/progress_line.h"
#include "trainer/training/run/rank_peaks.h"

namespace sequela {

void Announce(const PreparedRun& prepared, const std::vector<std::int64_t>& planned_peaks) {
  const DecoderOptions& decoder = prepared.state_options.decoder;
  const bool is_bf16 = decoder.compute_dtype == DType::kBFloat16;
  LogInfo("result hash {}", prepared.run.identity.result_hash);
  LogInfo("device {}, {} rank{} x {} thread{}, {}, ZeRO {}", prepared.device->name(),
          prepared.communicator.size(), prepared.communicator.size() == 1 ? "" : "s",
          decoder.num_threads, decoder.num_threads == 1 ? "" : "s", is_bf16 ? "bf16" : "fp32",
          prepared.state_options.zero_stage);
  if (is_bf16 && !GemmHasNativeBf16(ExecOn(*prepared.device))) {
    LogWarning("this processor has no bf16 instructions: bf16 halves memory but is no faster");
  }
  LogInfo("model {}: {} parameters, {} layers of {}, {} heads, vocabulary {}",
          NameOf(prepared.config.model_type),
          CountText(static_cast<double>(CountParameters(prepared.config))),
          prepared.config.num_hidden_layers, prepared.config.hidden_size,
          prepared.config.num_attention_heads, prepared.config.vocab_size);
  const WindowAccount& account = prepared.loader->account();
  LogInfo("data {}", prepared.store.folder().string());
  LogInfo("epoch: {} subjects, {} windows, {} tokens, {} targets", account.subjects,
          account.windows, account.tokens, account.targets);
  if (account.subjects_without_targets + account.static_tokens_left_out > 0) {
    LogInfo(
        "left out: {} subjects with static facts only, {} static tokens beyond a quarter window",
        account.subjects_without_targets, account.static_tokens_left_out);
  }
  LogInfo("memory: {}", PlanMemory(prepared.config, prepared.state_options,
                                   prepared.communicator.size(), *prepared.device)
                            .ToString());
  LogInfo("peak of each rank: {}{} with program, libraries and store", PeaksText(planned_peaks),
          prepared.device->is_host() ? "" : " of the host's memory");
  LogInfo("{} steps of {} tokens, {} an epoch", prepared.total_steps,
          prepared.experiment.data.global_batch_tokens, prepared.loader->StepsForEpochs(1.0));
  LogInfo("{} {}",
          prepared.checkpoint ? fmt::format("going on from step {} of", prepared.progress.step)
                              : "a new run in",
          prepared.run.folder.string());
  if (prepared.experiment.evaluation.every_steps > 0 && !prepared.evaluates) {
    LogWarning("{} has no tuning split: no evaluation while training",
               prepared.store.folder().string());
  }
  if (prepared.checkpoint && !prepared.options.init_from.empty()) {
    LogWarning("--init-from is not read again: the run goes on from its own checkpoint");
  }
}

}  // namespace sequela
