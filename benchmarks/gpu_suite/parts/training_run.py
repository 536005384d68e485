"""The same experiment on CPU and GPU, and a GPU run that is killed and resumed."""

from gpu_suite import goals
from gpu_suite.experiment import Training
from harness.figures import spread

TITLE = "A training run on simulated records"


def compare_losses(report, cpu, gpu, rehearsal):
    pairs = list(zip(cpu.losses(), gpu.losses()))[: goals.COMPARED_LOSSES]
    differences = [abs(ours - theirs) / abs(theirs) for theirs, ours in pairs]
    report.raw(losses_cpu_fp32=cpu.losses(), losses_gpu_fp32=gpu.losses())
    text = f"{max(differences):.1e} over {len(pairs)} losses"
    report.text(f"Losses of GPU fp32 beside CPU fp32: largest relative difference {text}.")
    good = max(differences) <= goals.LOSS_DIFFERENCE and len(pairs) == goals.COMPARED_LOSSES
    if not good:
        report.fail("the losses differ.")
    if not rehearsal:
        report.goal("losses", text, good)


def compare_held_out(settings, report, cpu, gpu):
    both = {}
    for name, run in (("CPU fp32", cpu), ("GPU bf16", gpu)):
        result = run.held_out(min(settings.left(), 40))
        if not isinstance(result, dict):
            report.fail(f"evaluate on {name} {result.how()}: {result.said()}")
            return
        both[name] = result["nll_per_token"]
    report.raw(held_out_nll_per_token=both)
    difference = both["GPU bf16"] / both["CPU fp32"] - 1.0
    text = f"{both['GPU bf16']:.4f} and {both['CPU fp32']:.4f}: {100 * difference:+.2f} %"
    report.text(f"Held-out NLL per token of GPU bf16 and CPU fp32: {text}.")
    good = abs(difference) <= goals.NLL_DIFFERENCE
    if settings.rehearsal:  # a few steps in the middle of the warm-up agree to a few percent alone
        return
    if not good:
        report.fail("held-out NLL differs.")
    report.goal("held_out", text, good)


def kill_and_resume(settings, report, runner, whole):
    """A run like `whole`, killed in the middle: metrics and every file of the last checkpoint."""
    killed = Training(settings, runner, "gpu_bf16_killed", settings.device, "bf16")
    steps = len(whole.losses())
    if not killed.kill_after(steps * 9 // 16, min(settings.left(), 60)):
        report.fail(f"the run ended, or took too long, before it could be killed: {killed.said()}")
        return
    recorded = len(killed.losses())
    outcome = killed.run(settings.left())
    if not outcome.ok:
        report.fail(f"the resumed run {outcome.how()}: {outcome.said()}")
        return
    different = [
        name
        for name, value in whole.checkpoint_hashes().items()
        if name != "state.json" and killed.checkpoint_hashes().get(name) != value
    ]
    if whole.lines() != killed.lines():
        different.append("metrics.jsonl")
    report.raw(killed_at=recorded, different=different)
    text = f"killed at step {recorded} of {steps}: " + (
        f"different: {', '.join(different)}" if different else "metrics and checkpoint are the same"
    )
    report.text(f"GPU bf16, {text}.")
    if different:
        report.fail("the resumed run is another.")
    if not settings.rehearsal:
        report.goal("resume", text, not different)


def run(settings, report, runner, background):
    if not (settings.package / "data/store").exists():
        report.text("**Not measured:** no chain store was packed (it takes a build with Arrow).")
        report.failed_parts.append("training_run")
        return
    report.text(
        "data/experiment.yaml of the archive: 4 layers of 256, heads of 64, simulated records; on the CPU in "
        "fp32, on the GPU in fp32 and bf16."
    )
    fp32 = Training(settings, runner, "gpu_fp32", settings.device, "fp32")
    bf16 = Training(settings, runner, "gpu_bf16", settings.device, "bf16")
    for training in (fp32, bf16):
        outcome = training.run(min(settings.left(), 60))
        if not outcome.ok:
            report.fail(f"train {training.name} {outcome.how()}: {outcome.said()}")
            return
        report.text(f"{training.name}: {spread(training.tokens_per_second())} tokens/s.")
    kill_and_resume(settings, report, runner, bf16)
    cpu = background.wait_for_training(settings.left() - 15)
    if not cpu:
        report.fail(f"the CPU's run is not done: {background.cpu_run.said()}")
        return
    compare_losses(report, cpu, fp32, settings.rehearsal)
    compare_held_out(settings, report, cpu, bf16)
