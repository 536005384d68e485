"""Scores held-out windows with a trained model in Hugging Face's transformers.

    python3 open_checkpoint.py RUN/checkpoints/step-00000100 STORE      needs torch, transformers, h5py

A window is: [BOS], the subject's static tokens, AGE at the first event, then the events' tokens. Head
tokens, static ones included, take the first event's time. Prints the mean NLL (nats) of all targets.
"""
import json
import sys
from pathlib import Path

import h5py
import torch
from transformers import AutoModelForCausalLM

checkpoint, store = Path(sys.argv[1]), Path(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(checkpoint, trust_remote_code=True).eval()
vocabulary = json.loads((store / "vocabulary.json").read_text())["tokens"]
kind = [entry["kind"] for entry in vocabulary]
ages = [i for i, entry in enumerate(vocabulary) if entry["kind"] == "age"]
unknown = next(i for i, entry in enumerate(vocabulary) if entry["text"] == "[UNK]")
STATIC, HELD_OUT, longest = -2**63, 2, model.config.max_position_embeddings


def window(token, time):
    """A chain's first window: tokens, times in microseconds, length of the head."""
    statics = next((i for i, t in enumerate(token) if kind[t] != "static"), len(token))
    birth = [t for t in time[:statics] if t != STATIC][-1:]  # MEDS_BIRTH is a static token with a time
    head = [model.config.bos_token_id] + token[:min(statics, longest // 4 - 2)]
    if birth and ages and statics < len(token):  # the first age token that ends after this age
        seconds = (time[statics] - birth[0]) // 10**6
        upper = [vocabulary[i]["seconds"][1] for i in ages]
        head.append(next(i for i, end in zip(ages, upper) if end is None or seconds < end))
    last = statics + longest - len(head)
    return head + token[statics:last], time[statics:statics + 1] * len(head) + time[statics:last], len(head)


nll, targets = 0.0, 0
for path in sorted(store.glob("shard-*.h5")):
    with h5py.File(path) as shard:
        tokens, times = shard["/chain/token"][:].tolist(), shard["/chain/time"][:].tolist()
        offset, split = shard["/subject/offset"][:].tolist(), shard["/subject/split"][:].tolist()
    for begin, end in (pair for pair, s in zip(zip(offset, offset[1:]), split) if s == HELD_OUT):
        token, time, head = window(tokens[begin:end], times[begin:end])
        timed = {"time_us": torch.tensor([time])} if hasattr(model.config, "position") else {}
        with torch.no_grad():
            log_p = model(input_ids=torch.tensor([token]), **timed).logits[0].double().log_softmax(-1)
        for i in range(head, len(token)):  # token i is predicted at i - 1
            if kind[token[i]] in ("gap", "code", "value") or token[i] == unknown:
                nll, targets = nll - log_p[i - 1, token[i]].item(), targets + 1
print(f"{targets} targets, {nll / targets:.6f} nats per token")
