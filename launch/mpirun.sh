#!/usr/bin/env bash
# Runs a command on N ranks of this machine:  launch/mpirun.sh N COMMAND [ARGUMENT ...]
# Sets what Open MPI needs here: consent to run as root in a container, more ranks than cores without
# spinning, no copy mechanism that containers forbid, no binding (all ranks would share core 0).
# Threads of each rank: OMP_NUM_THREADS, otherwise the processors that this process may use (affinity
# mask, control group) shared by the ranks.
# Ctrl-C, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU ask the ranks to stop: `sequela train` then
# writes a checkpoint and ends with exit code 3; other programs are ended. A second Ctrl-C ends
# everything at once (exit code 130).
# The exit code is the command's own, or 128 + the signal that ended a rank; 2 where the arguments are
# wrong, 4 where this machine lacks something.
set -uo pipefail
{  # read as a whole: whoever edits this file while a training runs does not change what ends it

# Requests to stop. The first one's exit code is this script's where the command does not serve it.
child=""
stop=""
stop_at=0
interrupts=0
served=0  # the ranks have got the request
ended=0
request() {  # EXIT_CODE
  [ -n "$stop" ] || { stop=$1; stop_at=$SECONDS; }
}
ranks_running() { cat "/proc/$child/task/"*/children 2>/dev/null; }
# mpirun notices that its ranks have ended; where it has not started them it ends itself.
end_job() {  # SIGNAL
  local processes
  [ -n "$child" ] || exit "$stop"
  ended=1
  processes=$(ranks_running)
  if [ -n "$processes" ]; then kill -"$1" $processes; elif (( ! served )); then kill -TERM "$child"; fi 2>/dev/null
}
interrupt() {
  request 130
  interrupts=$(( interrupts + 1 ))
  (( interrupts > 1 )) && end_job KILL
}
trap interrupt INT
trap 'request 143' TERM
trap 'request 129' HUP
trap 'request 138' USR1
trap 'request 140' USR2
trap 'request 152' XCPU
trap 'request 131; end_job KILL' QUIT

# The terminal's Ctrl-C ends what this script calls, too: such a check is made again.
attempt() {  # FUNCTION
  local before
  while true; do
    before=$interrupts
    "$@" && return 0
    (( interrupts > before )) || return 1
  done
}
say() { printf 'mpirun.sh: %s\n' "$*" >&2; }
fail() { local code=$1; shift; say "$@"; exit "$code"; }
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
[[ "${1:-}" =~ ^[1-9][0-9]{0,5}$ ]] || fail 2 "'${1:-}' is no number of ranks; usage: launch/mpirun.sh N COMMAND [ARGUMENT ...]"
ranks=$1; shift
(( $# > 0 )) || fail 2 "which command? usage: launch/mpirun.sh N COMMAND [ARGUMENT ...]"
command -v -- "$1" > /dev/null || fail 2 "there is no program $1"
command -v mpirun > /dev/null || fail 4 "there is no mpirun on the PATH: install Open MPI (Debian: openmpi-bin)"
is_open_mpi() {
  [[ "$(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --version 2>&1)" == *"Open MPI"* ]]
}
attempt is_open_mpi ||
  fail 4 "$(command -v mpirun) is not Open MPI's; put Open MPI's first on the PATH"

# Open MPI says none of these in words that help, or nothing at all.
temporary=${TMPDIR:-/tmp}
can_make_folders() {
  local probe
  probe=$(mktemp -d "$temporary/mpirun.XXXXXX" 2>/dev/null) && rmdir "$probe"
}
attempt can_make_folders || fail 4 "no folder can be made in $temporary (TMPDIR), which Open MPI needs: set TMPDIR to one that can be written"
has_network() { ! [ -r /proc/self/net/fib_trie ] || grep -q LOCAL /proc/self/net/fib_trie; }
attempt has_network || fail 4 "no network interface has an address, not even the loopback, which Open MPI needs: ip link set lo up"
shared=/dev/shm
find_free() { free_kib=$(df --output=avail -k "$shared" 2>/dev/null | tail -n 1) && [ -n "$free_kib" ]; }
free_kib=""
attempt find_free
needed_kib=$(( 5120 * ranks + 2048 ))  # of each rank: a segment of 4 MiB and some more
if ! [ -w "$shared" ] || (( ${free_kib:-0} < needed_kib )); then
  say "$shared has ${free_kib:-0} KiB free and $ranks ranks need $needed_kib: $temporary is taken instead, which may be slower (docker run --shm-size=1g)"
  shared=$temporary
fi

# Processors that this process may use: of its mask, and by the quotas of its control group and those
# above it, of version 2 or 1 (kernels/base/available_cpus.cc has the same for the program).
quota_of() {  # GROUP: prints processors, rounded down, where it has a limit
  local granted period
  if read -r granted period 2>/dev/null < "$1/cpu.max"; then :
  elif read -r granted 2>/dev/null < "$1/cpu.cfs_quota_us" && read -r period 2>/dev/null < "$1/cpu.cfs_period_us"; then :
  else return; fi
  [[ "$granted" =~ ^[0-9]+$ ]] && echo $(( granted / period ))
}
find_cores() { cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc); }
attempt find_cores
while IFS=: read -r _ controllers group; do
  case ",$controllers," in ,,) mount=/sys/fs/cgroup ;; *,cpu,*) mount=/sys/fs/cgroup/cpu ;; *) continue ;; esac
  while true; do
    quota=$(quota_of "$mount${group%/}")
    [ -n "$quota" ] && (( quota < cores )) && cores=$(( quota > 0 ? quota : 1 ))
    [ -n "${group%/}" ] || break
    group=${group%/*}
  done
done 2>/dev/null < /proc/self/cgroup
threads=${OMP_NUM_THREADS:-$(( cores / ranks > 0 ? cores / ranks : 1 ))}
export OMP_NUM_THREADS=$threads

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Slots are counted here: Open MPI counts cores where others count hardware threads.
options=(--oversubscribe --bind-to none --mca btl self,vader --mca btl_vader_single_copy_mechanism none
  --mca btl_vader_backing_directory "$shared" --mca osc_sm_backing_directory "$shared")
crowded=0
if (( ranks * ${threads%%,*} > cores )); then
  export OMP_WAIT_POLICY=passive
  crowded=1
fi
options+=(--mca mpi_yield_when_idle $crowded)

# Passes standard error on, without the blocks in which mpirun and MPI_Abort repeat that a rank ended
# with a code: the rank has said why, and the code is this script's. Nobody may read it any more, which
# mpirun would take for a reason to end. Returns 0 where anything was said.
pass_messages() {
  local line part="" block="" lines=0 said=1
  local repeated='exited with non-zero status|a non-zero exit code|MPI_ABORT was invoked'
  local summed_up='help message help-mpi-api.txt / mpi-abort|Set MCA parameter "orte_base_help_aggregate"|^mpirun: Forwarding signal'
  trap '' INT TERM HUP PIPE USR1 USR2 XCPU QUIT TSTP
  exec 3>&2 2>/dev/null
  show() { said=0; printf '%s\n' "$1" >&3; }
  while true; do
    if IFS= read -r -t 1 line; then
      line=$part$line; part=""
    elif (( $? > 128 )); then  # nothing for a second: no block is under way
      part+=$line
      if [ -n "$block" ]; then show "$block"; block=""; fi
      continue
    else
      [ -n "$block" ] && show "$block"
      [ -n "$part$line" ] && show "$part$line"
      return $said
    fi
    if [ -n "$block" ]; then
      block+=$'\n'$line; lines=$(( lines + 1 ))
      if [[ "$line" =~ ^-{60,}$ ]] || (( lines > 40 )); then
        [[ "$block" =~ $repeated ]] || show "$block"
        block=""
      fi
    elif [[ "$line" =~ ^-{60,}$ ]]; then
      block=$line; lines=1
    elif ! [[ "$line" =~ $summed_up ]]; then
      show "$line"
    fi
  done
}

# Passes standard output on to its end, also where it can no longer be written, which mpirun would take
# for a reason to end. Returns what cat does: 141 where nobody reads it, 1 for a full disk.
pass_results() {
  local code=0
  trap '' INT TERM HUP USR1 USR2 XCPU QUIT TSTP
  cat || code=$?
  (( code == 0 )) || cat > /dev/null
  return $code
}

# A rank that has started takes SIGUSR1, by a handler or a thread that waits for it; one that has not
# would be ended by it.
takes_stop_request() {  # PROCESS
  local key value bits=0
  while read -r key value _; do
    case "$key" in SigBlk:|SigCgt:) (( bits |= 16#${value: -8} )) ;; esac
  done 2>/dev/null < "/proc/$1/status"
  (( bits & 1 << 9 ))
}

exec 9> >(pass_messages 9>&-)
messages=$!
exec 8> >(pass_results 8>&- 9>&-)
results=$!
# In a process group of its own: the terminal's Ctrl-C would have mpirun kill the ranks. It ends with
# this script where that is killed.
as_child=()
command -v setpriv > /dev/null && as_child=(setpriv --pdeathsig KILL)
set -m
"${as_child[@]}" mpirun -n "$ranks" "${options[@]}" "$@" >&8 2>&9 8>&- 9>&- < /dev/null &
child=$!
set +m
exec 8>&- 9>&-

# mpirun forwards SIGUSR1 to the ranks; SIGTERM would kill them within two seconds, in the middle of a
# save. Requests that come while the ranks are being started wait for them.
serve_request() {
  local rank waiting=0 count=0
  if [ -r "/proc/$child/task/$child/children" ]; then
    for rank in $(ranks_running); do
      count=$(( count + 1 ))
      takes_stop_request "$rank" || waiting=1
    done
    if (( count < ranks || waiting )); then
      # A program that takes no request.
      (( SECONDS - stop_at > 5 )) && end_job TERM
      (( SECONDS - stop_at > 10 )) && end_job KILL
      return
    fi
  fi
  kill -USR1 "$child"
  served=1
}

status=0
while true; do
  if [ -n "$stop" ] && (( ! served )); then
    serve_request 2>/dev/null
    sleep 0.1 & wait $!
    kill -0 "$child" 2>/dev/null && continue
  fi
  wait "$child" && status=0 || status=$?
  kill -0 "$child" 2>/dev/null || break
done
# A signal may have ended the last wait just when the command ended.
wait "$child" 2>/dev/null && status=0 || { last=$?; (( last == 127 )) || status=$last; }
wait "$messages" && spoke=1 || spoke=0
wait "$results" && written=0 || written=$?

if [ -n "$stop" ] && (( status > 4 || (ended && status != 3) )); then exit "$stop"; fi
if (( status == 0 && written == 141 )); then exit 141; fi
if (( status == 0 && written != 0 )); then fail 4 "what $1 printed could not be written to standard output"; fi
if (( status > 128 )); then
  say "$1 was ended by signal $(( status - 128 )) ($(kill -l $(( status - 128 )) 2>/dev/null))"
elif (( status != 0 && status != 3 && ! spoke )); then
  say "$1 ended with exit code $status"
fi
exit "$status"
}
