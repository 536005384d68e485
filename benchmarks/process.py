"""Runs programs so that none outlives its limit. `run` raises unless a program ends well, and tells its
peak memory; a Runner never raises, and keeps what programs said in a log; a Servant answers line by line."""

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


def start(
    command,
    output,
    errors,
    environment=None,
    directory=None,
    nice=0,
    stdin=subprocess.DEVNULL,
    text=None,
):
    """A program in a session of its own, which `end` ends with whatever it started."""
    child = subprocess.Popen(
        [str(word) for word in command],
        stdin=stdin,
        stdout=output,
        stderr=errors,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        preexec_fn=(lambda: os.nice(nice)) if nice else None,
        text=text,
    )
    _running.add(child)
    return child


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


def _usage(child, deadline):
    """What the child used, once it has ended."""
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            raise ProgramFailed(f"{child.args[0]}: took longer than its limit")
        time.sleep(0.002)


def _text(file):
    file.seek(0)
    return file.read()


def run(command, environment=None, timeout=600):
    """Raises ProgramFailed, with the end of what it said, unless it ends well in time."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        child = start(command, output, errors, environment)
        try:
            usage = _usage(child, began + timeout)
            seconds = time.monotonic() - began
        finally:  # after a time limit or Ctrl-C, too
            end(child, gently=True)
        finished = Finished(
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
            _text(output),
            _text(errors),
        )
        if child.returncode != 0:
            raise ProgramFailed(f"{command[0]}: exit {child.returncode}\n{finished.errors[-2000:]}")
        return finished


class Servant:
    """A program that answers each line with one line of JSON, until its input ends."""

    def __init__(self, command, environment=None, directory=None):
        self._name = command[0]
        self._errors = tempfile.TemporaryFile("w+")
        self._child = start(
            command,
            subprocess.PIPE,
            self._errors,
            environment,
            directory,
            stdin=subprocess.PIPE,
            text=True,
        )

    def answer(self):
        line = self._child.stdout.readline()
        if not line:
            self._child.wait()
            raise ProgramFailed(f"{self._name}: ended\n{_text(self._errors)[-2000:]}")
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
        end(self._child)
        self._errors.close()


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
        environment = {**self.environment, **(environment or {})}
        return start(command, output, errors, environment, directory, nice)

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
        return Outcome(
            name,
            child.returncode,
            time.monotonic() - began,
            _text(output),
            _text(errors),
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
