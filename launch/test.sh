#!/usr/bin/env bash
# Installs what the tests need, builds everything and passes all tests:
#   launch/test.sh [PRESET] [-DCMAKE_OPTION ...] [-- CTEST_OPTION ...]
#   launch/test.sh                          the release build, all tests
#   launch/test.sh asan-ubsan               the whole suite under AddressSanitizer and UBSan
#   launch/test.sh asan-ubsan -- -L sanitize  the labelled subset; nothing else is built
#   launch/test.sh tsan -- -L threads       that of ThreadSanitizer
# Tests on real records use ../shared/data (or SEQUELA_SHARED_DATA) and are reported as skipped without it.
set -euo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
cd "$(dirname "$0")/.."
preset=release
if (( $# > 0 )) && [[ "$1" != -* ]]; then preset=$1; shift; fi
if ! grep -q "\"name\": \"$preset\", \"inherits\": \"base\"" CMakePresets.json; then
  launch/build.sh "$preset"  # names the presets
fi
options=()
while (( $# > 0 )) && [ "$1" != -- ]; do options+=("$1"); shift; done
(( $# > 0 )) && shift
for option in "${options[@]}"; do
  if [[ "$option" != -D* ]]; then
    echo "test.sh: '$option' is no option -D...; options of ctest stand behind --" >&2
    exit 2
  fi
done

launch/setup.sh tests
begin=$(date +%s)
target=all
if [[ " $* " =~ " -L "(sanitize|threads)" " ]]; then target=${BASH_REMATCH[1]}_tests; fi
launch/build.sh "$preset" -DSEQUELA_BUILD_TESTS=ON "${options[@]}" -- "$target"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
if [ -z "${SEQUELA_PYTHON:-}" ] && [ -x .venv/bin/python3 ]; then
  export SEQUELA_PYTHON=$PWD/.venv/bin/python3
fi
recipes=$PWD/launch/sanitizers
export LSAN_OPTIONS=suppressions=$recipes/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=suppressions=$recipes/tsan.supp:ignore_noninstrumented_modules=1:${TSAN_OPTIONS:-}

ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j 2 "$@"
echo "launch/test.sh $preset: $(( $(date +%s) - begin )) s after installation"
