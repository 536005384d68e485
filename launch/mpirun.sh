#!/usr/bin/env bash
# Runs a command on N ranks of this machine:  launch/mpirun.sh N COMMAND [ARGUMENT ...]
# Sets what Open MPI needs here: consent to run as root in a container, more ranks than cores without
# spinning, no copy mechanism that containers forbid, no binding (all ranks would share core 0).
set -euo pipefail
ranks=$1; shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
options=(-q --bind-to none --mca btl_vader_single_copy_mechanism none --mca btl self,vader)
cores=$(nproc)
threads=${OMP_NUM_THREADS:-$(( cores / ranks > 0 ? cores / ranks : 1 ))}
export OMP_NUM_THREADS=$threads
if (( ranks * threads > cores )); then
  export OMP_WAIT_POLICY=passive
  options+=(--oversubscribe --mca mpi_yield_when_idle 1)
fi
# mpirun would kill the ranks 2 s after SIGTERM, in the middle of a save; it forwards SIGUSR1, which
# the program takes as "checkpoint and stop".
mpirun -n "$ranks" "${options[@]}" "$@" &
child=$!
trap 'kill -USR1 $child 2>/dev/null' TERM INT USR1
status=0
while true; do
  wait $child && status=0 || status=$?
  kill -0 $child 2>/dev/null || break
done
exit $status
