#!/usr/bin/env bash
# Configures and builds one preset:  launch/build.sh PRESET [CMAKE_OPTION ...] [-- TARGET ...]
# Uses ccache where it is installed. Prints how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1; shift
options=()
while (( $# > 0 )) && [ "$1" != -- ]; do options+=("$1"); shift; done
(( $# > 0 )) && shift
targets=("$@")
if command -v ccache >/dev/null; then
  # Paths relative to this folder: another clone of the same sources finds what this one compiled.
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
  options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
begin=$(date +%s)
log=$(mktemp)
if ! cmake --preset "$preset" "${options[@]}" > "$log" 2>&1; then
  cat "$log" >&2; rm -f "$log"
  exit 2
fi
rm -f "$log"
ninja -C "build/$preset" --quiet "${targets[@]}"
echo "Built $preset in $(( $(date +%s) - begin )) s"
