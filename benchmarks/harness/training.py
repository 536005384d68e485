"""Runs of `sequela train` on one simulated store, and what their metrics say."""

import json
import shutil

from process import run
from harness.settings import THREADS

# The bodies of the training step's models; their vocabulary is the store's.
BODIES = {
    "quickstart": dict(
        num_hidden_layers=4,
        hidden_size=128,
        intermediate_size=352,
        num_attention_heads=4,
        num_key_value_heads=4,
    ),
    "S": dict(
        num_hidden_layers=4,
        hidden_size=256,
        intermediate_size=704,
        num_attention_heads=4,
        num_key_value_heads=4,
    ),
    "M": dict(
        num_hidden_layers=8,
        hidden_size=512,
        intermediate_size=1408,
        num_attention_heads=8,
        num_key_value_heads=8,
    ),
}


def store(settings):
    """A store of simulated lives, made at the first call: 1.4 million tokens (rehearsal: 0.15)."""
    folder = settings.work / "store"
    if not folder.exists():
        meds = settings.work / "meds"
        subjects = 600 if settings.quick else 5000
        run([settings.sequela, "simulate", meds, "--subjects", subjects, "--seed", 1])
        run([settings.sequela, "ingest", meds, "--out", folder])
        shutil.rmtree(meds)
    return folder


class TrainingRun:
    """One finished run, in a folder of its own that close() removes."""

    def __init__(self, settings, body, steps, ranks=1, **fields):
        self.folder = settings.work / "run"
        shutil.rmtree(self.folder, ignore_errors=True)
        threads = THREADS // ranks
        overrides = {
            "data.store": store(settings),
            "run.folder": self.folder,
            "schedule.steps": steps,
            "schedule.warmup_steps": 1,
            "schedule.decay": "constant",
            "evaluation.every_steps": 0,
            "checkpoint.every_steps": 0,
            "parallel.threads": threads,
            **{f"model.{key}": value for key, value in BODIES[body].items()},
            **fields,
        }
        launcher = [settings.mpirun, ranks] if ranks > 1 else []
        finished = run(
            [
                *launcher,
                settings.sequela,
                "train",
                settings.root / "configs/quickstart.yaml",
                *(f"{key}={value}" for key, value in overrides.items()),
            ],
            environment={"OMP_NUM_THREADS": str(threads)},
            timeout=900,
        )
        self.peak_mib = finished.peak_mib
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        self.steps = [line for line in map(json.loads, lines) if "step_seconds" in line]

    def column(self, name, begin=0):
        return [step[name] for step in self.steps[begin:]]

    def peaks_mib(self):
        """(promised, seen) of each rank, as the run's summary has them."""
        summary = json.loads((self.folder / "summary.json").read_text())
        columns = (summary["planned_peak_memory_bytes"], summary["peak_memory_bytes"])
        return [(promised / 2**20, seen / 2**20) for promised, seen in zip(*columns)]

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
