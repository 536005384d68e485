"""PyTorch's output projection with cross-entropy, forward and backward, one JSON line a case.

  torch_gpu_cross_entropy.py --shapes 768x8192,2048x131072 --tokens 8192

bf16 hidden states and weights, loss in fp32. The three products alone first, of all shapes: they stand
beside ours, which are the limit. Then linear + cross_entropy, then the same by torch.compile, once for each
vocabulary: the width, which only the products see, is dynamic. Peak extra memory is what the allocator
held at most beyond arguments and gradients. After --limit seconds no case is begun; {"left_out": cases}
says which. --warm fills the compiler's cache and measures nothing."""

import torch_gpu
import torch
import torch.nn.functional as F
from torch_gpu import answer, milliseconds, reason

parser = torch_gpu.parser(__doc__)
parser.add_argument("--shapes", default="768x8192")
parser.add_argument("--tokens", type=int, default=8192)
parser.add_argument("--warm", action="store_true")
options = parser.parse_args()
device = options.device
torch.manual_seed(1)


def loss(hidden, weight, target):
    return F.cross_entropy(F.linear(hidden, weight).float(), target, reduction="sum")


torch._dynamo.config.automatic_dynamic_shapes = False  # or the second vocabulary made it dynamic
compiled = torch.compile(loss) if device == "cuda" else loss


class Case:
    def __init__(self, shape):
        self.shape = shape
        self.width, self.vocabulary = map(int, shape.split("x"))
        self.tokens = options.tokens
        if options.tiny:
            self.tokens, self.width, self.vocabulary = 64, self.width // 16, self.vocabulary // 64
        self.flops = 6 * self.tokens * self.width * self.vocabulary

    def arguments(self):
        kwargs = {"dtype": torch.bfloat16, "device": device}
        hidden = torch.randn(self.tokens, self.width, **kwargs)
        weight = 0.02 * torch.randn(self.vocabulary, self.width, **kwargs)
        for tensor in (hidden, weight):
            torch._dynamo.maybe_mark_dynamic(tensor, 1)
            tensor.requires_grad_()
        return hidden, weight, torch.randint(self.vocabulary, (self.tokens,), device=device)


def extra_bytes(function, held):
    if device == "cpu":
        return 0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before - held


def products(case):
    hidden, weight, _ = case.arguments()
    with torch.no_grad():
        logits = F.linear(hidden, weight)

        def all_three():
            F.linear(hidden, weight)
            logits @ weight
            logits.t() @ hidden

        return {"milliseconds": milliseconds(device, all_three, options.repeats)}


def step_of(function):
    def measure(case):
        hidden, weight, target = case.arguments()

        def step():
            return torch.autograd.grad(function(hidden, weight, target), (hidden, weight))

        if options.warm:
            step()
            return {}
        gradients = sum(x.numel() * x.element_size() for x in (hidden, weight))
        return {
            "milliseconds": milliseconds(device, step, options.repeats),
            "extra_bytes": extra_bytes(step, gradients),
        }

    return measure


# The most important first; seconds that a case may take.
VARIANTS = {
    "products": (products, 0.5),
    "eager": (step_of(loss), 1.0),
    "compiled": (step_of(compiled), 4.0),
}


def main():
    cases = [Case(shape) for shape in options.shapes.split(",")]
    left_out = []
    for variant in ["compiled"] if options.warm else VARIANTS:
        function, seconds = VARIANTS[variant]
        for case in cases:
            if torch_gpu.left(options) < seconds:
                left_out.append(f"{variant}, {case.shape}")
                continue
            facts = {"shape": case.shape, "variant": variant, "flops": case.flops}
            try:
                answer(**facts, **function(case))
            except Exception as error:  # one variant's fault must not cost the others'
                answer(**facts, unavailable=reason(error))
            if device == "cuda":
                torch.cuda.empty_cache()
    if left_out:
        answer(left_out=left_out)


main()
