#!/usr/bin/env bash
# Fuzzes what reads files that others wrote:  tests/fuzz/run.sh [OPTION ...] MINUTES [TARGET ...]
#   tests/fuzz/run.sh 60                 all targets, an hour in all
#   tests/fuzz/run.sh 10 csv_text        one target, ten minutes
#   --build FOLDER     use the targets in FOLDER/fuzz instead of building preset fuzz (build/fuzz)
#   --seconds N        an input that takes longer is a finding (default 2)
#   --keep             afterwards, write what was collected to tests/fuzz/collected.tar.gz, as few and short
#                      inputs as reach the same places
# The targets (tests/fuzz/targets) share the minutes, as many at once as there are cores. Each begins with
# the inputs of tests/fuzz/corpus/TARGET, which people wrote, of collected.tar.gz, and of earlier runs; new
# inputs that reach new code go to FOLDER/corpus/TARGET, findings to FOLDER/findings/TARGET. Exit code 1 where
# there is a finding. A mended finding goes to tests/fuzz/corpus/TARGET, where the test fuzz/replay reads it.
set -euo pipefail
fail() { echo "run.sh: $1" >&2; exit 2; }
folder=""
slowest=2
keep=no
while (( $# > 0 )) && [[ "$1" == -* ]]; do
  case "$1" in
    -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --keep) keep=yes; shift ;;
    --build|--seconds)
      (( $# > 1 )) || fail "$1 needs a value"
      if [ "$1" = --build ]; then folder=$(realpath "$2"); else slowest=$2; fi
      shift 2 ;;
    *) fail "'$1' is no option; see --help" ;;
  esac
done
(( $# > 0 )) || fail "for how many minutes? See --help"
minutes=$1; shift
[[ "$minutes" =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "'$minutes' is no number of minutes; see --help"
[[ "$slowest" =~ ^[1-9][0-9]*$ ]] || fail "--seconds: '$slowest' is no whole number above 0"
cd "$(dirname "$0")/../.."
targets=("$@")
if (( ${#targets[@]} == 0 )); then
  for one in tests/fuzz/corpus/*/; do targets+=("$(basename "$one")"); done
fi
for target in "${targets[@]}"; do
  [ -d "tests/fuzz/corpus/$target" ] || fail "no target '$target'; there are: $(cd tests/fuzz/corpus && echo *)"
done
if [ -z "$folder" ]; then
  folder=$PWD/build/fuzz
  launch/build.sh fuzz -- fuzz_targets
fi

mkdir -p "$folder/collected" "$folder/logs"
[ -e tests/fuzz/collected.tar.gz ] && tar -C "$folder/collected" -xzf tests/fuzz/collected.tar.gz

at_once=$(nproc)
(( at_once <= ${#targets[@]} )) || at_once=${#targets[@]}
share=$(awk -v m="$minutes" -v p="$at_once" -v n="${#targets[@]}" 'BEGIN {s = int(m * 60 * p / n); print s < 1 ? 1 : s}')

# Runs one target until its time is over; libFuzzer ends at a finding and is started again.
fuzz_one() {
  local target=$1 corpus=$folder/corpus/$1 findings=$folder/findings/$1 log=$folder/logs/$1.log
  mkdir -p "$corpus" "$findings" "$folder/collected/$target"
  : > "$log"
  # The words of the kept inputs are worth more than single bytes.
  grep -ahoE '[A-Za-z_]{3,40}' tests/fuzz/corpus/"$target"/* | sort -u | sed 's/.*/"&"/' > "$folder/$target.dict"
  local end=$(( $(date +%s) + share )) left
  for (( start = 0; start < 20; ++start )); do
    left=$(( end - $(date +%s) ))
    (( left > 0 )) || break
    "$folder/fuzz/$target" -max_total_time="$left" -timeout="$slowest" -rss_limit_mb=3000 -max_len=65536 \
      -dict="$folder/$target.dict" -artifact_prefix="$findings/" -print_final_stats=1 \
      "$corpus" "tests/fuzz/corpus/$target" "$folder/collected/$target" >> "$log" 2>&1 || true
  done
  awk -v t="$target" -v new="$(find "$corpus" -type f | wc -l)" \
    -v found="$(find "$findings" -type f | wc -l)" -v s="$share" \
    '/number_of_executed_units/ {runs += $2} / cov: / {for (i = 1; i < NF; ++i) if ($i == "cov:") cover = $(i + 1)}
     END {printf "%-18s %6d s %11d inputs %7d places reached %6d in the corpus %4d findings\n", t, s, runs, cover, new, found
          if (runs == 0) exit 1}' "$log" || { echo "$target did not run; the end of $log:"; tail -n 20 "$log"; return 1; }
}
export -f fuzz_one
export folder share slowest UBSAN_OPTIONS=print_stacktrace=1
status=0
printf '%s\n' "${targets[@]}" | xargs -P "$at_once" -I{} bash -c 'fuzz_one {}' || status=1
for target in "${targets[@]}"; do
  [ -z "$(ls "$folder/findings/$target")" ] && continue
  status=1
  echo "Findings of $target, in $folder/findings/$target:"
  grep -aE 'ERROR: |SUMMARY: |runtime error: |what\(\)|InternalError|Test unit written' "$folder/logs/$target.log" | sort | uniq -c | sort -rn | head -n 20
done
if [ "$keep" = yes ]; then
  for target in "${targets[@]}"; do
    rm -rf "$folder/smaller"
    mkdir "$folder/smaller"
    "$folder/fuzz/$target" -set_cover_merge=1 -use_counters=0 -max_len=4096 "$folder/smaller" \
      "tests/fuzz/corpus/$target" "$folder/collected/$target" "$folder/corpus/$target" > "$folder/logs/keep.log" 2>&1
    rm -rf "$folder/collected/${target:?}"
    mv "$folder/smaller" "$folder/collected/$target"
  done
  tar -C "$folder/collected" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - . | gzip -9n > tests/fuzz/collected.tar.gz
  echo "Kept $(find "$folder/collected" -type f | wc -l) inputs in tests/fuzz/collected.tar.gz"
fi
exit $status
