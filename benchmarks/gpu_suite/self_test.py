"""What of the suite can be wrong without a GPU: how it reads the tools' answers, and its documents.

  python3 benchmarks/gpu_suite/self_test.py"""

import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

import process  # noqa: E402
from gpu_suite import package, settings, stubs  # noqa: E402
from gpu_suite.__main__ import parse, public_words  # noqa: E402
from gpu_suite.parts import cross_entropy, parity, profile, sanitizer, training_steps  # noqa: E402


def outcome(output, code=0, timed_out=False):
    return process.Outcome("it", code, 1.0, output, "", timed_out)


CLEAN = """========= COMPUTE-SANITIZER
[  PASSED  ] 3 tests.
========= ERROR SUMMARY: 0 errors
"""
OURS = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at sequela_fill_zero(FillZeroParams)+0x70
=========     by thread (0,0,0) in block (0,0,0)
========= 
========= ERROR SUMMARY: 1 error
"""
RACE = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at sequela_norm+0x170
=========     and Read access at sequela_norm+0x190 [508 hazards]
========= 
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
FAILED = """========= COMPUTE-SANITIZER
[  PASSED  ] 2 tests.
[  FAILED  ] 1 test, listed below:
========= Target application returned an error
========= ERROR SUMMARY: 0 errors
"""
LIBRARY = """========= COMPUTE-SANITIZER
========= Uninitialized __global__ memory read of size 4 bytes
=========     at void cublasLt::splitKreduce_kernel<32, 16>(float)+0x70
=========         Host Frame: sequela::cuda::Gemm [0x1]
========= 
========= ERROR SUMMARY: 1 error
"""


class SanitizerTest(unittest.TestCase):
    def judge(self, *arguments):
        return sanitizer.judge(outcome(*arguments))[1]

    def test_clean_is_clean(self):
        self.assertIs(self.judge(CLEAN), True)

    def test_a_finding_in_our_kernel_is_found(self):
        self.assertIs(self.judge(OURS, sanitizer.FOUND), False)
        self.assertIs(self.judge(RACE, sanitizer.FOUND), False)
        self.assertEqual(sanitizer.findings(OURS), (1, 0))
        self.assertEqual(sanitizer.findings(RACE), (1, 0))

    def test_a_finding_in_a_library_alone_is_told_apart(self):
        self.assertEqual(sanitizer.findings(LIBRARY), (0, 1))
        self.assertIs(self.judge(LIBRARY, sanitizer.FOUND), True)
        self.assertIs(self.judge(OURS + LIBRARY, sanitizer.FOUND), False)

    def test_what_did_not_end_is_not_known(self):
        self.assertIsNone(self.judge(CLEAN, -9, True))
        self.assertIsNone(self.judge("unrecognised option", 1))

    def test_a_failed_test_is_told_apart(self):
        self.assertEqual(sanitizer.judge(outcome(FAILED, 1)), ("clean; a test failed", True))
        self.assertIs(self.judge(FAILED.replace("0 errors", "3 errors"), 1), False)

    def test_a_program_that_died_is_not_clean(self):
        self.assertIs(self.judge(CLEAN, 1), False)  # it says of no test that it failed
        self.assertIs(self.judge(FAILED, 139), False)

    def test_a_filter_that_matches_nothing_is_not_clean(self):
        self.assertIsNone(self.judge("[==========] 0 tests from 0 test suites ran.\n" + CLEAN))

    def test_the_longest_begin_first(self):
        pairs = [("synccheck", "kernels_bias_test"), ("racecheck", "kernels_attention_test")]
        pairs += [("racecheck", "kernels_bias_test"), ("memcheck", "trainer_device_training_test")]
        ordered = sanitizer.in_order(pairs)
        self.assertEqual(ordered, [pairs[1], pairs[3], pairs[2], pairs[0]])

    def test_the_slowest_is_shared_by_processes(self):
        pairs = [("racecheck", "kernels_attention_test"), ("memcheck", "kernels_bias_test")]
        runs = list(sanitizer.runs_of(pairs))
        self.assertEqual(len(runs), 1 + sanitizer.SHARDS[pairs[0]])
        self.assertEqual(runs[3], (pairs[0], 3, sanitizer.SHARDS[pairs[0]]))
        self.assertEqual(runs[-1], (pairs[1], 0, 1))

    def test_a_pair_is_as_good_as_its_worst_process(self):
        clean, failed, late, found = (
            ("clean", True),
            (sanitizer.TEST_FAILED, True),
            ("no time", None),
            ("3 found", False),
        )
        self.assertEqual(sanitizer.worst([clean, clean]), clean)
        self.assertEqual(sanitizer.worst([clean, failed]), failed)
        self.assertEqual(sanitizer.worst([failed, late, clean]), late)
        self.assertEqual(sanitizer.worst([clean, late, found]), found)

    def test_what_is_slow_is_filtered_and_said(self):
        tests, left_out = sanitizer.tests_of("racecheck", "kernels_attention_test")
        self.assertIn("LargeScores", tests)
        self.assertTrue(left_out)
        self.assertEqual(sanitizer.tests_of("memcheck", "kernels_attention_test")[1], "")


class ParityTest(unittest.TestCase):
    def read(self, parameter):
        test = {"name": "T/1", "value_param": parameter, "result": "COMPLETED", "time": "1s"}
        test["failures"] = [{"failure": "a.cc:1\nValue of: near(a)\n  Actual: false (3 > 2)"}]
        return list(parity.tests_of({"testsuites": [{"name": "S", "testsuite": [test]}]}))

    def test_bytes_are_left_out(self):
        (test,) = self.read("8-byte object <D0-9A 51-D0 76-55 00-00>")
        self.assertEqual(parity.failure_line("p", test), "p: S.T/1 Actual: false (3 > 2)")

    def test_a_parameter_that_says_something_stays(self):
        (test,) = self.read("Large")
        self.assertEqual(test["parameter"], "Large")


class AgreementTest(unittest.TestCase):
    def read(self, **properties):
        test = {"name": "OfAGpu/bias", "result": "COMPLETED", "time": "1s", **properties}
        return list(parity.tests_of({"testsuites": [{"name": "S", "testsuite": [test]}]}))

    def goal(self, tests):
        said = []
        report = types.SimpleNamespace(
            goal=lambda *arguments: said.append(arguments), text=lambda text: None, bullets=list
        )
        parity.report_agreement(report, tests)
        return said

    def test_the_same_bits_are_counted(self):
        ((_, text, met),) = self.goal(self.read(fp32="the same bits", bf16="within the rule for errors"))
        self.assertIn("1 of 2 results the same bits, 0 operations apart", text)
        self.assertTrue(met)

    def test_a_failure_misses_the_goal(self):
        ((_, _, met),) = self.goal(self.read(fp32="the same bits", failures=[{"failure": "other bits"}]))
        self.assertFalse(met)

    def test_nothing_compared_is_no_goal(self):
        self.assertEqual(self.goal(self.read()), [])


class CrossEntropyTest(unittest.TestCase):
    def test_the_limit_does_not_depend_on_how_far_pytorch_came(self):
        ours = {"products": {"milliseconds": [2.0, 3.0, 4.0]}}
        self.assertEqual(cross_entropy.limit_of(ours), 3.0)
        self.assertEqual(cross_entropy.limit_of({**ours, "torch products": {"milliseconds": [1.0]}}), 3.0)

    def test_pytorchs_products_stand_beside_the_limit(self):
        ours = {"products": {"milliseconds": [2.0]}}
        both = {**ours, "torch products": {"milliseconds": [3.0]}}
        self.assertEqual(cross_entropy.torch_products({"1x1": ours}), [])
        (said,) = cross_entropy.torch_products({"1x1": ours, "2x2": both})
        self.assertIn("1.50 - 1.50", said)


class StepsGoalTest(unittest.TestCase):
    def goal(self, ratios):
        said = []
        report = types.SimpleNamespace(goal=lambda *arguments: said.append(arguments[1:]))
        training_steps.check_goal(report, ratios)
        return said

    def test_met_where_all_sizes_are(self):
        self.assertEqual(self.goal([1.5, 1.0, 2.0]), [("1.00 - 2.00 times", True)])

    def test_missed_where_one_is_known_to_be_behind(self):
        self.assertEqual(self.goal([0.9, None, 1.2]), [("0.90 - 1.20 times, 2 of 3 sizes", False)])

    def test_not_measured_where_a_size_is_missing(self):
        self.assertEqual(self.goal([1.1, None, 1.2]), [])
        self.assertEqual(self.goal([None, None, None]), [])


class ProfileTest(unittest.TestCase):
    def test_reads_a_launch(self):
        text = (
            "==PROF== Connected\n"
            '"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"\n'
            '"0","sequela_add(Params)","Speed Of Light","Duration","us","12.5"\n'
            '"0","sequela_add(Params)","Launch","Registers Per Thread","register/thread","40"\n'
            '"1","sequela_mul","Speed Of Light","Duration","us","1"\n'
        )
        first, second = profile.kernel_rows(text)
        self.assertEqual(first[0], "sequela_add")
        self.assertEqual(first[1]["Duration"], "12.5 us")
        self.assertEqual(first[1]["Registers Per Thread"], "40 register/thread")
        self.assertEqual(second, ("sequela_mul", {"Duration": "1 us"}))
        self.assertEqual(profile.kernel_rows("==ERROR== no permission"), [])


class DocumentsTest(unittest.TestCase):
    def test_the_mix_has_the_lengths_it_says(self):
        lengths = settings.lognormal_lengths(36)
        self.assertEqual(len(lengths), 36)
        self.assertGreaterEqual(min(lengths), 100)
        self.assertLessEqual(max(lengths), 4000)
        self.assertNotEqual(lengths, sorted(lengths))

    def test_microbatches_are_exactly_full(self):
        for batch in settings.full_microbatches(3, 16384):
            self.assertEqual(sum(batch), 16384)
            self.assertGreaterEqual(min(batch), 100)
            self.assertLessEqual(max(batch), 4000)


class TimeTest(unittest.TestCase):
    def test_a_part_takes_its_share_of_what_is_left(self):
        seconds = settings.SECONDS
        both = seconds["parity"] + seconds["profile"]
        share = settings.share_of("parity", ["parity", "profile"])
        self.assertAlmostEqual(share, seconds["parity"] / both)
        self.assertEqual(settings.share_of("profile", ["parity", "profile"]), 1.0)

    def test_all_parts_fit_into_six_and_a_half_minutes(self):
        self.assertLessEqual(sum(settings.SECONDS.values()), 390)


class ProcessTest(unittest.TestCase):
    def test_answers_are_not_what_went_wrong(self):
        self.assertEqual(outcome('no device\n{"a": 1}').said(), "no device")
        self.assertEqual(outcome('{"a": 1}').said(), "it said nothing")

    def test_a_cut_line_is_passed_over(self):
        self.assertEqual(outcome('noise\n{"a": 1}\n{"b": ').json_lines(), [{"a": 1}])

    def test_a_hanging_program_is_ended_and_what_it_said_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            runner = process.Runner(f"{folder}/log.txt", {})
            ended = runner.run(["sh", "-c", "echo said; sleep 60 & wait"], 0.3)
        self.assertTrue(ended.timed_out)
        self.assertFalse(ended.ok)
        self.assertEqual(ended.output, "said\n")
        self.assertLess(ended.seconds, 10)

    def test_a_missing_program_is_an_outcome(self):
        with tempfile.TemporaryDirectory() as folder:
            ended = process.Runner(f"{folder}/log.txt", {}).run(["/no/such/program"], 5)
        self.assertFalse(ended.ok)


class WholeSuiteTest(unittest.TestCase):
    """The suite as it is started, on a machine that scripts play (stubs.py)."""

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls._folder.name)
        stubs.make(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def run_suite(self, parts, fault="", *arguments):
        """(exit code, report, what went to standard error)."""
        out = self.folder / "out"
        script = pathlib.Path(__file__).resolve().parents[1] / "gpu_suite.sh"
        finished = subprocess.run(
            [
                script,
                *("--archive", self.folder / "archive.tar.xz"),
                *("--out", out, "--parts", parts),
                *arguments,
            ],
            env=stubs.environment(self.folder, fault),
            capture_output=True,
            text=True,
        )
        report = (out / "report.md").read_text() if (out / "report.md").exists() else ""
        return finished.returncode, report, finished.stderr

    def test_passes_where_all_is_well(self):
        code, report, _ = self.run_suite("parity,sanitizer,attention,memory_bound,training_run")
        self.assertEqual(code, 0)
        self.assertIn("2 passed (1 of repeats), 0 failed | met", report)
        self.assertIn("4 of 4 runs clean | met", report)
        self.assertIn("300 and 300 | met", report)
        self.assertIn("(cast_to_bf16 at 1024) | **missed**", report)
        self.assertIn("metrics and checkpoint are the same | met", report)
        self.assertIn("beside PyTorch's flash | ahead | 1.50 - 1.50 times | met", report)
        self.assertIn("no time was left for flex_attention, mix, 64", report)
        self.assertLessEqual(len(list((self.folder / "out").iterdir())), 8)

    def test_fails_where_one_of_correctness_does(self):
        for fault, part in (
            ("test", "parity"),
            ("sanitizer", "sanitizer"),
            ("died", "sanitizer"),
            ("losses", "training_run"),
            ("resume", "training_run"),
        ):
            with self.subTest(fault):
                code, report, _ = self.run_suite(part, fault)
                self.assertEqual(code, 1)
                self.assertIn("| **missed** |", report)

    def test_a_test_that_fails_under_a_tool_is_no_finding(self):
        code, report, _ = self.run_suite("sanitizer", "test")
        self.assertEqual(code, 0)
        self.assertIn("4 of 4 runs clean; in 4 of them a test failed | met", report)
        self.assertIn("| clean; a test failed |", report)

    def test_a_hanging_part_costs_no_other(self):
        code, report, _ = self.run_suite("parity,attention", "hang", "--minutes", "0.2")
        self.assertEqual(code, 1)
        self.assertIn("kernels_stub_test stopped after", report)

    def test_goes_on_without_pytorch(self):
        code, report, _ = self.run_suite("parity,attention", "no PyTorch")
        self.assertEqual(code, 0)
        self.assertIn("beside PyTorch's flash | ahead |  | not measured", report)

    def test_refuses_in_one_line_without_a_gpu(self):
        code, _, errors = self.run_suite("parity", "no GPU")
        self.assertEqual(code, 2)
        self.assertEqual(errors.count("\n"), 1)
        self.assertIn("no GPU", errors)


class CommandLineTest(unittest.TestCase):
    def test_parts_keep_their_order(self):
        self.assertEqual(parse(["--parts", "profile,parity"]).parts, ["parity", "profile"])

    def test_places_are_left_out(self):
        words = public_words(["--out", "x", "--minutes", "3", "--archive", "y"])
        self.assertEqual(words, ["--minutes", "3"])

    def test_a_named_archive_must_exist(self):
        options = parse(["--archive", "/no/such/archive"])
        with self.assertRaises(package.NotReady):
            package.prepare(None, options)


if __name__ == "__main__":
    unittest.main()
