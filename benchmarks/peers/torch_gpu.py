"""What the torch_gpu_*.py peers share: documents from the command line, times by the GPU's own
events, and packed attention in every form that PyTorch has. --device cpu --tiny rehearses them
where there is no GPU."""

import argparse
import inspect
import json
import time

BEGAN = time.monotonic()  # what PyTorch takes to load counts, too

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402


def parser(description):
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    result.add_argument("--tiny", action="store_true")
    result.add_argument("--repeats", type=int, default=20)
    result.add_argument(
        "--limit", type=float, default=1e9, help="seconds after which nothing new is begun"
    )
    return result


def left(options):
    """Seconds until nothing new may begin."""
    return options.limit - (time.monotonic() - BEGAN)


def answer(**values):
    print(json.dumps(values), flush=True)


def reason(error):
    """One line that fits into a report."""
    lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines()]
    return " ".join(line for line in lines if line)[:200]


def lengths_of(text):
    """'700,120,512x8' -> lengths; LxN is N documents."""
    lengths = []
    for word in text.split(","):
        length, _, count = word.partition("x")
        lengths += [int(length)] * int(count or 1)
    return lengths


def pairs_of(lengths):
    """Pairs (row, key) that see each other."""
    return sum(length * (length + 1) // 2 for length in lengths)


def offsets_of(lengths, device, size=None):
    """Where documents begin, and the end; repeated to `size` entries (documents without tokens)."""
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    offsets += [offsets[-1]] * ((size or 0) - len(offsets))
    return torch.tensor(offsets, dtype=torch.int32, device=device)


def milliseconds(device, function, repeats, warm_seconds=0.05):
    """Of each repeat, all enqueued before the first is waited for."""
    began = time.perf_counter()
    while True:
        function()
        if device == "cpu":
            break
        torch.cuda.synchronize()
        if time.perf_counter() - began > warm_seconds:
            break
    times = []
    if device == "cpu":
        for _ in range(repeats):
            began = time.perf_counter()
            function()
            times.append(1e3 * (time.perf_counter() - began))
        return times
    events = [
        [torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)
    ]
    for begin, end in events:
        begin.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in events]


def kernel_milliseconds(function, repeats):
    """What its kernels took by themselves, the mean alone: for what keeps the host busy longer."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(repeats):
            function()
        torch.cuda.synchronize()
    kernels = [
        event.time_range.elapsed_us()
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not event.name.startswith("Mem")
    ]
    if not kernels:
        raise RuntimeError("the profiler saw no kernel")
    return [1e-3 * sum(kernels) / repeats]


# Attention over packed documents: q, k, v [tokens, heads, head size] -> the same shape. Each of these
# makes such a function for given documents; what it cannot do raises.


def flash_packed(lengths, device, size=None, longest=None):
    """The flash kernel, told where documents begin."""
    offsets = offsets_of(lengths, device, size)
    most = longest or max(lengths)
    if device == "cpu":
        raise RuntimeError("needs a GPU")

    def attention(q, k, v):
        return torch.ops.aten._flash_attention_forward(
            q, k, v, offsets, offsets, most, most, 0.0, True, False
        )[0]

    return attention


def varlen_packed(lengths, device, size=None, longest=None):
    """torch.nn.attention.varlen, which newer versions have."""
    from torch.nn.attention.varlen import varlen_attn

    offsets = offsets_of(lengths, device, size)
    most = longest or max(lengths)
    causal = (
        {"is_causal": True}
        if "is_causal" in inspect.signature(varlen_attn).parameters
        else {"window_size": (-1, 0)}
    )

    def attention(q, k, v):
        return varlen_attn(q, k, v, offsets, offsets, most, most, **causal)

    return attention


def cudnn_nested(lengths, device, size=None, longest=None):
    """cuDNN's kernel by way of nested tensors."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    offsets = offsets_of(lengths, device).long()

    def nested(x):
        return torch.nested.nested_tensor_from_jagged(
            x, offsets, min_seqlen=min(lengths), max_seqlen=max(lengths)
        ).transpose(1, 2)

    def attention(q, k, v):
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            out = F.scaled_dot_product_attention(nested(q), nested(k), nested(v), is_causal=True)
        return out.transpose(1, 2).values()

    return attention


def flex_mask(lengths, device):
    from torch.nn.attention.flex_attention import create_block_mask

    tokens = sum(lengths)
    document = torch.repeat_interleave(
        torch.arange(len(lengths), device=device), torch.tensor(lengths, device=device)
    )

    def visible(batch, head, query, key):
        return (query >= key) & (document[query] == document[key])

    return create_block_mask(visible, None, None, tokens, tokens, device=device)


def flex_packed(lengths, device, size=None, longest=None):
    """flex_attention, compiled, with a mask of causal documents."""
    from torch.nn.attention.flex_attention import flex_attention

    mask = flex_mask(lengths, device)
    # Not dynamic: another head size is another kernel.
    compiled = torch.compile(flex_attention, dynamic=False) if device == "cuda" else flex_attention

    def attention(q, k, v):
        q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
        return compiled(q, k, v, block_mask=mask).squeeze(0).transpose(0, 1)

    return attention


def one_by_one(lengths, device, size=None, longest=None):
    """A call for each document: what works everywhere."""

    def attention(q, k, v):
        pieces = []
        for d, e, f in zip(*(x.split(lengths) for x in (q, k, v))):
            d, e, f = (x.transpose(0, 1).unsqueeze(0) for x in (d, e, f))
            out = F.scaled_dot_product_attention(d, e, f, is_causal=True)
            pieces.append(out.squeeze(0).transpose(0, 1))
        return torch.cat(pieces)

    return attention


class Batched:
    """Documents of one length as a batch, by a backend of scaled_dot_product_attention. It wants
    [documents, heads, length, head size], which `arrange` makes and `restore` undoes."""

    def __init__(self, backend_name, lengths):
        from torch.nn.attention import SDPBackend

        if len(set(lengths)) != 1:
            raise RuntimeError("documents of different lengths")
        self._backend = getattr(SDPBackend, backend_name)
        self._shape = (len(lengths), lengths[0])

    def arrange(self, x):
        return x.view(*self._shape, *x.shape[1:]).transpose(1, 2).contiguous()

    def restore(self, x):
        return x.transpose(1, 2).flatten(0, 1)

    def __call__(self, q, k, v):
        from torch.nn.attention import sdpa_kernel

        with sdpa_kernel(self._backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def batched(backend_name):
    return lambda lengths, device: Batched(backend_name, lengths)


PACKED = {
    "flash, packed": flash_packed,
    "varlen_attn": varlen_packed,
    "cuDNN, nested": cudnn_nested,
    "flex_attention": flex_packed,
}
UNIFORM = {
    "cuDNN, batched": batched("CUDNN_ATTENTION"),
    "flash, batched": batched("FLASH_ATTENTION"),
}
