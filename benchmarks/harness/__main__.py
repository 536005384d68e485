"""Parses the command line of run_all.sh and runs the parts, one after another."""

import argparse
import importlib
import shutil
import signal
import sys
import time
import traceback

from harness import machine
from harness.report import Report
from harness.settings import PARTS, Settings


def words(text):
    return text.replace(",", " ").split()


def parse(arguments):
    parser = argparse.ArgumentParser(prog="benchmarks/run_all.sh")
    parser.add_argument("--parts", type=words, default=list(PARTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", type=words, default=["S", "M", "L"])
    parser.add_argument("--precisions", type=words, default=["fp32", "bf16"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--results", default="benchmarks/results")
    options = parser.parse_args(arguments)
    for given, known in (
        (options.parts, PARTS),
        (options.models, ("S", "M", "L")),
        (options.precisions, ("fp32", "bf16")),
    ):
        for word in given:
            if word not in known:
                parser.error(f"'{word}' is none of {', '.join(known)}")
    if options.pairs < 1:
        parser.error("--pairs takes a number of at least 1")
    return options


def run_part(name, settings, report):
    part = importlib.import_module(f"harness.parts.{name}")
    report.begin_part(name, part.TITLE)
    print(f"== {part.TITLE}", flush=True)
    began = time.monotonic()
    try:
        part.run(settings, report)
    except Exception as error:  # one part's fault must not cost the others' figures
        traceback.print_exc()
        report.text(f"**Failed:** {type(error).__name__}; the terminal has the details.")
    report.end_part(time.monotonic() - began)


def end(signal_number, frame):
    sys.exit(128 + signal_number)  # by way of the finally blocks: no program and no folder stays


def main(arguments):
    signal.signal(signal.SIGTERM, end)
    options = parse(arguments)
    settings = Settings(options)
    report = Report(settings, machine.describe(settings.root, settings.sequela), arguments)
    try:
        for name in options.parts:
            run_part(name, settings, report)
    finally:
        shutil.rmtree(settings.work, ignore_errors=True)
    print(f"\n{report.folder / 'report.md'}")


if __name__ == "__main__":
    main(sys.argv[1:])
