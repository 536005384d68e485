"""What an asynchronous checkpoint costs the steps beside it."""

import subprocess

from harness.figures import median, spread
from harness.training import TrainingRun

TITLE = "Checkpoint stall"

EVERY = 4  # steps between checkpoints


def write_rate(folder):
    """(bytes, seconds) of a checkpoint, from its folder's birth to the last change of a tensor file.
    Seconds are 0 where the file system keeps no births."""
    files = list(folder.glob("*.safetensors"))
    born = float(
        subprocess.run(["stat", "-c", "%.9W", folder], capture_output=True, text=True).stdout
    )
    seconds = max(file.stat().st_mtime for file in files) - born if born > 0 else 0.0
    return sum(file.stat().st_size for file in files), seconds


def run(settings, report):
    body, saves = ("S", 2) if settings.quick else ("M", 6)
    training = TrainingRun(
        settings,
        body,
        steps=EVERY * (saves + 1),
        **{
            "checkpoint.every_steps": EVERY,
            "checkpoint.keep_last": saves + 1,
            "data.global_batch_tokens": 2048,
        },
    )
    seconds = {step["step"]: step["step_seconds"] for step in training.steps}
    tokens = {step["step"]: step["tokens"] for step in training.steps}
    waits = {step["step"]: step["checkpoint_wait_seconds"] for step in training.steps}
    # A save begins after step 4 n: step 4 n + 1 has it, the two before it (4 n - 1, 4 n) have none.
    # Steps differ a little in tokens, so seconds are those of the mean step.
    mean_tokens = sum(tokens.values()) / len(tokens)
    scaled = {step: seconds[step] / tokens[step] * mean_tokens for step in seconds}
    beside = [scaled[EVERY * n + 1] for n in range(1, saves + 1)]
    quiet = [median([scaled[EVERY * n - 1], scaled[EVERY * n]]) for n in range(1, saves + 1)]
    stalls = [with_save - without for with_save, without in zip(beside, quiet)]
    snapshots = [waits[EVERY * n + 1] for n in range(1, saves + 1)]
    # The last one is not read: it is written while nothing trains.
    written = [
        write_rate(training.folder / "checkpoints" / f"step-{EVERY * n:08d}")
        for n in range(1, saves + 1)
    ]
    training.close()
    report.raw(
        body=body,
        step_seconds=seconds,
        tokens=tokens,
        checkpoint_wait_seconds=waits,
        bytes_and_seconds=written,
    )
    mib = written[0][0] / 2**20
    rates = [size / 2**20 / duration for size, duration in written if duration > 0]
    report.text(
        f"`sequela train`, body of model {body}, 2 threads, 2,048 tokens a step, a checkpoint of "
        f"{mib:.0f} MiB every {EVERY} steps. A step beside a save against the two before it, pair by "
        "pair; the snapshot is the copy that training waits for; the rest is what the writing thread "
        "takes from the two cores. Writing is from the folder's birth to the last "
        "byte handed over, two threads computing meanwhile."
    )
    report.table(
        ["", "median (range)"],
        [
            ["step without a save, ms", spread([1e3 * s for s in quiet])],
            ["step beside a save, ms", spread([1e3 * s for s in beside])],
            ["stall, ms", spread([1e3 * s for s in stalls])],
            ["of which the snapshot, ms", spread([1e3 * s for s in snapshots], 1)],
            [
                "write rate, MiB/s",
                spread(rates) if rates else "not measured: no births of files here",
            ],
        ],
    )
    every = 500  # the default of checkpoint.every_steps
    report.text(
        f"At the default of a checkpoint every {every} steps that is "
        f"{100 * max(median(stalls), 0) / (every * median(quiet)):.3f} % of the time."
    )
