"""One run of the carried experiment: where it lies, how it is started, what it left."""

import hashlib
import json
import os
import subprocess
import time

import process

STEPS = 240
REHEARSAL_STEPS = 24
TIMINGS = (
    "tokens_per_second",
    "model_flops_utilization",
    "matrix_rate_share",
    "data_wait_seconds",
    "communication_wait_seconds",
    "checkpoint_wait_seconds",
    "step_seconds",
)


class Training:
    def __init__(self, settings, runner, name, device, precision):
        self._settings, self._runner = settings, runner
        self.name = name
        self.folder = settings.work / "runs" / name
        steps = REHEARSAL_STEPS if settings.rehearsal else STEPS
        threads = max(1, (os.cpu_count() or 2) // 2)
        self.command = [
            settings.program("bin/sequela"),
            "train",
            settings.program("data/experiment.yaml"),
            f"data.store={settings.program('data/store')}",
            f"run.folder={self.folder}",
            f"parallel.device={device if not settings.rehearsal else 'cpu'}",
            f"parallel.precision={precision}",
            f"parallel.threads={threads}",
            f"schedule.steps={steps}",
            f"checkpoint.every_steps={steps // 8}",
            f"evaluation.every_steps={steps // 2}",
            *(("data.global_batch_tokens=512", "data.context_length=256") if settings.rehearsal else ()),
        ]

    def run(self, limit):
        return self._runner.run(self.command, limit, name=f"train {self.name}")

    def start(self, nice=0):
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        errors = open(self.folder.parent / f"{self.name}.log", "w")
        return self._runner.start(self.command, subprocess.DEVNULL, errors, nice=nice)

    def wait(self, child, limit):
        try:
            return child.wait(timeout=max(limit, 0.1)) == 0
        except subprocess.TimeoutExpired:
            return False

    def said(self):
        log = self.folder.parent / f"{self.name}.log"
        lines = log.read_text().strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "it said nothing"

    def kill_after(self, step, limit):
        """Starts it, kills it once so many steps are recorded; False where it ended before."""
        child = self.start()
        end = time.monotonic() + limit
        metrics = self.folder / "metrics.jsonl"
        reached = False
        while not reached and child.poll() is None and time.monotonic() < end:
            reached = metrics.exists() and metrics.read_bytes().count(b'"loss"') >= step
            time.sleep(0.0 if reached else 0.002)
        reached = reached and child.poll() is None
        process.end(child)  # by SIGKILL
        return reached

    def lines(self):
        """metrics.jsonl without what depends on the clock."""
        text = (self.folder / "metrics.jsonl").read_text()
        return [
            {key: value for key, value in json.loads(line).items() if key not in TIMINGS}
            for line in text.splitlines()
        ]

    def losses(self):
        return [line["loss"] for line in self.lines() if "split" not in line]

    def tokens_per_second(self):
        """Of the second half of the steps."""
        text = (self.folder / "metrics.jsonl").read_text()
        rates = [
            line["tokens_per_second"]
            for line in map(json.loads, text.splitlines())
            if "split" not in line
        ]
        return sorted(rates[len(rates) // 2 :])

    def checkpoint_hashes(self):
        """Of every file of the newest checkpoint."""
        folders = sorted((self.folder / "checkpoints").glob("step-*"))
        return {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folders[-1].rglob("*"))
            if file.is_file()
        }

    def held_out(self, limit):
        """The report of `evaluate` on the newest checkpoint; an Outcome where that failed."""
        outcome = self._runner.run(
            [self._settings.program("bin/sequela"), "evaluate", self.folder, "--newest", "--json"],
            limit,
            name=f"evaluate {self.name}",
        )
        return json.loads(outcome.output) if outcome.ok else outcome
