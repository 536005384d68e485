#!/usr/bin/env bash
# Every benchmark in one run:  benchmarks/run_all.sh [--parts LIST] [--quick] [OPTION ...]
# Builds what it needs, measures, and writes benchmarks/results/<date>_<cpu>/report.md with the raw
# figures beside it (raw.jsonl). Nothing else should run on the machine meanwhile.
#
#   --parts LIST     of: training_step kernels ingest loader checkpoint ranks memory (default: all)
#   --quick          a rehearsal of a few minutes: tiny sizes, one repetition; proves the script only
#   --models LIST    of the training step: S M L (default: S,M,L)
#   --precisions LIST  of the training step: fp32 bf16 (default: both)
#   --pairs N        turns of ours and the peer's (default 5; model L takes one)
#   --results DIR    where the results' folder is made (default: benchmarks/results)
#   --no-build       the programs are built already
#
# Beside PyTorch: SEQUELA_PEER_PYTHON names a Python that has torch, SEQUELA_PEERS the folder with
# torch_cpu/bench.py (default ../shared/peers). Without them those figures read "not measured".
set -euo pipefail
cd "$(dirname "$0")/.."
build=1
arguments=()
for argument in "$@"; do
  case "$argument" in
    -h|--help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --no-build) build=0 ;;
    *) arguments+=("$argument") ;;
  esac
done
if (( build )); then
  launch/build.sh release -DSEQUELA_BUILD_BENCHMARKS=ON -- sequela trainer_step_benchmark \
    kernels_matrix_benchmark kernels_rowwise_benchmark dataio_loader_benchmark
fi
export PYTHONPATH=$PWD/benchmarks PYTHONDONTWRITEBYTECODE=1
exec python3 -m harness "${arguments[@]}"
