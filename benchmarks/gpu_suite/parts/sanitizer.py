"""compute-sanitizer's tools over the test programs, on their small shapes."""

import os
import re

from gpu_suite import machine

TITLE = "compute-sanitizer on small shapes"
TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
FOUND = 86  # its exit code where it found something
# Tests that run no kernel, or none that the others do not run.
LEFT_OUT = "*Reference*:*Plan*:*WithoutDriver*:*RefusesInOneLine*:*TooMuchMemory*:*IsOurMistake*"
# Runs the kernels of the others' tests again.
NOT_FOR_TOOLS = ("ptx_agreement_test",)
# The same kernels on the same shapes again: parity compares their bits.
REPEATS = "*ThreadsAndRepeats*:*TheNumberOfThreads*:*RepeatsChangeNoBit*"

# What takes long under a tool: (tools, program, its tests on small shapes, what that leaves out). Every
# kernel stays.
SMALLER = (
    (
        ("racecheck", "initcheck"),
        "kernels_attention_test",
        "*LargeScores*:Families/*AnyMonotone*:*ForwardAndBackwardDropTheSame",
        "documents above 150 tokens, batches beside each other, and repeats; every head size and family "
        "of kernels stays",
    ),
    (
        ("racecheck",),
        "trainer_device_training_test",
        "*ALossThatIsNotFinite*",
        "all but one step in fp32: each of its kernels is in another program's tests",
    ),
    (
        ("memcheck", "synccheck", "initcheck"),
        "trainer_device_training_test",
        "*RepeatsAndRecomputation*:*ALossThatIsNotFinite*",
        "runs of ten steps beside the CPU; eight steps in bf16 at all levels of recomputation and one in "
        "fp32 stay",
    ),
    *(
        (("racecheck", "initcheck"), program, f"-{LEFT_OUT}:{REPEATS}", "repeats on the same shapes")
        for program in (
            "kernels_cross_entropy_test",
            "kernels_cross_entropy_evaluate_test",
            "kernels_gemm_test",
            "kernels_rms_norm_test",
        )
    ),
)
# In how many processes a program's tests share the work: on one core they took over 79 seconds.
SHARDS = {("racecheck", "kernels_attention_test"): 8}
# What takes longest begins first, by seconds seen under racecheck; a tool's factor beside it.
SECONDS = {
    "trainer_device_training_test": 30,
    "kernels_attention_test": 120,
    "kernels_cross_entropy_test": 25,
    "kernels_rms_norm_test": 20,
    "kernels_gemm_test": 18,
    "kernels_cross_entropy_evaluate_test": 10,
}
FACTORS = {"racecheck": 1.0, "initcheck": 0.6, "memcheck": 0.5, "synccheck": 0.4}
SUMMARIES = (
    re.compile(r"ERROR SUMMARY: (\d+) error"),
    re.compile(r"RACECHECK SUMMARY: (\d+) hazard"),
)
TESTS_FAILED = re.compile(r"^\[  FAILED  \] \d+ tests?", re.MULTILINE)  # GoogleTest's last lines
NOTHING_RAN = re.compile(r"^\[==========\] 0 tests? from 0 test suites ran", re.MULTILINE)
TEST_FAILED = "clean; a test failed"


def at_once():
    """Programs wait for their processor as much as for the GPU."""
    return max(2, (os.cpu_count() or 2) - 2)


def in_order(pairs):
    """(tool, program's name), longest first."""
    return sorted(pairs, key=lambda pair: -SECONDS.get(pair[1], 4) * FACTORS[pair[0]])


def runs_of(pairs):
    """(pair, shard, shards)."""
    for pair in pairs:
        for shard in range(SHARDS.get(pair, 1)):
            yield pair, shard, SHARDS.get(pair, 1)


def tests_of(tool, program):
    """(GoogleTest's filter, what it leaves out beyond what runs no kernel)."""
    for tools, name, tests, left_out in SMALLER:
        if tool in tools and name == program:
            return tests, left_out
    return f"-{LEFT_OUT}", ""


