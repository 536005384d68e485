"""Attention, bf16, causal within documents, beside PyTorch's in the same run."""

from gpu_suite import goals
from gpu_suite.figures import percent, rates
from gpu_suite.parts.rates import measure as measure_rates
from gpu_suite.settings import CHANNELS, mix_text
from harness.figures import median, spread

TITLE = "Attention, bf16, causal within documents"
HEADS = (64, 128)
DIRECTIONS = ("forward", "backward")


def documents(settings):
    """name -> lengths as the programs take them. 16,384 tokens each, the mix about twice that."""
    if settings.rehearsal:
        return {"mix": "100,40,7,250", "uniform64": "64x4"}
    return {
        "mix": mix_text(),
        "uniform512": "512x32",
        "uniform2k": "2048x8",
        "uniform8k": "8192x2",
        "uniform16k": "16384x1",
    }


def collect(settings, report, runner):
    """(documents, head, direction) -> {who: TFLOP/s of each repeat}, and what is not available."""
    words = []
    for name, lengths in documents(settings).items():
        words += ["--documents", f"{name}:{lengths}"]
    found, missing = {}, {}
    channels = ("--channels", 256 if settings.rehearsal else CHANNELS)
    ours = runner.run(
        settings.kernels("--groups", "attention", *channels, *words), settings.left() / 2
    )
    for line in ours.json_lines():
        report.raw(who="sequela", **line)
        _, name, head, direction = line["case"].split("/")
        key = (name, int(head.removeprefix("head")), direction)
        if "error" in line:
            missing[f"Sequela, {name}, head size {key[1]}"] = line["error"]
        else:
            found.setdefault(key, {})["Sequela"] = rates(line["flops"], line["milliseconds"], 1e12)
    if not ours.ok:
        report.fail(f"Sequela's attention {ours.how()}: {ours.said()}")
    limit = settings.left()
    peer = runner.run(
        [
            *settings.peer("torch_gpu_attention.py", limit),
            *("--repeats", settings.repeats),
            *channels,
            *words,
        ],
        limit,
    )
    for line in peer.json_lines():
        report.raw(who="pytorch", **line)
        if "left_out" in line:
            missing["PyTorch"] = f"no time was left for {'; '.join(line['left_out'])}"
            continue
        if "unavailable" in line:
            missing.setdefault(line["variant"], line["unavailable"])
            continue
        key = (line["documents"], line["head"], line["direction"])
        found.setdefault(key, {})[line["variant"]] = rates(
            line["flops"], line["milliseconds"], 1e12
        )
        if line["difference"] > 0.05:
            missing[f"{line['variant']}, {line['documents']}"] = (
                f"its output differs from the first variant's by {line['difference']:.3g}"
            )
    if not peer.ok:
        missing["PyTorch"] = f"it {peer.how()}: {peer.said()}"
    return found, missing


def best_peer(by_who):
    peers = {who: values for who, values in by_who.items() if who != "Sequela"}
    return max(peers, key=lambda who: median(peers[who])) if peers else None


def table(report, found, limit, direction):
    variants = list(dict.fromkeys(who for by in found.values() for who in by if who != "Sequela"))
    rows = []
    for (name, head, way), by_who in found.items():
        if way != direction:
            continue
        ours = by_who.get("Sequela")
        best = best_peer(by_who)
        rows.append(
            [
                f"{name}, {head}",
                spread(ours) if ours else "-",
                percent(median(ours) * 1e12 / limit) if ours and limit else "-",
                *(spread(by_who[who]) if who in by_who else "-" for who in variants),
                f"{median(ours) / median(by_who[best]):.2f}" if ours and best else "-",
            ]
        )
    report.text(f"{direction.capitalize()}, useful TFLOP/s; the ratio is with the best of PyTorch's:")
    report.table(["documents, head size", "Sequela", "of products", *variants, "ratio"], rows)


def check_goals(report, found):
    for direction, wanted in (
        ("forward", goals.FORWARD_TERAFLOPS),
        ("backward", goals.BACKWARD_TERAFLOPS),
    ):
        values = [
            median(by["Sequela"])
            for name in ("uniform8k", "uniform16k")
            if "Sequela" in (by := found.get((name, 128, direction), {}))
        ]
        if len(values) == 2:
            report.goal(
                f"attention_{direction}", " and ".join(f"{v:.0f}" for v in values), min(values) >= wanted
            )
    ratios = []
    for head in HEADS:
        for direction in DIRECTIONS:
            by = found.get(("mix", head, direction), {})
            flash = [median(by[who]) for who in ("flash, packed", "varlen_attn") if who in by]
            if "Sequela" in by and flash:
                ratios.append(median(by["Sequela"]) / max(flash))
    if ratios:
        text = f"{min(ratios):.2f} - {max(ratios):.2f} times"
        if len(ratios) == 4 or min(ratios) < 1.0:
            report.goal("attention_mix", text, min(ratios) >= 1.0)


def run(settings, report, runner, background):
    limit = measure_rates(settings, report, runner, background).get("bf16", 0.0)
    report.text(
        f"{CHANNELS} channels; uniform documents of 16,384 tokens in all, the mix lognormal from 100 to 4,000. "
        "Useful FLOPs are those of pairs that see each other: 4 a pair and channel forward, 10 backward. Both "
        "programs get the same documents; times are the GPU's events, all repeats enqueued before the first "
        "is waited for. Of cuDNN on the mix, which only nested tensors give it, `kernels` is what its "
        "kernels took by themselves, as PyTorch's profiler saw them: the host takes longer."
    )
    found, missing = collect(settings, report, runner)
    for direction in DIRECTIONS:
        table(report, found, limit, direction)
    report.bullets([f"not available: {what}: {why}" for what, why in missing.items()])
    if not settings.rehearsal:
        check_goals(report, found)
