"""A large simulated dataset into a store: rate per core and peak memory."""

import shutil

from process import run as run_program

TITLE = "Ingest"

WANTED_RATE = 500_000  # events a second and core
MEMORY_MIB = 1024


def ingest(settings, meds, workers):
    out = settings.work / "large-store"
    options = ["--out", out, "--memory", "1GiB", "--workers", workers, "--json"]
    finished = run_program([settings.sequela, "ingest", meds, *options], timeout=900)
    shutil.rmtree(out)
    return finished


def run(settings, report):
    meds = settings.work / "large-meds"
    subjects = 5_000 if settings.quick else 94_500  # 212 events each: 20 million
    options = ["--subjects", subjects, "--seed", 1, "--shards", 8]
    simulated = run_program([settings.sequela, "simulate", meds, *options])
    rows = []
    for workers, label in ((1, "1 worker"), (2, "2 workers")):
        finished = ingest(settings, meds, workers)
        result = finished.json()
        events, peak = result["events"], finished.peak_mib
        rate = events / finished.seconds / workers
        report.raw(
            workers=workers,
            events=events,
            tokens=result["tokens"],
            wall_seconds=finished.seconds,
            cpu_seconds=finished.cpu_seconds,
            own_seconds=result["seconds"],
            peak_mib=peak,
            own_peak_mib=result["peak_memory_bytes"] / 2**20,
        )
        row = [label, f"{events:,}", f"{result['tokens']:,}", f"{finished.seconds:.1f}"]
        row += [f"{rate:,.0f}", f"{events / finished.cpu_seconds:,.0f}", f"{peak:.0f}"]
        rows.append(row)
        goal = f"ingest, {label}"
        met = rate >= WANTED_RATE
        report.goal(f"{goal}: events/s per core", f">= {WANTED_RATE:,}", f"{rate:,.0f}", met)
        met = peak < MEMORY_MIB
        report.goal(f"{goal}: peak memory", f"< {MEMORY_MIB} MiB", f"{peak:.0f} MiB", met)
    shutil.rmtree(meds)
    report.text(
        f"`sequela ingest --memory 1GiB` of simulated lives ({subjects:,} subjects in 24 files; "
        f"simulating and writing them took {simulated.seconds:.1f} s). Seconds are of the whole "
        "process, peak is its largest resident set."
    )
    header = ["", "events", "tokens", "seconds", "events/s per core", "per CPU second"]
    report.table([*header, "peak MiB"], rows)
