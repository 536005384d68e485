"""Whole optimizer steps at three sizes, beside PyTorch's same decoder, compiled."""

import os

from gpu_suite.figures import percent
from gpu_suite.parts.rates import measure as measure_rates
from process import Outcome
from gpu_suite.settings import microbatches_text
from harness.figures import median, spread

TITLE = "Training steps, bf16, lognormal documents of 100 to 4,000 tokens"
MODELS = ("125M", "350M", "1.3B")
STEPS = 7
OURS_AT_MOST = 30  # seconds of one model


def ours(settings, runner, model, head, limit):
    """(facts, [step], [machine rate], split) of one model; an Outcome where it failed."""
    steps = 2 if settings.rehearsal else STEPS
    command = [
        settings.program("benchmarks/trainer_step_benchmark"),
        *("--device", settings.device),
        *("--model", "S" if settings.rehearsal else model),
        *("--precision", "bf16"),
        *("--head-size", head),
        *("--threads", os.cpu_count() if not settings.rehearsal else 2),
        *("--microbatches", microbatches_text(settings)),
        "--serve",
    ]
    # It answers line by line what stands in its input; the split comes at its end.
    script = settings.work / "steps.txt"
    script.write_text("rate\n" + "step\n" * steps)
    outcome = runner.run(
        ["bash", "-c", 'input=$1; shift; exec "$@" < "$input"', "bash", script, *command],
        limit,
        name=f"steps {model} head {head}",
    )
    answers = outcome.json_lines()
    if not outcome.ok or len(answers) < 3:
        return outcome
    return {
        "facts": answers[0],
        "rate": next((a["machine_flops"] for a in answers if "machine_flops" in a), 0.0),
        "seconds": [a["seconds"] for a in answers if "seconds" in a][1:],
        "losses": [a["loss"] for a in answers if "loss" in a],
        "split": next((a["split"] for a in answers if "split" in a), {}),
    }


def theirs(settings, report, runner, model, head, limit):
    """variant -> tokens/s of each step, and what is not available."""
    outcome = runner.run(
        [
            *settings.peer("torch_gpu_steps.py", limit),
            *("--model", model),
            *("--head-size", head),
            *("--microbatches", microbatches_text(settings)),
            *("--steps", 2 if settings.rehearsal else 5),
        ],
        limit,
        name=f"torch steps {model} head {head}",
    )
    found, missing = {}, {}
    for line in outcome.json_lines():
        report.raw(who="pytorch", **line)
        if "left_out" in line:
            missing["PyTorch"] = f"no time was left for {', '.join(line['left_out'])}"
        elif "unavailable" in line:
            missing[line["variant"]] = line["unavailable"]
        else:
            found[line["variant"]] = [line["tokens"] / s for s in line["seconds"]]
    if not outcome.ok:
        missing["PyTorch, the rest"] = f"it {outcome.how()}: {outcome.said()}"
    return found, missing


class Case:
    def __init__(self, model, head):
        self.model, self.head = model, head
        self.ours = None
        self.peers, self.missing = {}, {}

    def speeds(self):
        return sorted(self.ours["facts"]["tokens"] / s for s in self.ours["seconds"])

    def best(self):
        return max(self.peers, key=lambda who: median(self.peers[who])) if self.peers else None

    def ratio(self):
        best = self.best()
        if isinstance(self.ours, Outcome) or not best:
            return None
        return median(self.speeds()) / median(self.peers[best])

    def row(self, limit):
        best, label = self.best(), f"{self.model}, {self.head}"
        peer = [spread(self.peers[best]) if best else "-", best or "-"]
        if isinstance(self.ours, Outcome):
            return [label, "-", "-", "-", *peer, "-"]
        rate = [self.ours["facts"]["flops"] / s for s in self.ours["seconds"]]
        limit = max(limit, self.ours["rate"])
        return [
            label,
            spread(self.speeds()),
            spread(sorted(r * 1e-12 for r in rate)),
            percent(median(rate) / limit) if limit else "-",
            *peer,
            f"{self.ratio():.2f}" if self.ratio() else "-",
        ]


def split_line(case):
    total = sum(case.ours["split"].values()) or 1.0
    largest = sorted(case.ours["split"].items(), key=lambda item: -item[1])[:7]
    parts = ", ".join(f"{name} {100 * s / total:.0f} %" for name, s in largest)
    return f"{case.model}, head size {case.head}: {parts}"


def run(settings, report, runner, background):
    limit = measure_rates(settings, report, runner, background).get("bf16", 0.0)
    report.text(
        "Forward, backward, clipping, AdamW over two micro-batches of exactly 16,384 tokens; vocabulary "
        "32,768, tied. Utilisation: useful FLOP/s over the best dense bf16 product measured here. PyTorch: fp32 "
        "parameters under bf16 autocast, blocks and head compiled, fused AdamW, head size 64, its flash kernel "
        "and what other packed attention there is time for; the ratio is with the best. Both wait for the "
        "GPU at each step's end."
    )
    # Ours first, which take half a minute together; then the peers, a third of what is left for each.
    cases = [Case(model, 64) for model in MODELS] + [Case(model, 128) for model in MODELS]
    if settings.rehearsal:
        cases = cases[:1]
    for case in cases:
        limit_of_ours = min(OURS_AT_MOST, settings.left() / 2)
        if settings.rehearsal:
            limit_of_ours = settings.left()
        case.ours = ours(settings, runner, case.model, case.head, limit_of_ours)
        if isinstance(case.ours, Outcome):
            case.missing["Sequela"] = f"it {case.ours.how()}: {case.ours.said()}"
        else:
            report.raw(who="sequela", model=case.model, head=case.head, **case.ours)
    compared = cases[: len(MODELS)]
    for i, case in enumerate(compared):
        share = settings.left() / (len(compared) - i)
        case.peers, missing = theirs(settings, report, runner, case.model, case.head, share)
        case.missing.update(missing)
    report.table(
        [
            "model, head size",
            "tokens/s",
            "TFLOP/s",
            "utilisation",
            "PyTorch tokens/s",
            "its attention",
            "ratio",
        ],
        [case.row(limit) for case in cases],
    )
    report.text("Where forward and backward go, the device waited for after every operation:")
    report.bullets([split_line(c) for c in cases if not isinstance(c.ours, Outcome)])
    missing = {}  # the same reason once, with all it concerns
    for case in cases:
        for what, why in case.missing.items():
            missing.setdefault(f"{what}: {why}", []).append(f"{case.model}, {case.head}")
    report.bullets([f"not available ({'; '.join(who)}): {what}" for what, who in missing.items()])
    if not settings.rehearsal:
        check_goal(report, [case.ratio() for case in compared])


def check_goal(report, ratios):
    """Met where all sizes are, missed where one is behind."""
    known = [ratio for ratio in ratios if ratio]
    if not known or (len(known) < len(ratios) and min(known) >= 1.0):
        return
    text = f"{min(known):.2f} - {max(known):.2f} times"
    if len(known) < len(ratios):
        text += f", {len(known)} of {len(ratios)} sizes"
    report.goal("training_steps", text, min(known) >= 1.0)
