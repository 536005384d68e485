"""What the processor's cores do while the GPU is busy: training on the CPU, which the GPU's is later
held against, and filling the peers' compiler cache. Ended before anything is measured that they
could disturb."""

import subprocess

import process
from gpu_suite.experiment import Training
from gpu_suite.settings import MEASURING, VOCABULARIES, WIDTHS, microbatches_text, mix_text

WHILE = ("parity", "sanitizer")  # what keeps the GPU busy without being timed


class Background:
    def __init__(self, settings, runner, parts):
        self._settings = settings
        self._runner = runner
        self._training = None
        self._warming = {}
        if "training_run" in parts and (settings.package / "data/store").exists():
            self.cpu_run = Training(settings, runner, "cpu_fp32", "cpu", "fp32")
            self._training = self.cpu_run.start(nice=5)
        if not settings.rehearsal and set(parts) & set(MEASURING) and set(parts) & set(WHILE):
            self._warm()

    def _warm(self):
        """Compiles what the peers will need, all at once, as far as it comes before they are
        measured. The first shapes are those that are measured first: the cache's keys hold them."""
        peer = self._settings.peer
        shapes = ",".join(f"{WIDTHS[0]}x{vocabulary}" for vocabulary in VOCABULARIES)
        batches = microbatches_text(self._settings)
        commands = [
            [*peer("torch_gpu_steps.py"), "--warm", "--model", model, "--microbatches", batches]
            for model in ("1.3B", "350M", "125M")
        ]
        commands += [
            [*peer("torch_gpu_cross_entropy.py"), "--warm", "--shapes", shapes],
            [
                *peer("torch_gpu_attention.py"),
                *("--warm", "--repeats", 1, "--documents", f"mix:{mix_text()}"),
            ],
        ]
        for command in commands:
            name = " ".join([command[1].name, *map(str, command[4:7])])[:60]
            try:
                self._warming[name] = self._runner.start(
                    command,
                    subprocess.DEVNULL,
                    subprocess.DEVNULL,
                    environment={"TORCHINDUCTOR_COMPILE_THREADS": "2"},
                    nice=3,
                )
            except OSError as error:
                self._runner.note(f"compiling in the background: {error}")

    def clear_the_gpu(self):
        """Before the first measurement."""
        for name, child in self._warming.items():
            code = child.poll()
            state = "ended before it was done" if code is None else f"was done, with {code}"
            self._runner.note(f"compiling in the background: {name} {state}")
            process.end(child)
        self._warming = {}

    def wait_for_training(self, limit):
        """The CPU's run, or None where there is none or its time is over."""
        if self._training is None:
            return None
        done = self.cpu_run.wait(self._training, limit)
        self._runner.note(f"{self.cpu_run.name} in the background: {self.cpu_run.said()}")
        return self.cpu_run if done else None
