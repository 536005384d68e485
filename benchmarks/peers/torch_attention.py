"""PyTorch's attention on the documents of kernels_matrix_benchmark, one JSON line a case.

  torch_attention.py --threads 2 --repetitions 5 --dtypes fp32,bf16

Causal scaled_dot_product_attention, one call a document (PyTorch has none for packed documents on
the CPU), 8 heads of 64. Rates are useful GFLOP/s: 4 FLOPs per visible pair and channel forward,
8 backward. Backward is forward-and-backward less the median forward."""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int)
parser.add_argument("--repetitions", type=int)
parser.add_argument("--dtypes")
options = parser.parse_args()
torch.set_num_threads(options.threads)
MIXES = {"records": [802, 780, 608, 548, 496, 457, 373], "2x2048": [2048, 2048], "64x64": [64] * 64}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


for dtype in options.dtypes.split(","):
    for name, lengths in MIXES.items():
        documents = [
            [torch.randn(1, 8, length, 64).to(DTYPES[dtype]) for _ in range(4)]
            for length in lengths
        ]

        def forward():
            with torch.no_grad():
                for q, k, v, _ in documents:
                    F.scaled_dot_product_attention(q, k, v, is_causal=True)

        def both():
            for q, k, v, d_out in documents:
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                torch.autograd.grad(out, (q, k, v), d_out)

        timed(forward)
        forward_seconds = [timed(forward) for _ in range(options.repetitions)]
        for document in documents:
            for tensor in document[:3]:
                tensor.requires_grad_()
        timed(both)
        backward_seconds = [
            timed(both) - statistics.median(forward_seconds) for _ in range(options.repetitions)
        ]
        flops = 4 * 512 * sum(length * (length + 1) / 2 for length in lengths)
        print(
            json.dumps(
                {
                    "documents": name,
                    "dtype": dtype,
                    "forward": [flops / s * 1e-9 for s in forward_seconds],
                    "backward": [2 * flops / max(s, 1e-9) * 1e-9 for s in backward_seconds],
                }
            ),
            flush=True,
        )
