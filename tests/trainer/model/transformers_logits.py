"""Opens a checkpoint with Hugging Face's transformers and computes logits, document by document.

Usage: transformers_logits.py CHECKPOINT_FOLDER WORK_FOLDER
WORK_FOLDER/input.safetensors: `token` [T] and `document_begin` [D + 1], I32, `time_us` [T], I64.
Writes WORK_FOLDER/logits.safetensors: `logits` [T, vocab_size] F32. Refuses a checkpoint whose
tensors do not match the architecture exactly.
"""
import os
import sys
from pathlib import Path

os.environ |= {"HF_HOME": sys.argv[2], "HF_HUB_OFFLINE": "1"}  # before transformers is imported
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

checkpoint, work = sys.argv[1:3]
model, report = AutoModelForCausalLM.from_pretrained(
    checkpoint, attn_implementation="eager", output_loading_info=True,
    trust_remote_code=Path(checkpoint, "modeling_sequela.py").exists())
for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
    if report.get(kind):
        sys.exit(f"{kind}: {report[kind]}")
model = model.float().eval()
inputs = load_file(f"{work}/input.safetensors")
begin = inputs["document_begin"].tolist()
rows = []
timed = "Sequela" in type(model).__name__
with torch.no_grad():
    for first, last in zip(begin, begin[1:]):
        tokens = inputs["token"][None, first:last].long()
        times = {"time_us": inputs["time_us"][None, first:last]} if timed else {}
        rows.append(model(input_ids=tokens, **times).logits[0].float())
        if not timed or last - first < 2:
            continue
        # By way of the key-value cache: all but the last token, then that one.
        half = model(input_ids=tokens[:, :-1], time_us=times["time_us"][:, :-1], use_cache=True)
        cache = half.cache if "cache" in half else half.past_key_values
        name = "cache" if "cache" in half else "past_key_values"
        end = model(input_ids=tokens[:, -1:], **times, **{name: cache}).logits[0, -1]
        if (end - rows[-1][-1]).abs().max() > 1e-4:
            sys.exit("another result with the key-value cache")
save_file({"logits": torch.cat(rows).contiguous()}, f"{work}/logits.safetensors")
print(type(model).__name__)
