"""Opens a checkpoint of Sequela whose rotary positions are real time, in Hugging Face's transformers.

    model = AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)
    logits = model(input_ids=tokens, time_us=times).logits

`tokens` and `times` are [batch, length]; `times` are whole microseconds since 1970 (int64). How a
window's first tokens and their times are made: docs/examples/open_checkpoint.py. With a key-value
cache `times` are those of the whole window, the tokens in the cache included. `generate` is not
supported: the time of a new token is not known to it.

The decoder is Llama's, Qwen2's or Qwen3's. Of a head's rotary pairs the first turn with the index in
the window, the last with time: angle = 2 pi frac((time - time of the window's first token) / period),
the periods in geometric progression, all in double precision.
"""
import math

import torch
from torch import nn
from transformers import (LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM)

SECONDS_PER_YEAR = 365.25 * 86400.0


def turns_per_unit(config):
    """Turns of each pair per index step (first result) or per microsecond (second result)."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    pairs = head_dim // 2
    # Rounded to nearest, halves upwards.
    share = 1.0 if config.position == "time" else config.rope_time_fraction
    time_pairs = math.floor(share * pairs + 0.5)
    # transformers 5 keeps rope_theta in rope_parameters, earlier versions at the top.
    rope = getattr(config, "rope_parameters", None) or {}
    theta = rope["rope_theta"] if "rope_theta" in rope else config.rope_theta
    by_index = [theta ** (-2.0 * i / head_dim) / (2.0 * math.pi)
                for i in range(pairs - time_pairs)]
    shortest = config.rope_time_min_period_seconds
    ratio = config.rope_time_max_period_years * SECONDS_PER_YEAR / shortest
    by_time = []
    for j in range(time_pairs):
        share = 1.0 if time_pairs == 1 else j / (time_pairs - 1)
        by_time.append(1.0 / (shortest * ratio**share * 1e6))
    return (torch.tensor(by_index, dtype=torch.float64), torch.tensor(by_time, dtype=torch.float64))


class TimeRotaryEmbedding(nn.Module):
    """Cosines and sines of a window's rotary angles. `time_us` is set before each forward pass."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.time_us = None

    @torch.no_grad()
    def forward(self, x, position_ids):
        by_index, by_time = (rate.to(x.device) for rate in turns_per_unit(self.config))
        length = position_ids.shape[-1]
        elapsed = (self.time_us - self.time_us[:, :1])[:, -length:].to(x.device)
        index = position_ids.expand(elapsed.shape).double()
        turns = torch.cat((index[..., None] * by_index, elapsed[..., None].double() * by_time), -1)
        angles = 2.0 * math.pi * (turns - turns.round())
        angles = torch.cat((angles, angles), -1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class TimedModel:
    """What the three classes below add to theirs."""

    def __init__(self, config):
        super().__init__(config)
        self.model.rotary_emb = TimeRotaryEmbedding(config)

    def forward(self, input_ids=None, time_us=None, **kwargs):
        if time_us is None or time_us.is_floating_point():
            raise ValueError("time_us is missing or no int64: give each token's time in microseconds "
                             "since 1970, [batch, length]")
        self.model.rotary_emb.time_us = time_us
        return super().forward(input_ids=input_ids, **kwargs)

    def generate(self, *args, **kwargs):
        raise NotImplementedError("a new token's time is not known to generate(): call the model")


class SequelaLlamaConfig(LlamaConfig):
    model_type = "sequela_llama"


class SequelaQwen2Config(Qwen2Config):
    model_type = "sequela_qwen2"


class SequelaQwen3Config(Qwen3Config):
    model_type = "sequela_qwen3"


class SequelaLlamaForCausalLM(TimedModel, LlamaForCausalLM):
    config_class = SequelaLlamaConfig


class SequelaQwen2ForCausalLM(TimedModel, Qwen2ForCausalLM):
    config_class = SequelaQwen2Config


class SequelaQwen3ForCausalLM(TimedModel, Qwen3ForCausalLM):
    config_class = SequelaQwen3Config