def job(settings, runner, sanitizer, tool, program, shard=0, shards=1):
    tests, _ = tests_of(tool, program.name)
    command = [program, f"--gtest_filter={tests}"]
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
            environment={
                "SEQUELA_TEST_BACKEND": backend,
                "GTEST_TOTAL_SHARDS": str(shards),
                "GTEST_SHARD_INDEX": str(shard),
            },
            name=f"{tool} {program.name}" + (f", part {shard + 1} of {shards}" if shards > 1 else ""),
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
    """(state for the table, True where clean, None where not known). What a test finds wrong by itself
    is parity's matter, as long as it came to its end."""
    counted = [int(m[1]) for pattern in SUMMARIES if (m := pattern.search(outcome.output))]
    ours, libraries = findings(outcome.output)
    if outcome.timed_out:
        return "no time", None
    if not counted:
        return f"did not run: {outcome.said()[:60]}", None
    if max(counted) > 0:
        if libraries and not ours:
            return f"clean but for a library ({libraries})", True
        return f"{max(counted)} found", False
    if outcome.ok:
        return ("clean", True) if not NOTHING_RAN.search(outcome.output) else ("no test ran", None)
    if outcome.code == 1 and TESTS_FAILED.search(outcome.output):
        return TEST_FAILED, True
    return f"test {outcome.how()}", False


def worst(states):
    """What the processes that share a program's tests come to."""
    return min(states, key=lambda state: (False, None, True).index(state[1]) + (state[0] == "clean"))


def run(settings, report, runner, background):
    sanitizer = machine.find_tool("compute-sanitizer")
    if not sanitizer and not settings.rehearsal:
        report.fail("there is no compute-sanitizer here: nothing was measured.")
        return
    programs = {
        program.name: program
        for program in settings.test_programs()
        if program.name not in NOT_FOR_TOOLS
    }
    runs = list(runs_of(in_order([(tool, name) for tool in TOOLS for name in programs])))
    outcomes = runner.run_all(
        [
            job(settings, runner, sanitizer, tool, programs[name], shard, shards)
            for (tool, name), shard, shards in runs
        ],
        at_once(),
    )
    if settings.rehearsal:
        failed = [outcome.name for outcome in outcomes if not outcome.ok]
        report.text(f"A rehearsal runs the programs alone: {len(outcomes)} runs, {len(failed)} failed.")
        if failed:
            report.fail(", ".join(failed))
        return
    judged = {}
    for (pair, _, _), outcome in zip(runs, outcomes):
        judged.setdefault(pair, []).append(judge(outcome))
    states = {pair: worst(of_pair) for pair, of_pair in judged.items()}
    report.text(
        f"The tests of parity, {at_once()} programs at once, without those that run no kernel of their "
        "own. `clean; a test failed`: the tool found nothing, a comparison of the test's own did not hold."
    )
    report.table(
        ["program", *TOOLS], [[name, *(states[tool, name][0] for tool in TOOLS)] for name in programs]
    )
    write_details(settings, outcomes)
    report_left_out(report, programs)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    report.text(f"The longest run: {slowest.name}, {slowest.seconds:.0f} s.")
    report.raw(states={f"{tool} {name}": state for (tool, name), (state, _) in states.items()})
    report.raw(seconds={outcome.name: round(outcome.seconds, 1) for outcome in outcomes})
    conclude(report, states)


def report_left_out(report, programs):
    lines = [
        f"left out of {name} under {', '.join(tools)}: {left_out}"
        for tools, name, _, left_out in SMALLER
        if name in programs
    ]
    report.bullets(lines)


def conclude(report, states):
    known = [clean for _, clean in states.values() if clean is not None]
    failed = sum(state == TEST_FAILED for state, _ in states.values())
    bad = [f"{tool} {name}" for (tool, name), (_, clean) in states.items() if clean is False]
    if bad:
        report.fail(f"{', '.join(bad)}; sanitizer.txt has what was found.")
    if known:
        beside = f"; in {failed} of them a test failed" if failed else ""
        text = f"{sum(known)} of {len(states)} runs clean{beside}"
        report.goal("sanitizer", text, sum(known) == len(states))
    if not bad and len(known) < len(states):
        report.fail(f"{len(states) - len(known)} runs came to no end: see the table.")


def write_details(settings, outcomes):
    with open(settings.out / "sanitizer.txt", "w") as file:
        for outcome in outcomes:
            lines = [line for line in outcome.output.splitlines() if line.startswith("=========")]
            file.write(f"== {outcome.name}: {outcome.how()}, {outcome.seconds:.1f} s\n")
            file.write("\n".join(lines[:200]) + "\n")
