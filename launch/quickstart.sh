#!/usr/bin/env bash
# From nothing to an evaluated model:  launch/quickstart.sh [FOLDER]
# Installs what is missing, builds the program, simulates health records whose true process is known,
# ingests them, trains on 2 ranks and compares the model with the truth. Outputs go to FOLDER (default:
# quickstart/). Each step that is already done is skipped, so an interrupted run goes on where it was.
set -euo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
if (( $# > 1 )) || [[ "${1:-}" == -* ]]; then
  echo "quickstart.sh: one argument at most, a folder; usage: launch/quickstart.sh [FOLDER]" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
folder=${1:-quickstart}
started=$SECONDS
step() { printf '\n== %s (%d s since the start)\n' "$1" $(( SECONDS - started )); }

# Ctrl-C stops the training with a checkpoint (mpirun.sh passes it on); this script then ends too.
trap 'echo; echo "Interrupted. Run launch/quickstart.sh again to go on."; exit 3' INT

step "1/5 install what is missing"
launch/setup.sh program
step "2/5 build the program"
cuda=OFF  # its kernels take minutes to build: only where there is a GPU to run them
nvidia-smi -L > /dev/null 2>&1 && cuda=AUTO
[ -e build/release/bin/sequela ] || echo "The first build takes 5 to 10 minutes on two cores."
launch/build.sh release -DSEQUELA_BUILD_TESTS=OFF -DSEQUELA_WITH_CUDA=$cuda -- sequela
sequela=$PWD/build/release/bin/sequela

mkdir -p "$folder"
step "3/5 simulate and ingest records"
if [ -e "$folder/meds" ]; then echo "$folder/meds is there already: kept"; else
  "$sequela" simulate "$folder/meds" --subjects 6000 --seed 1
fi
if [ -e "$folder/store" ]; then echo "$folder/store is there already: kept"; else
  "$sequela" ingest "$folder/meds" --out "$folder/store"
fi

step "4/5 train on 2 ranks"
echo "It takes about 4 minutes on two cores. Ctrl-C stops it with a checkpoint; the same command goes on from there."
status=0
launch/mpirun.sh 2 "$sequela" train configs/quickstart.yaml \
  "data.store=$folder/store" "run.folder=$folder/run" || status=$?
if (( status != 0 )); then
  (( status == 3 )) && echo "Stopped with a checkpoint. Run launch/quickstart.sh again to go on."
  exit $status
fi

step "5/5 evaluate on subjects that training never saw"
launch/mpirun.sh 2 "$sequela" evaluate "$folder/run"

cat <<EOF

Done in $(( SECONDS - started )) s. What is where:
  $folder/meds     the simulated records, in the MEDS standard (Parquet)
  $folder/store    the token chains (HDF5)
  $folder/run      the run: experiment.yaml, metrics.jsonl, TensorBoard, checkpoints
README.md says what the tables mean. To look around, and then at your own records:
  export PATH=$PWD/build/release/bin:\$PATH
  sequela inspect $folder/store
  sequela inspect $folder/run
  sequela ingest-csv --help      # event tables in CSV to MEDS: docs/ingest-csv.md
  sequela ingest --help          # MEDS to token chains
  cp configs/quickstart.yaml my.yaml      # what to change in it: README.md
EOF
