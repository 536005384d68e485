"""Nsight Compute on the kernels that take most or reach least of their limit."""

import collections
import csv
import io

from gpu_suite import machine
from gpu_suite.settings import CHANNELS, mix_text

TITLE = "Nsight Compute on the slowest kernels"
SECTIONS = (
    "SpeedOfLight",
    "LaunchStats",
    "Occupancy",
    "MemoryWorkloadAnalysis",
    "ComputeWorkloadAnalysis",
    "WarpStateStats",
)
COLUMNS = (
    "Duration",
    "Compute (SM) Throughput",
    "Memory Throughput",
    "DRAM Throughput",
    "L1/TEX Hit Rate",
    "Registers Per Thread",
    "Achieved Occupancy",
    "Executed Ipc Active",
)


def cases(settings):
    """(group, filter) of what to look at: attention, the head, and the worst of the memory-bound."""
    chosen = [
        ("attention", "attention/mix/head128/backward"),
        ("attention", "attention/mix/head64/backward"),
        ("attention", "attention/mix/head128/forward"),
        ("cross_entropy", "cross_entropy/2048x32768"),
    ]
    worst = sorted(settings.shares, key=settings.shares.get)
    names = list(dict.fromkeys(name for name, _ in worst))[:3]
    return chosen + [("memory", f"memory/{name}/2048") for name in names]


def kernel_rows(text):
    """(kernel, {metric: 'value unit'}) of each launch, from ncu's CSV."""
    begin = text.find('"ID"')
    if begin < 0:
        return []
    launches = collections.OrderedDict()
    for line in csv.DictReader(io.StringIO(text[begin:])):
        name = line.get("Kernel Name", "?").split("(")[0]
        launch = launches.setdefault(line.get("ID"), (name, {}))
        unit = line.get("Metric Unit", "")
        launch[1].setdefault(line.get("Metric Name"), f"{line.get('Metric Value')} {unit}".strip())
    return list(launches.values())


def run(settings, report, runner, background):
    background.clear_the_gpu()
    ncu = machine.find_tool("ncu")
    if settings.rehearsal or not ncu:
        report.text("**Not measured:** " + ("a rehearsal." if settings.rehearsal else "no ncu here."))
        return
    rows = []
    with open(settings.out / "ncu.csv", "w") as file:
        for group, name in cases(settings):
            if settings.left() < 5:
                break
            outcome = runner.run(
                [
                    ncu,
                    *("--clock-control", "none"),
                    *("--kernel-name", "regex:^sequela_"),
                    *("--launch-count", 6),
                    *(word for section in SECTIONS for word in ("--section", section)),
                    *("--csv", "--page", "details"),
                    *settings.kernels("--once", "--groups", group, "--filter", name),
                    *("--channels", CHANNELS, "--documents", f"mix:{mix_text()}"),
                ],
                min(settings.left(), 25),
                name=f"ncu {name}",
            )
            file.write(f"# {name}\n{outcome.output[:1500000]}\n")
            launches = kernel_rows(outcome.output)
            if not launches:
                report.text(f"{name}: ncu {outcome.how()}: {outcome.said()}")
            seen = set()
            for kernel, metrics in launches:
                if kernel not in seen:
                    rows.append([kernel, *(metrics.get(column, "-") for column in COLUMNS)])
                    report.raw(kernel=kernel, case=name, **metrics)
                seen.add(kernel)
    if rows:
        report.table(["kernel", *COLUMNS], rows)
        report.text("ncu.csv has all sections of these launches.")
