"""A machine with a GPU, played by scripts: what self_test.py runs the whole suite on. STUB_FAULT names
what shall go wrong."""

import json
import os
import pathlib
import stat
import tarfile

SCRIPTS = {
    # A test program: one test of each kind; also what compute-sanitizer says of it.
    "package/tests/kernels_stub_test": """
        names = ["RepeatsChangeNoBit", "ErrorsAreWithinTheRule"]
        tests = [{"name": n, "result": "COMPLETED", "time": "0.1s"} for n in names]
        tests.append({"name": "OfTheCpu", "result": "SKIPPED", "time": "0s"})
        if fault == "test":
            tests[1]["failures"] = [{"failure": "off by one"}]
        if fault == "hang":
            time.sleep(600)
        output = [a for a in sys.argv if a.startswith("--gtest_output=json:")]
        if output:
            document = {"testsuites": [{"name": "StubTest", "testsuite": tests}]}
            open(output[0].split("json:")[1], "w").write(json.dumps(document))
        errors = 2 if fault == "sanitizer" else 0
        if errors:
            print("========= Invalid write\\n=========     at sequela_stub+0x10\\n=========")
        if fault == "test":
            print("[  FAILED  ] 1 test, listed below:")
        print(f"========= ERROR SUMMARY: {errors} errors")
        sys.exit(86 if errors and not output else 139 if fault == "died" else fault == "test")
    """,
    "package/benchmarks/kernels_cuda_benchmark": """
        def say(case, flops=0, size=0):
            print(json.dumps({"case": case, "median_ms": 1, "min_ms": 0.9, "flops": flops,
                              "bytes": size, "workspace_bytes": 2e8, "milliseconds": [0.9, 1, 1.1]}))
        group = sys.argv[sys.argv.index("--groups") + 1] if "--groups" in sys.argv else ""
        if group == "rate":
            say("rate/product_bf16/8192", flops=8e11)
            say("rate/copy/256MiB", size=3e9)
        for name in [a.split(":")[0] for a in sys.argv if ":" in a and group == "attention"]:
            for head in (64, 128):
                for direction in ("forward", "backward"):
                    say(f"attention/{name}/head{head}/{direction}", flops=3e11)
        if group == "memory":
            say("memory/add/1024", size=2.9e9)
            say("memory/cast_to_bf16/1024", size=1e9)
    """,
    "package/bin/sequela": """
        if "evaluate" in sys.argv:
            print(json.dumps({"nll_per_token": 2.5}))
        if "train" in sys.argv:
            fields = dict(a.split("=", 1) for a in sys.argv[3:])
            folder = fields["run.folder"]
            os.makedirs(folder + "/checkpoints/step-1", exist_ok=True)
            metrics = folder + "/metrics.jsonl"
            done = open(metrics).read().count("\\n") if os.path.exists(metrics) else 0
            open(folder + "/checkpoints/step-1/model.safetensors", "a").write(
                "resumed" if done and fault == "resume" else "")
            off = 1.001 if fault == "losses" and "/gpu_fp32" in folder else 1.0
            with open(metrics, "a", buffering=1) as file:
                for step in range(done, int(fields["schedule.steps"])):
                    file.write(json.dumps({"step": step, "loss": 3.0 * off,
                                           "tokens_per_second": step}) + "\\n")
                    time.sleep(0.001)
    """,
    # PyTorch, which comes to no more than its flash kernel.
    "bin/peer-python": """
        if "--warm" in sys.argv:
            time.sleep(600)
        if any(a.endswith("torch_gpu_attention.py") for a in sys.argv):
            for head in (64, 128):
                for direction in ("forward", "backward"):
                    print(json.dumps({"documents": "mix", "head": head, "variant": "flash, packed",
                                      "direction": direction, "flops": 2e11, "difference": 0.0,
                                      "milliseconds": [0.9, 1, 1.1]}))
            print(json.dumps({"left_out": ["flex_attention, mix, 64"]}))
    """,
    "bin/nvidia-smi": """
        if "-L" in sys.argv and fault != "no GPU":
            print("GPU 0: Stub")
        elif "-L" not in sys.argv:
            print("Stub, 1.0, 8 MiB, 1 MHz, 1 MHz, 1 W")
    """,
    # The tools run what they are given.
    "bin/compute-sanitizer": """
        first = next(i for i, a in enumerate(sys.argv) if "/package/" in a)
        os.execv(sys.argv[first], sys.argv[first:])
    """,
}


def make(folder):
    """Scripts under folder/bin, and folder/archive.tar.xz."""
    folder = pathlib.Path(folder)
    for name, text in SCRIPTS.items():
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        body = "\n".join(line[indent:] for line in lines)
        head = "#!/usr/bin/env python3\nimport json, os, sys, time\n"
        head += 'fault = os.environ.get("STUB_FAULT", "")\n'
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(head + body + "\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    for name in ("lib/compiler", "data/store"):
        (folder / "package" / name).mkdir(parents=True)
    (folder / "package/data/experiment.yaml").touch()
    facts = {"commit": "stub", "toolkit": "0", "nvidia_libraries": []}
    (folder / "package/facts.json").write_text(json.dumps(facts))
    with tarfile.open(folder / "archive.tar.xz", "w:xz") as tar:
        tar.add(folder / "package", "package")


def environment(folder, fault):
    path = f"{folder}/bin:{os.environ['PATH']}"
    python = "no-python" if fault == "no PyTorch" else "peer-python"
    return {**os.environ, "PATH": path, "STUB_FAULT": fault, "SEQUELA_PEER_PYTHON": python}
