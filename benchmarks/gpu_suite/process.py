"""Runs programs so that none outlives its limit, and keeps what they said until then."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

_log_lock = threading.Lock()
_running = set()


@dataclasses.dataclass
class Outcome:
    name: str
    code: int  # negative: a signal
    seconds: float
    output: str
    errors: str
    timed_out: bool

    @property
    def ok(self):
        return self.code == 0 and not self.timed_out

    def how(self):
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        return "ended well" if self.code == 0 else f"ended with {self.code}"

    def said(self):
        """The last line that tells what went wrong; answers in JSON do not."""
        lines = (self.errors or self.output).splitlines()
        lines = [line for line in lines if line.strip() and not line.startswith("{")]
        return lines[-1].strip()[:200] if lines else "it said nothing"

    def json_lines(self):
        """What it answered, as far as it came; other lines are passed over."""
        answers = []
        for line in self.output.splitlines():
            if line.startswith("{"):
                try:
                    answers.append(json.loads(line))
                except ValueError:  # cut off in the middle
                    pass
        return answers


class Runner:
    """Writes every command with its end into a log."""

    def __init__(self, log, environment):
        self._log = log
        self.environment = environment
        open(log, "w").close()

    def note(self, text):
        with _log_lock, open(self._log, "a") as file:
            file.write(text.rstrip() + "\n")

    def start(self, command, output, errors, environment=None, directory=None, nice=0):
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=directory,
            env={**os.environ, **self.environment, **(environment or {})},
            start_new_session=True,
            preexec_fn=(lambda: os.nice(nice)) if nice else None,
        )
        _running.add(child)
        return child

    def run(self, command, limit, environment=None, name="", stdin=None, directory=None):
        """Never raises for what the program does. A program without time left is not started."""
        name = name or pathlib.Path(str(command[0])).name
        began = time.monotonic()
        with (
            tempfile.TemporaryFile("w+", errors="replace") as output,
            tempfile.TemporaryFile("w+", errors="replace") as errors,
        ):
            if limit <= 0:
                outcome = Outcome(name, -1, 0.0, "", "no time was left for it", True)
            else:
                outcome = self._run(
                    command, limit, environment, name, stdin, directory, output, errors
                )
            self._write(command, outcome, environment)
        return dataclasses.replace(outcome, seconds=time.monotonic() - began)

    def _run(self, command, limit, environment, name, stdin, directory, output, errors):
        began = time.monotonic()
        try:
            child = self.start(command, output, errors, environment, directory)
        except OSError as error:
            return Outcome(name, 127, 0.0, "", str(error), False)
        timed_out = False
        try:
            child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            end(child)
        output.seek(0)
        errors.seek(0)
        return Outcome(
            name,
            child.returncode,
            time.monotonic() - began,
            output.read(),
            errors.read(),
            timed_out,
        )

    def _write(self, command, outcome, environment):
        words = " ".join(str(word) for word in command)
        prefix = "".join(f"{key}={value} " for key, value in (environment or {}).items())
        tail = outcome.errors.strip()[-3000:]
        self.note(
            f"$ {prefix}{words[:2000]}\n  {outcome.how()} ({outcome.seconds:.1f} s)"
            + ("\n" + tail if tail else "")
        )

    def run_all(self, jobs, at_once):
        """jobs: functions that run one program each. Their results, in order."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return [future.result() for future in [pool.submit(job) for job in jobs]]


def end(child, gently=False):
    """The program and whatever it started."""
    if child.poll() is None and gently:
        _signal(child, signal.SIGTERM)
        try:
            child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            pass
    _signal(child, signal.SIGKILL)
    child.wait()
    _running.discard(child)


def _signal(child, number):
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass


def end_all():
    for child in list(_running):
        end(child)
