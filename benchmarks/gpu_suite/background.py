"""What the processor's cores do while the GPU is busy: training on the CPU, which the GPU's is later
held against, and filling the peers' compiler cache. Ended before anything is measured that they
could disturb."""

import shlex
import tempfile

from gpu_suite import process
from gpu_suite.experiment import Training
from gpu_suite.settings import MEASURING, microbatches_text, mix_text, shapes_text


class Background:
    def __init__(self, settings, runner, parts):
        self._settings = settings
        self._runner = runner
        self._training = None
        self._warming = []
        if "training_run" in parts and (settings.package / "data/store").exists():
            self.cpu_run = Training(settings, runner, "cpu_fp32", "cpu", "fp32")
            self._training = self.cpu_run.start(nice=5)
        if not settings.rehearsal and set(parts) & set(MEASURING):
            self._warm()

    def _warm(self):
        """Compiles what the peers will need, as far as it comes before they are measured."""
        peer = self._settings.peer
        batches = microbatches_text(self._settings)
        commands = [
            [*peer("torch_gpu_attention.py"), "--repeats", 1, "--documents", f"mix:{mix_text()}"],
            [*peer("torch_gpu_cross_entropy.py"), "--repeats", 1, "--shapes", shapes_text()],
        ]
        for model in ("125M", "350M", "1.3B"):
            commands.append(
                [*peer("torch_gpu_steps.py"), "--warm", "--model", model, "--microbatches", batches]
            )
        script = "; ".join(shlex.join(map(str, command)) for command in commands)
        self._warming.append(
            self._runner.start(
                ["bash", "-c", script],
                tempfile.TemporaryFile(),
                tempfile.TemporaryFile(),
                nice=10,
            )
        )

    def clear_the_gpu(self):
        """Before the first measurement."""
        for child in self._warming:
            process.end(child)
        self._warming = []

    def wait_for_training(self, limit):
        """The CPU's run, or None where there is none or its time is over."""
        if self._training is None:
            return None
        done = self.cpu_run.wait(self._training, limit)
        self._runner.note(f"{self.cpu_run.name} in the background: {self.cpu_run.said()}")
        return self.cpu_run if done else None
