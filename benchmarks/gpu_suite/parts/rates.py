"""What shares are taken of: the GPU's dense products and its copies, measured once a run."""


def measure(settings, report, runner, background):
    """{'bf16': FLOP/s, 'fp32': FLOP/s, 'copy': B/s}, the best of each; empty where that failed."""
    if settings.rates is not None:
        return settings.rates
    background.clear_the_gpu()
    outcome = runner.run(settings.kernels("--groups", "rate"), min(settings.left(), 30))
    settings.rates = {}
    for line in outcome.json_lines():
        report.raw(who="sequela", **line)
        if "min_ms" in line:
            kind = line["case"].split("/")[1].removeprefix("product_")
            best = (line["flops"] or line["bytes"]) / (1e-3 * line["min_ms"])
            settings.rates[kind] = max(settings.rates.get(kind, 0.0), best)
    if not outcome.ok:
        report.text(f"The GPU's rates are not known: {outcome.said()}")
    rates = settings.rates
    report.text(
        "Measured here, the best of each: "
        f"bf16 products {rates.get('bf16', 0) * 1e-12:.0f} TFLOP/s, "
        f"fp32 products {rates.get('fp32', 0) * 1e-12:.1f} TFLOP/s, "
        f"copies from device to device {rates.get('copy', 0) * 1e-9:,.0f} GB/s read and written."
    )
    return rates
