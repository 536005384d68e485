"""PyTorch's output projection with cross-entropy, forward and backward, one JSON line a case.

  torch_gpu_cross_entropy.py --shapes 768x8192,2048x131072 --tokens 8192

bf16 hidden states and weights, loss in fp32; torch.compile(linear + cross_entropy), and the same not
compiled. Peak extra memory is what the allocator held at most beyond arguments and gradients. The
three products alone are timed, too: the best of either program's is the limit."""

import torch
import torch.nn.functional as F

import torch_gpu
from torch_gpu import answer, milliseconds, reason

parser = torch_gpu.parser(__doc__)
parser.add_argument("--shapes", default="768x8192")
parser.add_argument("--tokens", type=int, default=8192)
options = parser.parse_args()
device = options.device
torch.manual_seed(1)


def loss(hidden, weight, target):
    return F.cross_entropy(F.linear(hidden, weight).float(), target, reduction="sum")


def extra_bytes(function, held):
    if device == "cpu":
        return 0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before - held


def measure(shape, hidden, weight, target):
    compiled = torch.compile(loss) if device == "cuda" else loss
    gradients = sum(x.numel() * x.element_size() for x in (hidden, weight))
    flops = 6 * hidden.numel() * weight.shape[0]
    for variant, function in (("compiled", compiled), ("eager", loss)):

        def step():
            return torch.autograd.grad(function(hidden, weight, target), (hidden, weight))

        facts = {"shape": shape, "variant": variant}
        try:
            times = milliseconds(device, step, options.repeats)
            answer(
                **facts,
                milliseconds=times,
                flops=flops,
                extra_bytes=extra_bytes(step, gradients),
            )
        except Exception as error:  # one variant's fault must not cost the others'
            answer(**facts, unavailable=reason(error))
    try:
        with torch.no_grad():
            logits = F.linear(hidden, weight)

            def products():
                F.linear(hidden, weight)
                logits @ weight
                logits.t() @ hidden

            times = milliseconds(device, products, options.repeats)
        answer(shape=shape, variant="products", milliseconds=times, flops=flops)
    except Exception as error:
        answer(shape=shape, variant="products", unavailable=reason(error))


for shape in options.shapes.split(","):
    width, vocabulary = map(int, shape.split("x"))
    tokens = options.tokens
    if options.tiny:
        tokens, width, vocabulary = 64, width // 16, vocabulary // 64
    kwargs = {"dtype": torch.bfloat16, "device": device}
    hidden = torch.randn(tokens, width, **kwargs).requires_grad_()
    weight = (0.02 * torch.randn(vocabulary, width, **kwargs)).requires_grad_()
    target = torch.randint(vocabulary, (tokens,), device=device)
    measure(shape, hidden, weight, target)
    torch._dynamo.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
