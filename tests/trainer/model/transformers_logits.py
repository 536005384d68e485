"""Opens a checkpoint with Hugging Face's transformers and computes logits, document by document.

Usage: transformers_logits.py CHECKPOINT_FOLDER WORK_FOLDER
WORK_FOLDER/input.safetensors: `token` [T] and `document_begin` [D + 1], I32.
Writes WORK_FOLDER/logits.safetensors: `logits` [T, vocab_size] F32. Refuses a checkpoint whose
tensors do not match the architecture exactly.
"""
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

checkpoint, work = sys.argv[1:3]
model, report = AutoModelForCausalLM.from_pretrained(
    checkpoint, attn_implementation="eager", output_loading_info=True)
for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
    if report.get(kind):
        sys.exit(f"{kind}: {report[kind]}")
model = model.float().eval()
inputs = load_file(f"{work}/input.safetensors")
begin = inputs["document_begin"].tolist()
rows = []
with torch.no_grad():
    for first, last in zip(begin, begin[1:]):
        rows.append(model(input_ids=inputs["token"][None, first:last].long()).logits[0].float())
save_file({"logits": torch.cat(rows).contiguous()}, f"{work}/logits.safetensors")
print(type(model).__name__)
