"""What all parts share: where things are, and how large a run is."""

import os
import pathlib
import tempfile

PARTS = ("training_step", "kernels", "ingest", "loader", "checkpoint", "ranks", "memory")
THREADS = 2


class Settings:
    def __init__(self, options):
        self.root = pathlib.Path(__file__).resolve().parents[2]
        self.parts = options.parts
        self.quick = options.quick
        self.models = ["S"] if options.quick else options.models
        self.precisions = options.precisions
        self.pairs = 1 if options.quick else options.pairs
        self.results = (self.root / options.results).resolve()
        build = self.root / "build" / "release"
        self.sequela = build / "bin" / "sequela"
        self.programs = build / "benchmarks"
        self.mpirun = self.root / "launch" / "mpirun.sh"
        # Beside the build: the same disk that a user's data would lie on, and no part of the results.
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="benchmark-", dir=self.root / "build"))

        self.peer_python = os.environ.get("SEQUELA_PEER_PYTHON")
        self.peers = pathlib.Path(os.environ.get("SEQUELA_PEERS", self.root / "../shared/peers"))

    def missing_peer(self):
        """Why PyTorch cannot be measured; None where it can."""
        if not self.peer_python:
            return "SEQUELA_PEER_PYTHON names no Python with torch"
        if not (self.peers / "torch_cpu" / "bench.py").is_file():
            return "torch_cpu/bench.py is not in SEQUELA_PEERS"
        return None
