"""Operations that move bytes, beside the bandwidth of a copy from device to device."""

from gpu_suite import goals
from gpu_suite.figures import percent, rates
from gpu_suite.parts.rates import measure as measure_rates
from harness.figures import median

TITLE = "Memory-bound operations, share of copy bandwidth"


def run(settings, report, runner, background):
    limit = measure_rates(settings, report, runner, background).get("copy", 0.0)
    if not limit:
        report.fail("without the rate of a copy there is nothing to compare with.")
        return
    outcome = runner.run(settings.kernels("--groups", "memory"), settings.left())
    shares, errors = {}, []
    for line in outcome.json_lines():
        report.raw(who="sequela", **line)
        _, name, width = line["case"].split("/")
        if "error" in line:
            errors.append(f"not available: {name} at {width}: {line['error']}")
        else:
            shares[name, int(width)] = [
                rate / limit for rate in rates(line["bytes"], line["milliseconds"], 1.0)
            ]
    if not outcome.ok:
        report.fail(f"it {outcome.how()}: {outcome.said()}")
    widths = sorted({width for _, width in shares})
    report.text(
        "Bytes that must be read and written once, over the time, over the copy's rate; matrices of 64 Mi "
        "elements, several times the cache. What mostly reads can pass 100 %."
    )
    report.table(
        ["operation", *(f"width {width}" for width in widths)],
        [
            [name, *(cell(shares.get((name, width))) for width in widths)]
            for name in dict.fromkeys(name for name, _ in shares)
        ],
    )
    report.bullets(errors)
    settings.shares = {key: median(values) for key, values in shares.items()}
    if settings.rehearsal or not shares:
        return
    slow = sorted(
        {name for (name, _), share in settings.shares.items() if share < goals.SHARE_OF_COPY}
    )
    least = min(settings.shares, key=settings.shares.get)
    report.goal(
        "memory_bound",
        f"least {percent(settings.shares[least])} ({least[0]} at {least[1]})",
        not slow and not errors and outcome.ok,
    )
    if slow:
        report.text(f"Below {percent(goals.SHARE_OF_COPY)}: {', '.join(slow)}.")


def cell(shares):
    if not shares:
        return "-"
    return f"{percent(median(shares))} ({100 * min(shares):.0f} - {100 * max(shares):.0f})"
