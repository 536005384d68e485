#!/usr/bin/env bash
# A program built without Arrow and MPI trains and evaluates on a store that the full program made, and says
# plainly what it lacks:  cpu_only.sh SMALL_PROGRAM FULL_PROGRAM
set -euo pipefail
small=$1; full=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/tiny.yaml" <<'YAML'
data: {context_length: 128, global_batch_tokens: 2048}
model: {num_hidden_layers: 1, hidden_size: 32, intermediate_size: 64, num_attention_heads: 2, num_key_value_heads: 2}
schedule: {steps: 5, warmup_steps: 1}
YAML
"$full" simulate "$folder/meds" --subjects 100 --seed 1 > /dev/null
"$full" ingest "$folder/meds" --out "$folder/store" > /dev/null
"$small" train "$folder/tiny.yaml" data.store="$folder/store" run.folder="$folder/run"
"$small" evaluate "$folder/run" --json > /dev/null
status=0
"$small" ingest "$folder/meds" --out "$folder/other" 2> "$folder/message" || status=$?
if (( status != 2 )) || ! grep -qi arrow "$folder/message"; then
  echo "cpu_only.sh: ingest without Arrow: exit code $status, expected 2 and a message that names Arrow:" >&2
  cat "$folder/message" >&2
  exit 1
fi
echo "cpu_only.sh: trained and evaluated without Arrow and MPI"
