"""The results of one run: report.md for people, raw.jsonl for programs; written after each part."""

import json
import time

from gpu_suite.goals import GOALS
from harness.markdown import table_lines


class Report:
    def __init__(self, settings, facts, command):
        self._settings = settings
        self._facts = facts
        self._command = command
        self._measured = {}  # goal -> (text, met)
        self._lines = []
        self._raw = []
        self._part = "machine"
        self.failed_parts = []
        self.raw(command=command, **facts)
        self.write()

    def begin_part(self, name, title):
        self._part = name
        self._began = time.monotonic()
        self._lines += ["", f"## {title}", ""]
        print(f"== {title}", flush=True)

    def end_part(self, clocks):
        seconds = time.monotonic() - self._began
        self.raw(seconds=round(seconds, 1))
        self.text(f"Took {seconds:.0f} s. {clocks.since(self._began) if clocks else ''}".strip())
        self.write()

    def fail(self, why):
        """What makes the whole command fail, where the part is one of correctness."""
        self.failed_parts.append(self._part)
        self.text(f"**Failed:** {why}")

    def text(self, text):
        self._lines += [text, ""]
        print(text, flush=True)

    def bullets(self, lines):
        lines = list(lines)
        self._lines += [*(f"- {line}" for line in lines), ""]
        for line in lines:
            print(f"- {line}", flush=True)

    def table(self, header, rows):
        rows = [[str(cell).replace("|", "/") for cell in row] for row in rows]  # reasons hold any text
        for line in table_lines(header, rows):
            self._lines.append(line)
            print(line, flush=True)
        self._lines.append("")

    def goal(self, key, measured, met):
        if key not in GOALS:
            raise KeyError(key)
        self._measured[key] = (measured, met)
        self.raw(goal=key, measured=measured, met=bool(met))

    def raw(self, **values):
        self._raw.append({"part": self._part, "time": round(time.time(), 1), **values})

    def _goal_lines(self):
        lines = ["", "## Goals", "", "| what | wanted | measured | |", "|---|---|---:|---|"]
        for key, (what, wanted) in GOALS.items():
            measured, met = self._measured.get(key, ("", None))
            state = "not measured" if met is None else "met" if met else "**missed**"
            lines.append(f"| {what} | {wanted} | {measured} | {state} |")
        return lines

    def write(self):
        head = [f"# Sequela on a GPU, {self._facts['date']}", ""]
        if self._settings.rehearsal:
            head += ["**A rehearsal on the CPU: it proves the script, the figures mean nothing.**", ""]
        head += [
            f"    {self._command}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {key} | {value} |" for key, value in self._facts.items()),
            "",
            "Figures are medians of repeats, with their range in parentheses. Shares are of rates that were",
            "measured in the same run. docs/benchmarks.md says how each is made; raw.jsonl has every one.",
        ]
        text = "\n".join([*head, *self._goal_lines(), *self._lines]).replace("\n\n\n", "\n\n")
        (self._settings.out / "report.md").write_text(text + "\n")
        with open(self._settings.out / "raw.jsonl", "w") as file:
            for line in self._raw:
                file.write(json.dumps(line) + "\n")
