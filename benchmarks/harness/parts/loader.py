"""What training waits for its loader, and the loader by itself."""

from harness.figures import median, spread
from process import run as run_program
from harness.training import TrainingRun, store

TITLE = "Loader"

WANTED_WAIT = 0.01


def alone(settings, report):
    rows = []
    for context, batch, micro, ranks in (
        (512, 8192, 8192, 1),
        (512, 8192, 4096, 2),
        (2048, 32768, 8192, 1),
    ):
        result = run_program(
            [
                settings.programs / "dataio_loader_benchmark",
                store(settings),
                "--context-length",
                context,
                "--global-batch-tokens",
                batch,
                "--microbatch-tokens",
                micro,
                "--ranks",
                ranks,
                "--seconds",
                0.5 if settings.quick else 3,
            ]
        ).json()
        report.raw(
            context_length=context,
            global_batch_tokens=batch,
            microbatch_tokens=micro,
            ranks=ranks,
            **result,
        )
        rows.append(
            [
                f"context {context:,}, batch {batch:,}, {ranks} rank{'s' if ranks > 1 else ''}",
                f"{result['tokens_per_second'] * 1e-6:.1f} M",
                f"{100 * result['packing']:.1f} %",
                f"{100 * result['batch_fill']:.1f} %",
            ]
        )
    report.text(
        "By itself, one thread, nothing read ahead (tokens/s of one rank). Packing: how full the micro-batches are "
        "that hold anything; batch: how full the global token budget is:"
    )
    report.table(["", "tokens/s", "packing", "batch"], rows)


def wait(settings, report):
    rows = []
    for body in ("quickstart", "S"):
        training = TrainingRun(
            settings, body, steps=4 if settings.quick else 25, **{"data.global_batch_tokens": 4096}
        )
        waits, steps = training.column("data_wait_seconds", 1), training.column("step_seconds", 1)
        training.close()
        share = sum(waits) / sum(steps)
        report.raw(body=body, data_wait_seconds=waits, step_seconds=steps)
        rows.append(
            [
                body,
                f"{1e3 * median(steps):.0f}",
                spread([1e6 * w for w in waits]),
                f"{100 * share:.3f} %",
            ]
        )
        report.goal(
            f"loader: wait of a training step, model {body}",
            f"< {100 * WANTED_WAIT:.0f} %",
            f"{100 * share:.3f} %",
            share < WANTED_WAIT,
        )
    report.text(
        "What `sequela train` (2 threads, 4,096 tokens a step) waits for it, the first step left out:"
    )
    report.table(["model", "step ms", "wait us", "share of the steps"], rows)


def run(settings, report):
    alone(settings, report)
    wait(settings, report)
