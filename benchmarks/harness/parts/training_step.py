"""Whole optimizer steps, ours and PyTorch's in turn."""

import ctypes.util
import glob
import json

from harness import machine
from harness.figures import median, percent, spread
from process import Servant
from harness.settings import THREADS

TITLE = "Training step, beside PyTorch"

WANTED_SHARE = {"fp32": 0.70, "bf16": 0.60}
WANTED_RATIO = 1.1
NEAR = 1.1  # variants this close to the fastest stay in the pairs
MACHINE_RATES = 5  # at least so many of the machine's rates, of which the best counts


def tcmalloc():
    name = ctypes.util.find_library("tcmalloc_minimal")
    found = (
        sorted(glob.glob(f"/usr/lib/*/{name}") + glob.glob(f"/usr/lib64/{name}")) if name else []
    )
    return found[0] if found else None


def variants_of(settings, model, precision):
    """The peer's best candidates, measured before: one document at a time (c), packed (d), compiled."""
    dtype = "autocast" if precision == "bf16" else "fp32"
    if settings.quick:
        return [("d", dtype, 0)]
    candidates = [("c", dtype, 0), ("d", dtype, 0)]
    # Compiling gains 7 % in bf16 and nothing in fp32, and costs a minute; L's pair is one step.
    if model == "S" or (model == "M" and precision == "bf16"):
        candidates.append(("d", dtype, 1))
    return candidates


def name_of(variant):
    return {"c": "one document at a time", "d": "packed"}[variant[0]] + (
        ", compiled" if variant[2] else ""
    )


class Peer:
    """PyTorch with its variants loaded."""

    def __init__(self, settings, model, documents):
        library = tcmalloc()
        self.allocator = "tcmalloc" if library else "glibc's malloc (no tcmalloc found)"
        self._servant = Servant(
            [
                settings.peer_python,
                "-u",
                settings.root / "benchmarks/peers/torch_steps.py",
                settings.peers.resolve() / "torch_cpu",
                "--size",
                model,
                "--docs",
                f"docs{documents}",
                "--threads",
                THREADS,
                "--warm",
                "step" if model == "S" and not settings.quick else "microbatch",
            ],
            {"LD_PRELOAD": library} if library else {},
        )

    def ask(self, what, variant):
        request = dict(zip(("variant", "dtype", "compile"), variant), do=what)
        return self._servant.ask(json.dumps(request))

    def close(self):
        self._servant.close()


