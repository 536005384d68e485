"""compute-sanitizer's tools over the test programs, on their small shapes."""

import re

from gpu_suite import machine

TITLE = "compute-sanitizer on small shapes"
TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
AT_ONCE = 6
FOUND = 86  # its exit code where it found something
# Tests that take long under a tool and run no kernel that the others do not run.
LEFT_OUT = "-*Reference*:*Plan*:*WithoutDriver*:*RefusesInOneLine*:*TooMuchMemory*:*IsOurMistake*"
SUMMARIES = (
    re.compile(r"ERROR SUMMARY: (\d+) error"),
    re.compile(r"RACECHECK SUMMARY: (\d+) hazard"),
)


def job(settings, runner, sanitizer, tool, program):
    command = [program, f"--gtest_filter={LEFT_OUT}"]
    if not settings.rehearsal:
        command = [
            sanitizer,
            *("--tool", tool),
            *("--error-exitcode", FOUND),
            *("--print-limit", 20),
            # Tests provoke errors of the API and look at them themselves.
            *(["--report-api-errors", "no"] if tool == "memcheck" else []),
            *command,
        ]
    backend = "cpu" if settings.rehearsal else "gpu"

    def run():
        return runner.run(
            command,
            settings.left(),
            environment={"SEQUELA_TEST_BACKEND": backend},
            name=f"{tool} {program.name}",
        )

    return run


def findings(text):
    """(reports that concern our kernels, reports that concern a library's alone)."""
    ours = libraries = 0
    for block in re.split(r"\n=+ *\n", text):
        if "=========" not in block or not re.search(r"=+ +(at|in) \S|=+ .*hazard", block):
            continue
        kernel = re.search(r"\b(sequela_\w+)", block)
        if not kernel and re.search(r"cublas|cutlass|nvjet|splitK", block, re.IGNORECASE):
            libraries += 1
        elif "SUMMARY" not in block:
            ours += 1
    return ours, libraries


def judge(outcome):
    """(state for the table, True where clean, None where not known)."""
    counted = [int(m[1]) for pattern in SUMMARIES if (m := pattern.search(outcome.output))]
    ours, libraries = findings(outcome.output)
    if outcome.timed_out:
        return "no time", None
    if counted and max(counted) == 0 and outcome.ok:
        return "clean", True
    if counted and max(counted) > 0:
        if libraries and not ours:
            return f"clean but for a library ({libraries})", True
        return f"{max(counted)} found", False
    if not counted:
        return f"did not run: {outcome.said()[:60]}", None
    return f"test {outcome.how()}", False


def run(settings, report, runner, background):
    sanitizer = machine.find_tool("compute-sanitizer")
    if not sanitizer and not settings.rehearsal:
        report.fail("there is no compute-sanitizer here: nothing was measured.")
        return
    programs = settings.test_programs()
    pairs = [(tool, program) for tool in TOOLS for program in programs]
    outcomes = runner.run_all(
        [job(settings, runner, sanitizer, tool, program) for tool, program in pairs], AT_ONCE
    )
    if settings.rehearsal:
        failed = [outcome.name for outcome in outcomes if not outcome.ok]
        report.text(f"A rehearsal runs the programs alone: {len(outcomes)} runs, {len(failed)} failed.")
        if failed:
            report.fail(", ".join(failed))
        return
    states = {pair: judge(outcome) for pair, outcome in zip(pairs, outcomes)}
    report.table(
        ["program", *TOOLS],
        [[p.name, *(states[tool, p][0] for tool in TOOLS)] for p in programs],
    )
    write_details(settings, outcomes)
    known = [clean for _, clean in states.values() if clean is not None]
    clean = sum(known)
    report.raw(states={f"{tool} {p.name}": state for (tool, p), (state, _) in states.items()})
    bad = [f"{tool} {p.name}" for (tool, p), (_, clean) in states.items() if clean is False]
    if bad:
        report.fail(f"{', '.join(bad)}; sanitizer.txt has what was found.")
    if known:
        report.goal("sanitizer", f"{clean} of {len(pairs)} runs clean", clean == len(pairs))
    if not bad and len(known) < len(pairs):
        report.fail(f"{len(pairs) - len(known)} runs came to no end: see the table.")


def write_details(settings, outcomes):
    with open(settings.out / "sanitizer.txt", "w") as file:
        for outcome in outcomes:
            lines = [line for line in outcome.output.splitlines() if line.startswith("=========")]
            file.write(f"== {outcome.name}: {outcome.how()}, {outcome.seconds:.1f} s\n")
            file.write("\n".join(lines[:200]) + "\n")
