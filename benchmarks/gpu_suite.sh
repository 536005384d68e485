#!/usr/bin/env bash
# Everything that needs a GPU, in one command (docs/benchmarks.md, "On a GPU"):
#   benchmarks/gpu_suite.sh pack [FILE]    where it can be built: one archive for a bare machine
#   benchmarks/gpu_suite.sh [run] [--archive FILE] [--out FOLDER] [--minutes 9] [--parts LIST] [--rehearse]
# Exit codes of run: 0 parity, sanitizer and training run passed; 1 one of them did not; 2 not possible here.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-run} in
  pack) shift; exec "$root/benchmarks/gpu_suite/pack.sh" "$@" ;;
  run) shift $(( $# > 0 )) ;;
esac
if ! command -v python3 > /dev/null; then
  echo "gpu_suite: needs python3" >&2
  exit 2
fi
cd "$root"
PYTHONPATH=benchmarks PYTHONDONTWRITEBYTECODE=1 exec python3 -m gpu_suite "$@"
