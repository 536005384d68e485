"""PyTorch's attention on the documents of kernels_cuda_benchmark, one JSON line a case.

  torch_gpu_attention.py --documents mix:700,120,3000 --documents uniform2k:2048x8 --heads 64,128

bf16, causal within documents. Backward is timed alone, on a graph that is kept. Useful FLOPs: 4 per
visible pair and channel forward, 10 backward. What a build or GPU cannot do is reported as
{"unavailable": reason}; an output that differs from the first variant's is reported, too."""

import torch

import torch_gpu
from torch_gpu import answer, milliseconds, pairs_of, reason

parser = torch_gpu.parser(__doc__)
parser.add_argument("--documents", action="append", default=[])
parser.add_argument("--heads", default="64,128")
parser.add_argument("--channels", type=int, default=2048)
options = parser.parse_args()
device = options.device
torch.manual_seed(1)
try:  # else a compiled backward cannot be run twice on one graph
    torch._functorch.config.donated_buffer = False
except AttributeError:
    pass


def variants_of(lengths):
    if device == "cpu":
        return {"one by one": torch_gpu.one_by_one}
    if len(set(lengths)) == 1:
        return {**torch_gpu.UNIFORM, "flash, packed": torch_gpu.flash_packed}
    return torch_gpu.PACKED


def inputs(tokens, heads, head_size):
    shape = (tokens, heads, head_size)
    made = [torch.randn(shape, dtype=torch.bfloat16, device=device) for _ in range(4)]
    for tensor in made[:3]:
        tensor.requires_grad_()
    return made


def directions(attention, q, k, v, d_out):
    yield "forward", lambda: attention(q, k, v)
    out = attention(q, k, v)
    yield "backward", lambda: torch.autograd.grad(out, (q, k, v), d_out, retain_graph=True)


def measure(name, lengths, head_size):
    heads = options.channels // head_size
    q, k, v, d_out = inputs(sum(lengths), heads, head_size)
    forward_flops = 4 * pairs_of(lengths) * options.channels
    first = None
    for variant, make in variants_of(lengths).items():
        facts = {"documents": name, "head": head_size, "variant": variant}
        try:
            attention = make(lengths, device)
            with torch.no_grad():
                out = attention(q, k, v).float()
            first = out if first is None else first
            difference = (out - first).abs().max().item()
            for direction, function in directions(attention, q, k, v, d_out):
                answer(
                    **facts,
                    direction=direction,
                    flops=forward_flops * (1.0 if direction == "forward" else 2.5),
                    difference=difference,
                    milliseconds=milliseconds(device, function, options.repeats),
                )
        except Exception as error:  # one variant's fault must not cost the others'
            answer(**facts, unavailable=reason(error))


for text in options.documents:
    name, _, lengths = text.partition(":")
    lengths = torch_gpu.lengths_of(lengths)
    for head_size in map(int, options.heads.split(",")):
        measure(name, lengths, head_size)
