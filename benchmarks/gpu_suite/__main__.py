"""Parses the command line of gpu_suite.sh and runs the parts, one after another."""

import argparse
import importlib
import shutil
import signal
import sys
import traceback

import process
from gpu_suite import machine, package
from gpu_suite.background import Background
from gpu_suite.report import Report
from gpu_suite.settings import CORRECTNESS, PARTS, Settings

ARCHIVE = "build/gpu_suite.tar.xz"


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="benchmarks/gpu_suite.sh",
        description="Everything that needs a GPU, in one command. `pack [FILE]` makes, on a machine "
        "that can build, the archive that a bare one needs.",
    )
    parser.add_argument("--archive", help=f"what `pack` made (default: {ARCHIVE} where it exists)")
    parser.add_argument("--out", default="build/gpu_suite_results", help="folder of the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything together")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument(
        "--rehearse", action="store_true", help="on the CPU, tiny: proves the script, not the GPU"
    )
    options = parser.parse_args(arguments)
    options.parts = [part for part in PARTS if part in options.parts.replace(",", " ").split()]
    if not options.parts:
        parser.error(f"--parts takes some of {', '.join(PARTS)}")
    options.archive_given = options.archive is not None
    options.archive = options.archive or ARCHIVE
    return options


def run_part(name, settings, report, runner, background, clocks):
    part = importlib.import_module(f"gpu_suite.parts.{name}")
    report.begin_part(name, part.TITLE)
    runner.note(f"\n== {part.TITLE}")
    try:
        if settings.begin_part(name):
            part.run(settings, report, runner, background)
        else:
            report.text("**Not run:** no time was left.")
            if name in CORRECTNESS:
                report.failed_parts.append(name)
    except Exception as error:  # one part's fault must not cost the others' figures
        traceback.print_exc()
        runner.note(traceback.format_exc())
        report.fail(f"{type(error).__name__}: {error}")
    report.end_part(clocks)


def stop(signal_number, frame):
    sys.exit(128 + signal_number)  # by way of the finally blocks: no program and no folder stays


def main(arguments):
    signal.signal(signal.SIGTERM, stop)
    options = parse(arguments)
    if not options.rehearse and not machine.gpus():
        print("gpu_suite: nvidia-smi finds no GPU here (--rehearse needs none)", file=sys.stderr)
        return 2
    settings = Settings(options)
    settings.out.mkdir(parents=True, exist_ok=True)
    clocks = background = None
    try:
        package.prepare(settings, options)
        runner = process.Runner(settings.out / "log.txt", environment(settings))
        words = " ".join(["benchmarks/gpu_suite.sh", *public_words(arguments)])
        report = Report(settings, machine.describe(settings), words)
        clocks = None if options.rehearse else machine.Clocks()
        background = Background(settings, runner, options.parts)
        for name in options.parts:
            run_part(name, settings, report, runner, background, clocks)
    except package.NotReady as error:
        print(f"gpu_suite: {error}", file=sys.stderr)
        return 2
    finally:
        if clocks:
            clocks.close()
        process.end_all()
        shutil.rmtree(settings.work, ignore_errors=True)
    failed = [part for part in report.failed_parts if part in CORRECTNESS]
    print(f"\n{options.out}/report.md" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def environment(settings):
    """Of every program: compiled code of peers stays in this run's folder."""
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(settings.work / "inductor"),
        "TRITON_CACHE_DIR": str(settings.work / "triton"),
        "PYTHONUNBUFFERED": "1",
    }


def public_words(arguments):
    """Without the places of archive and results, which are nobody else's business."""
    words = []
    skip = False
    for word in arguments:
        if not skip and word not in ("--archive", "--out"):
            words.append(word)
        skip = word in ("--archive", "--out")
    return words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
