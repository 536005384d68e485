#!/usr/bin/env bash
# Stops a training at random moments and holds every resume against a run that was never stopped:
#   tests/end_to_end/stops.sh STORE [STOPS (50)] [EXPERIMENT (configs/mimic_iv_demo_train.yaml)] [key.path=value ...]
# On 2 ranks by launch/mpirun.sh at a pseudo-terminal; Ctrl-C there, SIGTERM and SIGUSR1 to the script in turn. A run
# is stopped, resumed and stopped again until it has ended, then the next begins, until there were STOPS stops. Each
# has to end with exit code 3; each run's metrics and last checkpoint have to be those of the whole run bit for bit.
# STORE: sequela ingest MIMIC_DEMO_MEDS --out STORE. Prints a line for each stop. SEQUELA: the program (default: build/release/bin/sequela).
set -uo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
  ""|-*) echo "stops.sh: which store? usage: tests/end_to_end/stops.sh STORE [STOPS] [EXPERIMENT] [key.path=value ...]" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")/../.." && pwd)
store=$(realpath "$1"); stops=${2:-50}; experiment=${3:-$here/configs/mimic_iv_demo_train.yaml}
shift $(( $# < 3 ? $# : 3 ))
sequela=${SEQUELA:-$here/build/release/bin/sequela}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
arguments=("$sequela" train "$experiment" "data.store=$store" "$@")

steps_of() { cat "$1/metrics.jsonl" 2>/dev/null | grep -c '"loss"'; }
# The deterministic part of metrics.jsonl, and the weights and optimizer of the last checkpoint.
digest() {  # RUN
  sed -E 's/"(tokens_per_second|model_flops_utilization|matrix_rate_share|[a-z_]*_seconds)": ?[^,}]*,?//g' "$1/metrics.jsonl" | sha256sum
  local last; last=$(ls -d "$1"/checkpoints/step-* | grep -v partial | tail -n 1)
  (cd "$last" && basename "$last" && sha256sum ./*.safetensors)
}
# Starts a training at a pseudo-terminal whose input is descriptor 7; its output goes to $folder/log. Shells start what
# runs in the background with SIGINT ignored, which a training at a terminal is not.
start() {  # RUN
  rm -f "$folder/keys"; mkfifo "$folder/keys"
  printf '%q ' "$here/launch/mpirun.sh" 2 "${arguments[@]}" "run.folder=$1" > "$folder/command"
  script -qefc "echo \$\$ > $folder/pid; exec env --default-signal=INT $(cat "$folder/command")" /dev/null < "$folder/keys" > "$folder/log" 2>&1 &
  terminal=$!
  exec 7> "$folder/keys"
}
finish() { wait $terminal; code=$?; exec 7>&-; }

echo "the whole run"
begin=$SECONDS
start "$folder/whole"; finish
[ $code = 0 ] || { echo "stops.sh: the whole run ended with exit code $code:" >&2; tail -n 5 "$folder/log" >&2; exit 1; }
total=$(steps_of "$folder/whole")
digest "$folder/whole" > "$folder/expected"
seconds=$(( SECONDS - begin > 0 ? SECONDS - begin : 1 ))
echo "$total steps in $seconds s"

done_stops=0; run=0; wrong=0; bad_codes=0
while (( done_stops < stops )); do
  run=$(( run + 1 )); folder_of_run=$folder/run-$run
  while true; do
    start "$folder_of_run"
    # A moment in the next third of a run, from the launch on.
    sleep "$(awk -v r=$RANDOM -v s=$seconds 'BEGIN {printf "%.3f", 0.02 + r / 32768 * s / 3}')"
    kind=$(( done_stops % 3 ))
    case $kind in
      0) name=Ctrl-C; (printf '\003' >&7) 2>/dev/null ;;  # by a process of its own: the run may have ended
      1) name=SIGTERM; kill -TERM "$(cat "$folder/pid")" 2>/dev/null ;;
      2) name=SIGUSR1; kill -USR1 "$(cat "$folder/pid")" 2>/dev/null ;;
    esac
    finish
    reached=$(steps_of "$folder_of_run")
    if [ $code = 0 ]; then break; fi  # it had ended
    done_stops=$(( done_stops + 1 ))
    echo "stop $done_stops: $name in run $run, step $reached, exit code $code"
    [ $code = 3 ] || { bad_codes=$(( bad_codes + 1 )); tail -n 5 "$folder/log"; }
    (( done_stops < stops )) || { start "$folder_of_run"; finish; break; }
  done
  if digest "$folder_of_run" | cmp -s - "$folder/expected"; then
    echo "run $run: bit for bit the whole run"
  else
    wrong=$(( wrong + 1 )); echo "run $run: differs from the whole run"
  fi
  rm -rf "$folder_of_run"
done
echo "$stops stops in $run runs: $bad_codes with another exit code than 3, $wrong runs that differ"
(( bad_codes + wrong == 0 ))
