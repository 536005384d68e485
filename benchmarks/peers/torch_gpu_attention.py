"""PyTorch's attention on the documents of kernels_cuda_benchmark, one JSON line a case.

  torch_gpu_attention.py --documents mix:700,120,3000 --documents uniform2k:2048x8 --heads 64,128

bf16, causal within documents. First the flash kernel, told where documents begin, on all of them; then
documents of one length as a batch, cuDNN's best case; then cuDNN by way of nested tensors, whose host
takes longer than its kernels, which are therefore timed by themselves, too; last flex_attention, which
compiles. After --limit seconds no case is begun; {"left_out": cases} says which. Backward is timed
alone, on a graph that is kept. Useful FLOPs: 4 per visible pair and channel forward, 10 backward. What a
build or GPU cannot do is reported as {"unavailable": reason}; an output that differs from the first
variant's is reported, too."""

import torch_gpu
import torch
from torch_gpu import PACKED, UNIFORM, answer, milliseconds, pairs_of, reason

parser = torch_gpu.parser(__doc__)
parser.add_argument("--documents", action="append", default=[])
parser.add_argument("--heads", default="64,128")
parser.add_argument("--channels", type=int, default=2048)
parser.add_argument("--warm", action="store_true", help="only what compiles, once")
options = parser.parse_args()
device = options.device
try:  # else a compiled backward cannot be run twice on one graph
    torch._functorch.config.donated_buffer = False
except AttributeError:
    pass

SLOW_REPEATS = 3  # of what takes the host's time
SECONDS = {"cuDNN, nested": 5.0, "flex_attention": 12.0}  # that a case may take
first_outputs = {}  # by documents and head size


def is_uniform(lengths):
    return len(set(lengths)) == 1


def is_mixed(lengths):
    return not is_uniform(lengths)


def passes():
    """(variants, which documents they are for), the most important first."""
    if device == "cpu":
        return [({"one by one": torch_gpu.one_by_one}, lambda lengths: True)]
    chosen = {name: {name: make} for name, make in PACKED.items()}
    flex = (chosen["flex_attention"], is_mixed)
    if options.warm:
        return [flex]
    return [
        ({**chosen["flash, packed"], **chosen["varlen_attn"]}, lambda lengths: True),
        (UNIFORM, is_uniform),
        (chosen["cuDNN, nested"], is_mixed),
        flex,
    ]


def inputs(tokens, heads, head_size):
    torch.manual_seed(1)  # the same ones for all variants
    shape = (tokens, heads, head_size)
    return [torch.randn(shape, dtype=torch.bfloat16, device=device) for _ in range(4)]


def directions(attention, q, k, v, d_out):
    yield "forward", lambda: attention(q, k, v)
    out = attention(q, k, v)
    yield "backward", lambda: torch.autograd.grad(out, (q, k, v), d_out, retain_graph=True)


def difference(key, out):
    """From the first variant's output for the same documents."""
    first = first_outputs.setdefault(key, out)
    return (out.float() - first.float()).abs().max().item()


def measure(name, lengths, head_size, variant, make):
    facts = {"documents": name, "head": head_size, "variant": variant}
    slow = variant == "cuDNN, nested"
    repeats = min(options.repeats, SLOW_REPEATS) if slow else options.repeats
    attention = make(lengths, device)
    given = inputs(sum(lengths), options.channels // head_size, head_size)
    if isinstance(attention, torch_gpu.Batched):
        given = [attention.arrange(x) for x in given]
    q, k, v, d_out = given
    with torch.no_grad():
        out = attention(q, k, v)
        if isinstance(attention, torch_gpu.Batched):
            out = attention.restore(out)
        off = difference((name, head_size), out)
    for x in (q, k, v):
        x.requires_grad_()
    for direction, function in directions(attention, q, k, v, d_out):
        flops = 4 * pairs_of(lengths) * options.channels * (1.0 if direction == "forward" else 2.5)
        said = {"direction": direction, "flops": flops, "difference": off}
        answer(**facts, **said, milliseconds=milliseconds(device, function, repeats))
        if slow:
            times = torch_gpu.kernel_milliseconds(function, repeats)
            answer(**{**facts, "variant": "cuDNN, kernels"}, **said, milliseconds=times)


def cases():
    documents = []
    for text in options.documents:
        name, _, lengths = text.partition(":")
        documents.append((name, torch_gpu.lengths_of(lengths)))
    for variants, wanted in passes():
        for name, lengths in documents:
            for head_size in map(int, options.heads.split(",")):
                for variant, make in variants.items() if wanted(lengths) else ():
                    yield name, lengths, head_size, variant, make


left_out = []
for case in cases():
    name, _, head_size, variant, _ = case
    if torch_gpu.left(options) < SECONDS.get(variant, 0.5):
        left_out.append(f"{variant}, {name}, {head_size}")
        continue
    try:
        measure(*case)
    except Exception as error:  # one variant's fault must not cost the others'
        answer(documents=name, head=head_size, variant=variant, unavailable=reason(error))
if left_out:
    answer(left_out=left_out)
