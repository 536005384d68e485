"""The results of one run: report.md for people and raw.jsonl for programs, written after each part."""

import json
import textwrap
import time

from harness import machine
from harness.markdown import table_lines

QUIET = 0.05  # of the cores' time may go to others


class Report:
    def __init__(self, settings, facts, arguments):
        self.facts = facts
        self.folder = self._new_folder(settings)
        # The place of the results is nobody else's business.
        words = [
            word
            for i, word in enumerate(arguments)
            if word != "--results" and (i == 0 or arguments[i - 1] != "--results")
        ]
        self._command = " ".join(["benchmarks/run_all.sh", *words])
        self._quick = settings.quick
        self._goals = []
        self._lines = []
        self._raw = []
        self._part = "machine"
        self.raw(command=self._command, **facts)

    def _new_folder(self, settings):
        """<date>_<cpu>, with a number where a run of that day is there already."""
        name = machine.folder_name(self.facts) + ("_rehearsal" if settings.quick else "")
        number = 1
        while True:
            folder = settings.results / (name if number == 1 else f"{name}_{number}")
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                number += 1

    def begin_part(self, name, title):
        self._part = name
        self._disturbance = machine.Disturbance()
        self._lines += ["", f"## {title}", ""]

    def end_part(self, seconds):
        programs, guests = self._disturbance.shares()
        self.raw(
            seconds=round(seconds, 1),
            other_programs=round(programs, 4),
            other_guests=round(guests, 4),
        )
        self._lines.append(
            f"Took {seconds:.0f} s. Of the cores' time other programs had {100 * programs:.1f} %, "
            f"the host's other guests {100 * guests:.1f} %."
        )
        if max(programs, guests) > QUIET:
            self._lines.append("**Not a quiet machine: these figures are no measurement.**")
        self._write()

    def text(self, text):
        if not text.startswith("- "):
            text = textwrap.fill(text, 100)
        self._lines += [text, ""]
        print(text, flush=True)

    def table(self, header, rows):
        for line in table_lines(header, rows):
            self._lines.append(line)
            print(line, flush=True)
        self._lines.append("")

    def goal(self, what, wanted, measured, met):
        self._goals.append((what, wanted, measured, "yes" if met else "**no**"))

    def raw(self, **values):
        self._raw.append({"part": self._part, "time": round(time.time(), 1), **values})

    def _goal_lines(self):
        if not self._goals:
            return []
        return [
            "",
            "## Goals",
            "",
            "| what | wanted | measured | met |",
            "|---|---|---:|---|",
            *("| " + " | ".join(goal) + " |" for goal in self._goals),
        ]

    def _write(self):
        head = [f"# Benchmarks of Sequela, {self.facts['date']}", ""]
        if self._quick:
            head += ["**A rehearsal (--quick): sizes are tiny, the figures mean nothing.**", ""]
        head += [
            f"    {self._command}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {key} | {value} |" for key, value in self.facts.items()),
            "",
            "Figures are medians, with their range in parentheses. Rates of a machine change from minute to",
            "minute: shares and ratios are of figures taken in turn in the same minutes. docs/benchmarks.md",
            "says how each is made; raw.jsonl has every single one.",
        ]
        text = "\n".join([*head, *self._goal_lines(), *self._lines]).replace("\n\n\n", "\n\n")
        (self.folder / "report.md").write_text(text + "\n")
        with open(self.folder / "raw.jsonl", "w") as file:
            for line in self._raw:
                file.write(json.dumps(line) + "\n")
