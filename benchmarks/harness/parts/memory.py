"""The peak memory that training prints beforehand, beside the peak that was seen."""

from harness.training import TrainingRun

TITLE = "Memory of training, promised and seen"

WANTED = 0.10


def run(settings, report):
    rows = []
    cases = [
        ("S", "fp32", "none", 4),
        ("S", "bf16", "none", 4),
        ("S", "fp32", "full", 4),
        ("M", "fp32", "none", 4),
    ]
    for body, precision, recompute, steps in cases[:1] if settings.quick else cases:
        # Two checkpoints: the snapshot's memory is part of the promise.
        training = TrainingRun(
            settings,
            body,
            steps=steps,
            **{
                "parallel.precision": precision,
                "parallel.recompute": recompute,
                "checkpoint.every_steps": 2,
                "data.global_batch_tokens": 4096,
            },
        )
        promised, seen = training.promised_peak_mib(), training.peak_mib
        training.close()
        label = f"{body} {precision}, recompute {recompute}"
        report.raw(
            body=body,
            precision=precision,
            recompute=recompute,
            promised_mib=promised,
            seen_mib=seen,
        )
        if promised is None:
            rows.append([label, "not printed", f"{seen:.0f}", "-"])
            continue
        off = seen / promised - 1.0
        rows.append([label, f"{promised:.0f}", f"{seen:.0f}", f"{100 * off:+.1f} %"])
        report.goal(
            f"memory, {label}: seen beside promised",
            f"within {100 * WANTED:.0f} %",
            f"{100 * off:+.1f} %",
            abs(off) <= WANTED,
        )
    report.text(
        "One rank, 4,096 tokens a step, with checkpoints. Promised: the line before the first step; seen: the largest "
        "resident set of the process."
    )
    report.table(["model", "promised MiB", "seen MiB", "difference"], rows)
