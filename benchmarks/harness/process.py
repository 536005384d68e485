"""Runs programs: to the end with their peak memory, or as servants that answer line by line."""

import dataclasses
import json
import os
import signal
import subprocess
import tempfile
import time


class ProgramFailed(Exception):
    pass


@dataclasses.dataclass
class Finished:
    seconds: float
    cpu_seconds: float  # user and system, of the program and the children it waited for
    peak_mib: float  # largest resident set of the program itself
    output: str
    errors: str

    def json(self):
        return json.loads(self.output)


def _wait(child, deadline):
    """What the child used, once it has ended."""
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            raise ProgramFailed(f"{child.args[0]}: took longer than its limit")
        time.sleep(0.002)


def run(command, environment=None, timeout=600):
    """Raises ProgramFailed, with the end of what it said, unless it ends well in time."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        try:
            usage = _wait(child, began + timeout)
        except BaseException:  # a time limit, Ctrl-C: the program and what it started go, too
            os.killpg(child.pid, signal.SIGTERM)
            time.sleep(1)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            raise
        seconds = time.monotonic() - began
        output.seek(0)
        errors.seek(0)
        finished = Finished(
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
            output.read(),
            errors.read(),
        )
        if child.returncode != 0:
            raise ProgramFailed(f"{command[0]}: exit {child.returncode}\n{finished.errors[-2000:]}")
        return finished


class Servant:
    """A program that answers each line with one line of JSON, until its input ends."""

    def __init__(self, command, environment=None, directory=None):
        self._name = command[0]
        self._errors = tempfile.TemporaryFile("w+")
        self._child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=directory,
            env={**os.environ, **(environment or {})},
        )

    def answer(self):
        line = self._child.stdout.readline()
        if not line:
            self._child.wait()
            self._errors.seek(0)
            raise ProgramFailed(f"{self._name}: ended\n{self._errors.read()[-2000:]}")
        return json.loads(line)

    def ask(self, line):
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        return self.answer()

    def last_answer(self):
        """Ends the input, and returns what the program says to that."""
        self._child.stdin.close()
        answer = self.answer()
        self._child.wait()
        return answer

    def close(self):
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._errors.close()