class Case:
    """One model and precision: both sides warm, then pair by pair."""

    def __init__(self, settings, report, model, precision):
        self.settings, self.report = settings, report
        self.model, self.precision = model, precision
        self.documents = "4k" if settings.quick or model == "L" else "16k"
        self.pairs = 1 if model == "L" else settings.pairs
        self.seconds, self.rates, self.peer_seconds, self.notes = [], [], {}, []

    def measure(self):
        ours = Servant(
            [
                self.settings.programs / "trainer_step_benchmark",
                "--serve",
                "--model",
                self.model,
                "--precision",
                self.precision,
                "--threads",
                THREADS,
                "--documents",
                self.documents,
                *([] if self.model == "S" else ["--short-warm-up"]),
            ]
        )
        peer = None
        try:
            self.facts = ours.answer()
            peer = self._open_peer()
            for pair in range(self.pairs):
                self._ours(ours)
                self._theirs(peer, pair)
            while len(self.rates) < MACHINE_RATES:
                self.rates.append(ours.ask("rate")["machine_flops"])
            self.split = ours.last_answer()["split"]
        finally:
            ours.close()
            if peer:
                peer.close()
        self._record()

    def _open_peer(self):
        missing = self.settings.missing_peer()
        if not missing and self.precision == "bf16" and not self.facts["native_bf16"]:
            missing = "no bf16 instructions here, and it emulates them far below its fp32's speed"
        if missing:
            self.notes.append(f"PyTorch not measured: {missing}.")
            return None
        peer = Peer(self.settings, self.model, self.documents)
        for variant in variants_of(self.settings, self.model, self.precision):
            answer = peer.ask("warm", variant)
            if "error" in answer:
                print(answer["error"])
                self.notes.append(f"PyTorch {name_of(variant)} not measured: it failed.")
            else:
                self.peer_seconds[variant] = []
                version = answer["version"]
        if self.peer_seconds:
            self.notes.append(f"PyTorch {version} with {peer.allocator}.")
        return peer

    def _ours(self, ours):
        self.rates.append(ours.ask("rate")["machine_flops"])
        step = ours.ask("step")
        self.seconds.append(step["seconds"])
        self.report.raw(
            model=self.model,
            precision=self.precision,
            who="sequela",
            pair=len(self.seconds),
            tokens=self.facts["tokens"],
            flops=self.facts["flops"],
            machine_flops=self.rates[-1],
            **step,
        )

    def _theirs(self, peer, pair):
        """All variants in the first pair, later those near the fastest."""
        if not peer or not self.peer_seconds:
            return
        fastest = min(times[0] for times in self.peer_seconds.values()) if pair else 0.0
        for variant, times in self.peer_seconds.items():
            if pair and times[0] > NEAR * fastest:
                continue
            step = peer.ask("step", variant)
            times.append(step["seconds"])
            self.report.raw(
                model=self.model,
                precision=self.precision,
                who="pytorch " + name_of(variant),
                pair=pair + 1,
                **step,
            )

    def best_variant(self):
        whole = {
            variant: times
            for variant, times in self.peer_seconds.items()
            if len(times) == self.pairs
        }
        return min(whole, key=lambda variant: median(whole[variant])) if whole else None

    def shares(self):
        return [self.facts["flops"] / seconds / max(self.rates) for seconds in self.seconds]

    def ratios(self):
        best = self.best_variant()
        return (
            [theirs / ours for ours, theirs in zip(self.seconds, self.peer_seconds[best])]
            if best
            else []
        )

    def _record(self):
        self.report.raw(
            model=self.model,
            precision=self.precision,
            split_seconds=self.split,
            machine_flops=self.rates,
        )
        if self.model == "L":
            return
        label = f"{self.model} {self.precision}"
        share = WANTED_SHARE[self.precision]
        self.report.goal(
            f"step {label}: share of the machine's matrix rate",
            f">= {100 * share:.0f} %",
            percent(self.shares()),
            median(self.shares()) >= share,
        )
        if self.ratios():
            self.report.goal(
                f"step {label}: tokens/s beside PyTorch's best",
                f">= {WANTED_RATIO}",
                spread(self.ratios(), 2),
                median(self.ratios()) >= WANTED_RATIO,
            )

    def row(self):
        flops, tokens, best = self.facts["flops"], self.facts["tokens"], self.best_variant()
        label = f"{self.model} {self.precision}"
        if self.precision == "bf16" and not self.facts["native_bf16"]:
            label += " (no bf16 instructions here: computed in fp32)"
        return [
            label,
            spread([tokens / s for s in self.seconds]),
            spread([flops / s * 1e-9 for s in self.seconds], 1),
            f"{max(self.rates) * 1e-9:.0f}",
            percent(self.shares()),
            spread([tokens / s for s in self.peer_seconds[best]]) if best else "not measured",
            spread(self.ratios(), 2) if best else "-",
            self.pairs,
        ]

    def variant_rows(self):
        return [
            [
                f"{self.model} {self.precision}, {name_of(variant)}",
                spread([self.facts["tokens"] / s for s in times]),
                len(times),
            ]
            for variant, times in self.peer_seconds.items()
            if times
        ]

    def split_row(self):
        total = sum(self.split.values())
        largest = sorted(self.split.items(), key=lambda item: -item[1])[:7]
        return f"{self.model} {self.precision}: " + ", ".join(
            f"{name} {100 * s / total:.0f} %" for name, s in largest
        )


def run(settings, report):
    report.text(
        f"One optimizer step of {THREADS} threads: forward, backward, clipping, AdamW, in "
        "micro-batches of 4,096 tokens. S, M: 30 documents, 16,384 tokens; L (and rehearsals): 8 "
        "documents, 4,868 tokens. A pair is one step of ours, then one of PyTorch's. Share: useful FLOP/s over oneDNN's best of three products, the best of all "
        "taken between the steps. Ratio: tokens/s of ours over those of PyTorch's best variant, pair by pair."
    )
    if "bf16" in settings.precisions and not machine.has_bf16():
        report.text("This machine has no bf16 instructions.")
    cases = [
        Case(settings, report, model, precision)
        for model in settings.models
        for precision in settings.precisions
    ]
    for case in cases:
        case.measure()
        print(" | ".join(map(str, case.row())), flush=True)
    report.table(
        ["model", "tokens/s", "GFLOP/s", "machine", "share", "PyTorch tokens/s", "ratio", "pairs"],
        [c.row() for c in cases],
    )
    variants = [row for case in cases for row in case.variant_rows()]
    if variants:
        report.text(
            "PyTorch's variants (all in the first pair; those within 10 % of the fastest in every pair):"
        )
        report.table(["variant", "tokens/s", "steps"], variants)
    notes = dict.fromkeys(
        f"{case.model} {case.precision}: {note}" for case in cases for note in case.notes
    )
    report.text("\n".join(f"- {note}" for note in notes))
    report.text("Where forward and backward go:")
    report.text("\n".join("- " + case.split_row() for case in cases))
