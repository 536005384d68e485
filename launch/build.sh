#!/usr/bin/env bash
# Configures and builds one preset:  launch/build.sh PRESET [CMAKE_OPTION ...] [-- TARGET ...]
# Uses ccache where it is installed. Prints how far it is, and how long it took.
# Presets: release, debug, asan-ubsan, tsan, cpu-only (CMakePresets.json).
set -euo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
cd "$(dirname "$0")/.."
presets=$(sed -n '/"configurePresets"/,/^  \]/s/.*{"name": "\([a-z-]*\)", "inherits": "base".*/\1/p' CMakePresets.json)
preset=${1:-}
if ! grep -qx -- "$preset" <<< "$presets"; then
  echo "build.sh: '$preset' is no preset; there are: $(echo $presets)" >&2
  exit 2
fi
shift
options=()
while (( $# > 0 )) && [ "$1" != -- ]; do
  if [[ "$1" != -* ]]; then
    echo "build.sh: '$1' is no option of CMake; targets stand behind --" >&2
    exit 2
  fi
  options+=("$1"); shift
done
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
# A line whenever another tenth of the steps is done; what compilers say passes through. The first steps say nothing of
# the others' length, so the time that is left is told from a fifth on. No awk: Debian's holds lines back.
progress() {
  local line share seconds due=10 left
  while IFS= read -r line; do
    if [[ "$line" =~ ^@\ *([0-9]+)%\ ([0-9]+) ]]; then
      share=${BASH_REMATCH[1]} seconds=${BASH_REMATCH[2]} left=""
      (( share >= due && share < 100 )) || continue
      due=$(( share - share % 10 + 10 ))
      (( share >= 20 )) && left=", about $(( seconds * (100 - share) / share )) s left"
      echo "  $share % of the build after $seconds s$left"
    elif ! [[ "$line" =~ ^ninja:\ (Entering\ directory|no\ work\ to\ do) ]]; then
      printf '%s\n' "$line"
    fi
  done
}
NINJA_STATUS='@%p %e ' ninja -C "build/$preset" "${targets[@]}" | progress
echo "Built $preset in $(( $(date +%s) - begin )) s"
