"""Steps of the PyTorch peer, one whenever asked, so that they can take turns with ours.

  torch_steps.py FOLDER_OF_BENCH --size S --docs docs16k --threads 2 --warm step|microbatch

The peer's bench.py is executed as it is, with a budget that makes its own loop do nothing; its
functions (model, micro-batches, step) are then called from here. Input: a line of JSON each,
{"do": "warm" | "step", "variant": "d", "dtype": "fp32", "compile": 0}. Each is answered with one:
warm: {"seconds", "version"}; step: {"seconds", "loss", "tokens", "flops"}; or {"error"}.
Variants stay loaded."""

import argparse
import contextlib
import io
import json
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--size")
parser.add_argument("--docs")
parser.add_argument("--threads", type=int)
parser.add_argument("--warm", choices=("step", "microbatch"))
options = parser.parse_args()

os.chdir(options.folder)
sys.path.insert(0, options.folder)
sys.argv = [
    "bench.py",
    "--size",
    options.size,
    "--docs",
    options.docs,
    "--variants",
    "d",
    "--dtypes",
    "fp32",
    "--threads",
    str(options.threads),
    "--budget",
    "-1",
]
bench = {"__name__": "bench"}
with contextlib.redirect_stdout(io.StringIO()):
    exec(compile(open("bench.py").read(), "bench.py", "exec"), bench)
torch = bench["torch"]
torch.set_num_threads(options.threads)


class Variant:
    def __init__(self, variant, dtype, compile):
        self.dtype = dtype
        self.compile = compile
        self.microbatches = sorted(bench["prep"](variant), key=lambda m: -m[0].numel())
        self.model, self.run = bench["make_model"](dtype, compile)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )

    def step(self, microbatches):
        began = time.perf_counter()
        loss, _ = bench["step"](self.run, self.parameters, self.optimizer, microbatches, self.dtype)
        return time.perf_counter() - began, loss

    def warm(self):
        whole = self.compile or options.warm == "step"
        return self.step(self.microbatches if whole else self.microbatches[:1])[0]


variants = {}


def perform(what, key):
    if what == "warm":
        variants[key] = Variant(*key)
        return {"seconds": variants[key].warm(), "version": torch.__version__}
    seconds, loss = variants[key].step(variants[key].microbatches)
    flops = bench["fm"] + bench["fa"]
    return {"seconds": seconds, "loss": loss, "tokens": bench["NTOK"], "flops": flops}


for line in sys.stdin:
    request = json.loads(line)
    key = (request["variant"], request["dtype"], request["compile"])
    try:
        answer = perform(request["do"], key)
    except Exception as error:  # one variant's fault must not cost the others'
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
