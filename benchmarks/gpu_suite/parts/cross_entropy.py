"""Output projection and cross-entropy beside its three products and PyTorch's compiled version."""

from gpu_suite import goals
from gpu_suite.figures import percent
from gpu_suite.parts.rates import measure as measure_rates
from gpu_suite.settings import VOCABULARIES, WIDTHS, shapes_text
from harness.figures import median, spread

TITLE = "Cross-entropy with the output projection, bf16, 8,192 tokens"


def collect(settings, report, runner):
    """shape -> {what: line}."""
    found, missing = {}, {}
    ours = runner.run(settings.kernels("--groups", "cross_entropy"), settings.left() / 2)
    for line in ours.json_lines():
        report.raw(who="sequela", **line)
        what, shape = line["case"].split("/")
        if "error" in line:
            missing[f"Sequela's {what} {shape}"] = line["error"]
        else:
            found.setdefault(shape, {})[what] = line
    if not ours.ok:
        report.fail(f"Sequela's cross-entropy {ours.how()}: {ours.said()}")
    time_left = settings.left()
    peer = runner.run(
        [
            *settings.peer("torch_gpu_cross_entropy.py", time_left),
            *("--shapes", shapes_text()),
            *("--repeats", max(3, settings.repeats // 2)),
        ],
        time_left,
    )
    for line in peer.json_lines():
        report.raw(who="pytorch", **line)
        if "left_out" in line:
            missing["PyTorch"] = f"no time was left for {'; '.join(line['left_out'])}"
        elif "unavailable" in line:
            missing[f"PyTorch {line['variant']}, {line['shape']}"] = line["unavailable"]
        else:
            found.setdefault(line["shape"], {})["torch " + line["variant"]] = line
    if not peer.ok:
        missing["PyTorch"] = f"it {peer.how()}: {peer.said()}"
    return found, missing


def limit_of(by_what):
    """Milliseconds of the three products, which take turns with cross-entropy: at the same clocks."""
    return median(by_what["products"]["milliseconds"]) if "products" in by_what else None


def torch_products(found):
    """PyTorch's products, measured by themselves, over ours: the limit is no soft one."""
    ratios = [
        median(by_what["torch products"]["milliseconds"]) / limit_of(by_what)
        for by_what in found.values()
        if "torch products" in by_what and limit_of(by_what)
    ]
    if not ratios:
        return []
    return [f"PyTorch's three products took {min(ratios):.2f} - {max(ratios):.2f} times as long as the limit"]


def best_torch(by_what):
    names = [what for what in ("torch compiled", "torch eager") if what in by_what]
    return min(names, key=lambda what: median(by_what[what]["milliseconds"])) if names else None


def row(shape, by_what):
    ours = by_what.get("cross_entropy")
    limit, torch = limit_of(by_what), best_torch(by_what)
    time = median(ours["milliseconds"]) if ours else None
    share = limit / time if ours and limit else None
    cells = [
        shape.replace("x", " x "),
        spread(ours["milliseconds"], 2) if ours else "-",
        f"{limit:.2f}" if limit else "-",
        percent(share) if share else "-",
        f"{ours['workspace_bytes'] * 1e-6:.0f}" if ours else "-",
        torch_cell(by_what, torch),
        f"{by_what[torch]['extra_bytes'] * 1e-6:,.0f}" if torch else "-",
        f"{median(by_what[torch]['milliseconds']) / time:.2f}" if torch and ours else "-",
    ]
    return cells, share


def torch_cell(by_what, best):
    if not best:
        return "-"
    return spread(by_what[best]["milliseconds"], 2) + (", eager" if best == "torch eager" else "")


def run(settings, report, runner, background):
    measure_rates(settings, report, runner, background)
    report.text(
        "Forward and backward, every row with a target. Limit: its three products alone, whole, in turns with "
        "it. PyTorch: compiled, or eager where that is faster or all there is. Extra "
        "memory: ours is the workspace, all that it uses beyond arguments and gradients; PyTorch's is the "
        "allocator's peak beyond them. Ratio: PyTorch's time over ours."
    )
    found, missing = collect(settings, report, runner)
    rows, shares, megabytes = [], {}, []
    for shape, by_what in found.items():
        cells, share = row(shape, by_what)
        rows.append(cells)
        if share:
            shares[shape] = share
        if "cross_entropy" in by_what:
            megabytes.append(by_what["cross_entropy"]["workspace_bytes"] * 1e-6)
    report.table(
        ["width x vocabulary", "Sequela, ms", "limit, ms", "share", "MB", "PyTorch, ms", "MB", "ratio"],
        rows,
    )
    report.bullets(torch_products(found))
    report.bullets([f"not available: {what}: {why}" for what, why in missing.items()])
    if settings.rehearsal or not shares:
        return
    whole = len(shares) == len(WIDTHS) * len(VOCABULARIES)
    worst = min(shares, key=shares.get)
    report.goal(
        "cross_entropy",
        f"{percent(shares[worst])} - {percent(max(shares.values()))}, least at {worst}",
        whole and shares[worst] >= goals.SHARE_OF_PRODUCTS,
    )
    report.goal(
        "cross_entropy_memory", f"{max(megabytes):.0f} MB", max(megabytes) <= goals.EXTRA_MEGABYTES
    )
