"""Single operations beside their limits: matrix work beside oneDNN, rowwise work beside memory."""

import collections
import json

from harness.figures import median, percent, spread
from process import ProgramFailed, run as run_program
from harness.settings import THREADS

TITLE = "Kernels, each beside its limit"


def repetitions(settings, program, *options):
    """name -> the benchmark's runs, of interleaved repetitions, in the program's own order."""
    count = 1 if settings.quick else 5
    finished = run_program(
        [
            settings.programs / program,
            "--benchmark_format=json",
            f"--benchmark_repetitions={count}",
            "--benchmark_enable_random_interleaving=true",
            f"--benchmark_min_time={0.01 if settings.quick else 0.05}",
            *options,
        ],
        timeout=900,
    )
    document = finished.json()
    runs = collections.defaultdict(list)
    for run in sorted(document["benchmarks"], key=lambda run: run["family_index"]):
        if run["run_type"] == "iteration":
            runs[run["name"].removesuffix("/real_time")].append(run)
    return document["context"], runs


def values(runs, name, counter):
    return [run[counter] for run in runs[name]]


def torch_attention(settings, report, native_bf16):
    """(mix, dtype) -> {'forward': [GFLOP/s], 'backward': [GFLOP/s]}, empty without the peer."""
    missing = settings.missing_peer()
    if missing:
        report.text(f"PyTorch's attention not measured: {missing}.")
        return {}
    try:
        finished = run_program(
            [
                settings.peer_python,
                settings.root / "benchmarks/peers/torch_attention.py",
                "--threads",
                THREADS,
                "--repetitions",
                1 if settings.quick else 5,
                "--dtypes",
                "fp32,bf16" if native_bf16 else "fp32",
            ]
        )
    except ProgramFailed as error:
        print(error)
        report.text("PyTorch's attention not measured: it failed.")
        return {}
    rates = {}
    for line in map(json.loads, finished.output.splitlines()):
        report.raw(who="pytorch", **line)
        rates[line["documents"], line["dtype"]] = line
    return rates


def products_table(report, runs, best):
    names = [name.split("/") for name in runs if name.startswith("gemm/")]
    rows = []
    for layer, dtype in dict.fromkeys((layer, dtype) for _, layer, _, dtype in names):
        cells = []
        for product in ("forward", "input_gradient", "weight_gradient"):
            rates = values(runs, f"gemm/{layer}/{product}/{dtype}", "GFLOP/s")
            cells.append(percent([rate / best[dtype] for rate in rates]))
        rows.append([f"{layer} {dtype}", *cells])
    report.text("Products of model M's layers, 4,096 tokens, share of the machine's rate:")
    report.table(["product", "forward", "input gradient", "weight gradient"], rows)


def attention_table(report, runs, best, peer):
    cases = dict.fromkeys(
        (name.split("/")[1], name.split("/")[2], name.split("/")[4])
        for name in runs
        if name.startswith("attention/")
    )
    rows = []
    for documents, head, dtype in cases:
        row = [f"{documents} {head} {dtype}".replace("_", " ")]
        beside = peer.get((documents, dtype)) if head == "head64" else None
        for direction in ("forward", "backward"):
            rates = values(runs, f"attention/{documents}/{head}/{direction}/{dtype}", "GFLOP/s")
            row += [spread(rates), percent([rate / best[dtype] for rate in rates])]
            row.append(spread(beside[direction]) if beside else "-")
        rows.append(row)
    report.text(
        "Attention, 512 channels, useful GFLOP/s; records: seven documents of 373 to 802 tokens:"
    )
    report.table(["documents", "forward", "share", "PyTorch", "backward", "share", "PyTorch"], rows)


def cross_entropy_table(report, runs, best):
    rows = []
    for dtype in best:
        whole = values(runs, f"cross_entropy/2048x512x16384/{dtype}", "GFLOP/s")
        products = values(runs, f"its_products/2048x512x16384/{dtype}", "GFLOP/s")
        rows.append(
            [dtype, spread(whole), spread(products), percent([w / median(products) for w in whole])]
        )
    report.text(
        "Output projection and cross-entropy with gradients, 2,048 tokens, vocabulary 16,384, beside its three "
        "products alone, GFLOP/s of those products:"
    )
    report.table(["", "cross-entropy", "three products", "share"], rows)


def rowwise_table(report, runs):
    limit = max(
        values(runs, f"Triad/threads:{THREADS}", "GB/s")
        + values(runs, f"Copy/threads:{THREADS}", "GB/s")
    )
    rows = []
    for name in runs:
        rates = values(runs, name, "GB/s")
        rows.append(
            [
                name.removesuffix(f"/threads:{THREADS}"),
                spread(rates, 1),
                percent([rate / limit for rate in rates]),
            ]
        )
    report.text(
        f"Rowwise operations: GB/s that must be read and written, and their share of the machine's best copy or "
        f"triad ({limit:.1f} GB/s). A store's hidden read is counted for nobody, so that what mostly reads can "
        "pass 100 %. The rotary table and the embedding's plan are made once a batch."
    )
    report.table(["operation", "GB/s", "share"], rows)


def run(settings, report):
    context, runs = repetitions(settings, "kernels_matrix_benchmark")
    native_bf16 = context["native_bf16"] == "yes"
    for name, found in runs.items():
        report.raw(who="sequela", name=name, gflops=[run["GFLOP/s"] for run in found])
    best = {
        dtype: max(values(runs, f"machine_rate/{dtype}", "GFLOP/s")) for dtype in ("fp32", "bf16")
    }
    report.text(
        f"Machine's rate (oneDNN, best of three products, {THREADS} threads): fp32 {best['fp32']:.0f} GFLOP/s, "
        + (
            f"bf16 {best['bf16']:.0f} GFLOP/s."
            if native_bf16
            else "no bf16 instructions: bf16 rows beside fp32's rate."
        )
    )
    products_table(report, runs, best)
    attention_table(report, runs, best, torch_attention(settings, report, native_bf16))
    cross_entropy_table(report, runs, best)
    _, rowwise = repetitions(
        settings, "kernels_rowwise_benchmark", f"--benchmark_filter=threads:{THREADS}"
    )
    for name, found in rowwise.items():
        report.raw(who="sequela", name=name, gigabytes_per_second=[run["GB/s"] for run in found])
    rowwise_table(report, rowwise)
