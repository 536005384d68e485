"""Two ranks of one thread against one rank of two threads."""

from harness.figures import median, percent, spread
from harness.training import TrainingRun

TITLE = "Two ranks against two threads"

WANTED = 0.9


def seconds_of(settings, report, pair, ranks, body, steps, batch):
    training = TrainingRun(
        settings,
        body,
        steps,
        ranks=ranks,
        **{"data.global_batch_tokens": batch, "data.context_length": 1024},
    )
    seconds, waits = training.column("step_seconds", 1), training.column(
        "communication_wait_seconds", 1
    )
    report.raw(
        body=body,
        pair=pair,
        ranks=ranks,
        step_seconds=seconds,
        communication_wait_seconds=waits,
        tokens=training.column("tokens", 1),
    )
    training.close()
    return sum(seconds), sum(waits)


def run(settings, report):
    body, batch, steps = ("quickstart", 4096, 4) if settings.quick else ("S", 8192, 9)
    threads, ranks, waits = [], [], []
    for pair in range(settings.pairs):
        threads.append(seconds_of(settings, report, pair, 1, body, steps, batch)[0])
        both, wait = seconds_of(settings, report, pair, 2, body, steps, batch)
        ranks.append(both)
        waits.append(wait / both)
    ratios = [a / b for a, b in zip(threads, ranks)]
    report.goal(
        "2 ranks x 1 thread against 1 rank x 2 threads",
        f">= {WANTED}",
        spread(ratios, 2),
        median(ratios) >= WANTED,
    )
    per_step = 1e3 / (steps - 1)
    report.text(
        f"`sequela train`, body of model {body}, fp32, ZeRO 1, the same global batches of {batch:,} "
        f"tokens, in turn, {settings.pairs} pairs of {steps - 1} steps (the first step left out). "
        "Wait: what the first rank waited for the other beyond what arithmetic hid."
    )
    report.table(
        ["", "median (range)"],
        [
            ["1 rank x 2 threads, ms a step", spread([s * per_step for s in threads])],
            ["2 ranks x 1 thread, ms a step", spread([s * per_step for s in ranks])],
            ["ratio of speeds", spread(ratios, 2)],
            ["of which waiting", percent(waits, 1)],
        ],
    )
