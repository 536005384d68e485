"""Optimizer steps of the same decoder in PyTorch, one JSON line a variant.

  torch_gpu_steps.py --model 125M --head-size 64 --microbatches 700,120/90,730 --steps 5

The decoder of trainer_step_benchmark (RMSNorm, rotary positions, SwiGLU, tied embedding, vocabulary
32,768), fp32 parameters under bf16 autocast, blocks and head compiled, fused AdamW, clipping;
micro-batches are packed documents, with each of --variants of packed attention, the best first, on one
model in turn. Masks of flex_attention are made beforehand and not counted. A step's time ends when the
GPU is done. A variant is begun where it can be expected to end within --limit seconds; {"left_out":
variants} says which were not. --warm fills the compiler's cache and measures nothing."""

import time

import torch_gpu
import torch
import torch.nn.functional as F
from torch import nn
from torch_gpu import answer, lengths_of, reason

MODELS = {  # layers, hidden, intermediate
    "125M": (12, 768, 2048),
    "350M": (24, 1024, 2816),
    "1.3B": (24, 2048, 5632),
}
parser = torch_gpu.parser(__doc__)
parser.add_argument("--model", choices=MODELS, default="125M")
parser.add_argument("--head-size", type=int, default=64)
parser.add_argument("--microbatches")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--variants", default="flash, packed;varlen_attn;flex_attention")
parser.add_argument("--warm", action="store_true")
options = parser.parse_args()
device = options.device
SECONDS = {"flex_attention": 10.0}  # that a variant may compile
VOCABULARY = 512 if options.tiny else 32768
torch.manual_seed(1)
torch.set_float32_matmul_precision("high")
torch._dynamo.config.cache_size_limit = 64  # or a block too many would run uncompiled


def rotate(x, cosine, sine):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Block(nn.Module):
    def __init__(self, hidden, intermediate, head_size):
        super().__init__()
        self.head_size = head_size
        self.first_norm = nn.Parameter(torch.ones(hidden))
        self.second_norm = nn.Parameter(torch.ones(hidden))
        self.qkv = nn.Linear(hidden, 3 * hidden, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.gate_up = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down = nn.Linear(intermediate, hidden, bias=False)

    def before(self, x, cosine, sine):
        normed = F.rms_norm(x, x.shape[-1:], self.first_norm.to(x.dtype))
        qkv = self.qkv(normed).view(x.shape[0], 3, -1, self.head_size)
        return rotate(qkv[:, 0], cosine, sine), rotate(qkv[:, 1], cosine, sine), qkv[:, 2]

    def after(self, x, attended):
        x = x + self.out(attended.flatten(1))
        normed = F.rms_norm(x, x.shape[-1:], self.second_norm.to(x.dtype))
        gate, up = self.gate_up(normed).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, layers, hidden, intermediate, head_size):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden)
        self.blocks = nn.ModuleList(
            [Block(hidden, intermediate, head_size) for _ in range(layers)]
        )
        self.norm = nn.Parameter(torch.ones(hidden))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def loss(self, x, target):
        normed = F.rms_norm(x, x.shape[-1:], self.norm.to(x.dtype))
        logits = F.linear(normed, self.embedding.weight.to(x.dtype))
        return F.cross_entropy(logits.float(), target, ignore_index=-1, reduction="sum")


# Compiled once for all blocks, which are alike: their parameters are arguments of what is compiled.
compiled = torch.compile if device == "cuda" else lambda function: function
before, after, loss_of = map(compiled, (Block.before, Block.after, Decoder.loss))


class Microbatch:
    """Tokens, targets and positions of packed documents."""

    def __init__(self, lengths, head_size):
        self.lengths = lengths
        tokens = sum(lengths)
        self.token = torch.randint(VOCABULARY, (tokens,), device=device)
        self.target = torch.roll(self.token, -1)
        ends = torch.tensor(lengths, device=device).cumsum(0) - 1
        self.target[ends] = -1
        position = torch.cat([torch.arange(length) for length in lengths]).to(device)
        frequency = 10000.0 ** (-torch.arange(0, head_size, 2, device=device) / head_size)
        angle = position[:, None, None] * frequency
        self.cosine = angle.cos().bfloat16()
        self.sine = angle.sin().bfloat16()


class Trainer:
    def __init__(self, model, microbatches):
        self.model = model
        self.microbatches = microbatches
        self.attentions = []
        self.targets = sum(int((m.target >= 0).sum()) for m in microbatches)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )

    def use(self, make_attention):
        most = max(len(m.lengths) for m in self.microbatches) + 1
        longest = max(max(m.lengths) for m in self.microbatches)
        # Sizes that are the same for all micro-batches need no compilation of their own.
        self.attentions = [
            make_attention(m.lengths, device, size=most, longest=longest) for m in self.microbatches
        ]

    def forward_backward(self, batch, attention):
        with torch.autocast(device, dtype=torch.bfloat16):
            x = self.model.embedding(batch.token).bfloat16()
            for block in self.model.blocks:
                q, k, v = before(block, x, batch.cosine, batch.sine)
                x = after(block, x, attention(q, k, v))
            loss = loss_of(self.model, x, batch.target) / self.targets
        loss.backward()
        return loss.detach()

    def step(self):
        began = time.perf_counter()
        losses = [
            self.forward_backward(batch, attention)
            for batch, attention in zip(self.microbatches, self.attentions)
        ]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss = sum(losses).item()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began, loss


def variants():
    if device == "cpu":
        return {"one by one": torch_gpu.one_by_one}
    return {name: torch_gpu.PACKED[name] for name in options.variants.split(";")}


def measure(trainer, make):
    trainer.use(make)
    began = time.perf_counter()
    trainer.step()
    trainer.step()
    warm_seconds = time.perf_counter() - began
    steps = [trainer.step() for _ in range(0 if options.warm else options.steps)]
    return {
        "seconds": [seconds for seconds, _ in steps],
        "losses": [loss for _, loss in steps],
        "warm_seconds": warm_seconds,
    }


def main():
    layers, hidden, intermediate = (2, 128, 256) if options.tiny else MODELS[options.model]
    if options.warm:  # the blocks are alike: two of them compile all there is
        layers = 2
    lengths = [lengths_of(text) for text in options.microbatches.split("/")]
    microbatches = [Microbatch(batch, options.head_size) for batch in lengths]
    with torch.device(device):
        model = Decoder(layers, hidden, intermediate, options.head_size)
    trainer = Trainer(model, microbatches)
    step_seconds, left_out = 0.0, []
    for variant, make in variants().items():
        facts = {"model": options.model, "head": options.head_size, "variant": variant}
        expected = SECONDS.get(variant, 1.0) + (2 + options.steps) * step_seconds
        if torch_gpu.left(options) < expected:
            left_out.append(variant)
            continue
        try:
            measured = measure(trainer, make)
            answer(**facts, tokens=sum(map(sum, lengths)), **measured)
            step_seconds = max([step_seconds, *measured["seconds"]])
        except Exception as error:  # one variant's fault must not cost the others'
            answer(**facts, unavailable=reason(error))
    if left_out:
        answer(left_out=left_out)


main()
