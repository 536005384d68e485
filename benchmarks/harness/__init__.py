"""The benchmarks' harness: runs programs, pairs them with peers, writes results."""
