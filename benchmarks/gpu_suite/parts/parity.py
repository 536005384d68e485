"""Every test program that knows the CUDA backend, on the GPU."""

import json
import re

TITLE = "Parity with the references, and repeats, on the GPU"
AT_ONCE = 4
BYTES = re.compile(r"^\d+-byte object <.*>$")  # a parameter that GoogleTest cannot print
REPEATS = re.compile(r"Repeat|NoBit|ABit|DoesNotDepend|Determin")


# Programs whose kernels for sm_90a hide those of the other GPUs: run a second time without them.
TWO_FAMILIES = ("kernels_attention_test",)
# Holds the interpreter's results (tests/ptx) against the GPU's.
AGREEMENT = "ptx_agreement_test"
SAME = "the same bits"


def jobs(settings, runner):
    if settings.rehearsal:
        return [job(settings, runner, program, "cpu") for program in settings.test_programs()]
    both = [(program, "gpu") for program in settings.test_programs()]
    both += [(program, "gpu_ampere") for program, _ in both if program.name in TWO_FAMILIES]
    return [job(settings, runner, program, backend) for program, backend in both]


def job(settings, runner, program, backend):
    results = settings.work / f"{program.name}_{backend}.json"
    name = program.name + (", kernels for sm_80" if backend == "gpu_ampere" else "")

    def run():
        outcome = runner.run(
            [program, f"--gtest_output=json:{results}"],
            settings.left(),
            environment={
                "SEQUELA_TEST_BACKEND": backend,
                "SEQUELA_AGREEMENT": str(settings.program("data/interpreted")),
            },
        )
        return name, outcome, json.loads(results.read_text()) if results.exists() else None

    return run


def tests_of(document):
    for suite in document.get("testsuites", []):
        for test in suite["testsuite"]:
            yield {
                "name": f"{suite['name']}.{test['name']}",
                "parameter": BYTES.sub("", test.get("value_param", "")),
                "result": test["result"],
                "seconds": test["time"],
                "agreement": {key: test[key] for key in ("fp32", "bf16") if key in test},
                "failures": [failure["failure"][:2000] for failure in test.get("failures", [])],
            }


def failure_line(program, test):
    lines = [line.strip() for line in test["failures"][0].splitlines()]
    why = next((line for line in lines if line.startswith("Actual:")), lines[-1] if lines else "")
    return " ".join(filter(None, [f"{program}: {test['name']}", test["parameter"], why[:300]]))


def report_agreement(report, tests):
    """Of each operation, whether a GPU and the interpreter wrote the same."""
    compared = [test for test in tests if test["agreement"]]
    wrong = [test for test in compared if test["failures"]]
    if not compared:
        return
    runs = [text for test in compared for text in test["agreement"].values()]
    same = sum(text == SAME for text in runs)
    report.text(
        "The interpreter that tests kernels without a GPU, beside this one: operations without tensor cores and "
        "approximations must give the same bits, attention errors within the rule."
    )
    report.bullets(
        f"{test['name'].rpartition('/')[2]}: "
        + ", ".join(f"{dtype} {text}" for dtype, text in test["agreement"].items())
        for test in compared
    )
    text = f"{same} of {len(runs)} results the same bits, {len(wrong)} operations apart"
    report.goal("agreement", text, not wrong)


def run(settings, report, runner, background):
    report.text(
        "The repository's own tests of each operation against its fp64 reference, of repeats bit for bit, "
        "and of training against the CPU, as `ctest` names them /gpu."
    )
    rows, failures, skipped, passed, repeats = [], [], [], 0, 0
    agreement = []
    with open(settings.out / "tests.jsonl", "w") as file:
        for name, outcome, document in runner.run_all(jobs(settings, runner), AT_ONCE):
            tests = list(tests_of(document)) if document else []
            if name == AGREEMENT and not settings.rehearsal:
                agreement = tests
            for test in tests:
                file.write(json.dumps({"program": name, **test}) + "\n")
            failed = [test for test in tests if test["failures"]]
            left_out = [test for test in tests if test["result"] == "SKIPPED"]
            done = len(tests) - len(failed) - len(left_out)
            passed += done
            repeats += sum(
                bool(REPEATS.search(test["name"]))
                for test in tests
                if not test["failures"] and test["result"] == "COMPLETED"
            )
            skipped += [f"{name}: {test['name']}" for test in left_out]
            failures += [failure_line(name, test) for test in failed]
            if not outcome.ok and not failed:
                failures.append(f"{name} {outcome.how()}: {outcome.said()}")
            if not done:
                failures.append(f"{name}: no test ran")
            rows.append([name, done, len(failed), len(left_out), f"{outcome.seconds:.1f}"])
    report.table(["program", "passed", "failed", "skipped", "seconds"], rows)
    report.raw(passed=passed, failures=failures, skipped=skipped)
    if failures:
        report.bullets(failures[:40])
        report.fail(f"{len(failures)} tests or programs; log.txt and tests.jsonl have what they said.")
    report_agreement(report, agreement)
    if skipped:
        report.text("Skipped, being about the CPU or about machines without a GPU:")
        report.bullets(sorted(set(skipped))[:20])
    if not settings.rehearsal:
        report.goal("parity", f"{passed} passed ({repeats} of repeats), {len(failures)} failed", not failures)
