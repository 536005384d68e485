"""What all parts share: where things are, how long each may take, and how large a run is."""

import os
import pathlib
import statistics
import tempfile
import time

# In this order: what a bug would show in comes first, what only explains comes last. Seconds that a
# machine with 16 cores and one GPU needs at most; a part may take its share of what is left of
# --minutes, so that none takes another's, and what it leaves over goes to those after it.
SECONDS = {
    "parity": 30,
    "sanitizer": 80,
    "attention": 50,
    "cross_entropy": 35,
    "memory_bound": 10,
    "training_run": 25,
    "training_steps": 120,
    "profile": 35,
}
PARTS = tuple(SECONDS)
CORRECTNESS = ("parity", "sanitizer", "training_run")
MEASURING = ("attention", "cross_entropy", "memory_bound", "training_steps")

PEER_ENDS = 3.0  # seconds that a peer's last case may take longer than it expects
CHANNELS = 2048  # of attention's heads together
WIDTHS = (768, 2048, 4096)  # of the projection that cross-entropy follows
VOCABULARIES = (8192, 32768, 131072)


class Settings:
    def __init__(self, options):
        self.root = pathlib.Path(__file__).resolve().parents[2]
        self.rehearsal = options.rehearse
        self.out = pathlib.Path(options.out).resolve()
        self.package = None  # what was unpacked or built: package.py
        self.facts = {}  # of the package
        self.rates = None  # of the GPU: parts/rates.py
        self.shares = {}  # of copy bandwidth, by (operation, width): parts/memory_bound.py
        self.python = os.environ.get("SEQUELA_PEER_PYTHON") or "python3"
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="sequela_gpu_suite_"))
        self._parts = options.parts
        self._end = time.monotonic() + 60 * options.minutes
        self._part_end = self._end

    @property
    def device(self):
        return "cpu" if self.rehearsal else "cuda"

    @property
    def repeats(self):
        return 3 if self.rehearsal else 20

    def begin_part(self, name):
        """False where no time is left that is worth a start."""
        share = share_of(name, self._parts)
        left = self.left_in_all()
        if self.rehearsal:  # a CPU is no GPU: only the whole has a limit
            share = 1.0
        self._part_end = time.monotonic() + share * left
        return self.left() > 1

    def left(self):
        """Seconds until this part must be done."""
        return max(self._part_end - time.monotonic(), 0.0)

    def left_in_all(self):
        return max(self._end - time.monotonic(), 0.0)

    def program(self, name):
        return self.package / name

    def test_programs(self):
        return sorted((self.package / "tests").iterdir())

    def peer(self, name, limit=None):
        """Begins nothing new towards the end of `limit` seconds: what it began still ends."""
        command = [self.python, self.root / "benchmarks/peers" / name, "--device", self.device]
        if limit is not None:
            command += ["--limit", f"{max(limit - PEER_ENDS, 0.0):.1f}"]
        return command + (["--tiny"] if self.rehearsal else [])

    def kernels(self, *arguments):
        return [
            self.program("benchmarks/kernels_cuda_benchmark"),
            *("--device", self.device),
            *("--repeats", self.repeats),
            *(["--tiny"] if self.rehearsal else []),
            *arguments,
        ]


def share_of(name, parts):
    """Of what is left when a part begins."""
    still = [part for part in parts if PARTS.index(part) >= PARTS.index(name)]
    return SECONDS[name] / sum(SECONDS[part] for part in still)


def lognormal_lengths(count, median=700.0, sigma=0.9, shortest=100, longest=4000):
    """Evenly spaced quantiles of a lognormal distribution, in an order that is fixed and looks like
    chance: the same documents at every run, without a generator that a Python could change."""
    normal = statistics.NormalDist()
    lengths = []
    for i in range(count):
        z = normal.inv_cdf((i + 0.5) / count)
        length = median * 2.718281828459045 ** (sigma * z)
        lengths.append(int(min(max(length, shortest), longest)))
    step = next(s for s in range(count * 5 // 8, count) if _coprime(s, count))
    return [lengths[i * step % count] for i in range(count)]


def _coprime(a, b):
    while b:
        a, b = b, a % b
    return a == 1


def full_microbatches(batches, tokens):
    """Documents of the mix in micro-batches that are exactly full: the last one of each is cut."""
    lengths = iter(lognormal_lengths(64 * batches))
    result = []
    for _ in range(batches):
        batch = []
        while sum(batch) < tokens:
            left = tokens - sum(batch)
            length = min(next(lengths), left)
            if 0 < left - length < 100:  # no document shorter than the mix has
                length = left - 100 if left >= 200 else left
            batch.append(length)
        result.append(batch)
    return result


def microbatches_text(settings):
    """The documents of a training step, for ours and for the peer."""
    tokens = 16384 if not settings.rehearsal else 2048
    return "/".join(",".join(map(str, batch)) for batch in full_microbatches(2, tokens))


def mix_text():
    """The documents that attention is timed on, about 36,000 tokens."""
    return ",".join(map(str, lognormal_lengths(36)))


def shapes_text():
    return ",".join(f"{width}x{vocabulary}" for width in WIDTHS for vocabulary in VOCABULARIES)
