"""The peak memory that training prints beforehand, beside the peak that was seen."""

from harness.training import TrainingRun

TITLE = "Memory of training, promised and seen"

WANTED = 0.10


def cases(settings):
    """(body, precision, recompute, ranks)"""
    if settings.quick:
        return [("S", "fp32", "none", 1), ("S", "fp32", "none", 2)]
    return [
        ("S", "fp32", "none", 1),
        ("S", "fp32", "none", 2),
        ("S", "bf16", "none", 1),
        ("S", "fp32", "full", 1),
        ("M", "fp32", "none", 1),
    ]


def run(settings, report):
    rows = []
    for body, precision, recompute, ranks in cases(settings):
        fields = {
            "parallel.precision": precision,
            "parallel.recompute": recompute,
            "checkpoint.every_steps": 2,  # the snapshot's memory is part of the promise
            "data.global_batch_tokens": 4096,
        }
        training = TrainingRun(settings, body, steps=4, ranks=ranks, **fields)
        peaks, process_peak = training.peaks_mib(), training.peak_mib
        training.close()
        report.raw(
            body=body,
            precision=precision,
            recompute=recompute,
            ranks=ranks,
            promised_and_seen_mib=peaks,
            process_peak_mib=process_peak,
        )
        if ranks == 1:  # the program's own word for it counts for less
            peaks = [(peaks[0][0], process_peak)]
        for rank, (promised, seen) in enumerate(peaks):
            label = f"{body} {precision}, recompute {recompute}"
            label += f", rank {rank} of {ranks}" if ranks > 1 else ""
            difference = seen / promised - 1.0
            percent = f"{100 * difference:+.1f} %"
            rows.append([label, f"{promised:.0f}", f"{seen:.0f}", percent])
            goal = f"memory, {label}: seen beside promised"
            report.goal(goal, f"within {100 * WANTED:.0f} %", percent, abs(difference) <= WANTED)
    report.text(
        "4,096 tokens a step, with checkpoints. Promised: what the log says before the first step; "
        "seen: the largest resident set, of one rank as the system reports it at the end, of several "
        "as each rank read it."
    )
    report.table(["model", "promised MiB", "seen MiB", "difference"], rows)
