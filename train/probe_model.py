"""The probe's model: a small decoder of the Qwen3 architecture whose random start already leans towards copying.

A record agent copies ids, numbers and times out of long contexts. Attention learns that by itself (an induction head: look for
what stood before, take what followed), but only after more tokens than a CPU has minutes for. So the first layer starts with
heads that look one, two … tokens back, the second with heads that look for the place where the same two tokens stood and
repeat what comes there. This is an initialisation by structure (Trockman and Kolter, Mimetic Initialization of
Self-Attention Layers, ICML 2023, of the circuit that Olsson et al., In-context Learning and Induction Heads, 2022, found); it
holds nothing of any task, all of it is trained, and a few seconds of recall drills settle it (``train/probe_data.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

HEAD: Final = 64
"""Width of an attention head."""
THETA: Final = 1e8
"""Base of the rotary frequencies: the slow half hardly turns within an episode, so content is found at any distance."""
LONGEST: Final = 8192
"""Positions."""

_FAST: Final = 8
"""Rotary pairs that turn fast enough to tell neighbours apart."""
_SLOW: Final = 12
"""From this pair on, pairs turn slowly enough to compare contents."""
_EMBEDDING: Final = 0.1
"""Standard deviation of a token's embedding; a constant vector of the same length is part of each."""
_SHARPNESS: Final = 2.0
"""Where the norms of queries and keys start: logits of attention reach 8 times its square."""
_REPEAT: Final = 3.0
"""How loudly the second layer repeats, measured in embeddings."""
_NOISE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model: width (a multiple of 128), layers (at least two), width of the feed-forward layers."""

    width: int = 128
    layers: int = 3
    feed_forward: int = 256


def make_model(shape: Shape, vocabulary: int, seed: int) -> Any:
    """A ``Qwen3ForCausalLM`` with tied embeddings, its weights drawn from ``seed``."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    heads = shape.width // HEAD
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=-(-vocabulary // 64) * 64, hidden_size=shape.width, intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers, num_attention_heads=heads, num_key_value_heads=heads, head_dim=HEAD,
            max_position_embeddings=LONGEST, tie_word_embeddings=True, attn_implementation="sdpa",
            rope_parameters={"rope_type": "default", "rope_theta": THETA}, pad_token_id=0, eos_token_id=None,
            bos_token_id=None,
        )
    )  # fmt: skip
    with torch.no_grad():
        _lean_towards_copying(model, shape.width, heads)
    return model


def _lean_towards_copying(model: Any, width: int, heads: int) -> None:
    import torch

    def orthogonal() -> Any:
        return torch.linalg.qr(torch.randn(width, width))[0]

    constant = torch.randn(width)
    constant /= constant.norm()
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, _EMBEDDING)
    embedding -= (embedding @ constant)[:, None] * constant
    embedding += constant * _EMBEDDING * width**0.5
    for layer in model.model.layers:
        layer.self_attn.q_norm.weight.fill_(_SHARPNESS)
        layer.self_attn.k_norm.weight.fill_(_SHARPNESS)

    half = HEAD // 2
    turns = THETA ** (-torch.arange(_FAST) / half)  # radians per token
    token = orthogonal()[:HEAD]  # what layer one writes down of a token,
    token -= (token @ constant)[:, None] * constant
    place = orthogonal()  # and where: HEAD rows for each head, so for each distance
    back, match = model.model.layers[0].self_attn, model.model.layers[1].self_attn

    for head in range(heads):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        query, key = torch.randn(2, HEAD, width) * _NOISE
        # The constant, turned so that query and key agree best at head + 1 tokens back.
        key[:_FAST] += constant
        query[:_FAST] += (turns * (head + 1)).cos()[:, None] * constant
        query[half : half + _FAST] -= (turns * (head + 1)).sin()[:, None] * constant
        back.q_proj.weight[rows], back.k_proj.weight[rows] = query, key
        back.v_proj.weight[rows] = token
        back.o_proj.weight[:, rows] = _EMBEDDING * place[rows].T

    slow = torch.cat([torch.arange(_SLOW, half), torch.arange(_SLOW, half) + half])
    count = len(slow) // 2
    one_back, two_back = place[:HEAD], place[HEAD : 2 * HEAD]
    content = orthogonal()
    for head in range(heads):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        query, key = torch.randn(2, HEAD, width) * _NOISE
        mixed, chosen = slow[torch.randperm(len(slow))], torch.randperm(HEAD)[:count]
        # This token here was the one before there, the one before here was two before there.
        query[mixed[:count]], key[mixed[:count]] = token[chosen], one_back[chosen]
        query[mixed[count:]], key[mixed[count:]] = one_back[chosen], two_back[chosen]
        match.q_proj.weight[rows], match.k_proj.weight[rows] = query, key
        match.v_proj.weight[rows] = content[rows]
        match.o_proj.weight[:, rows] = _REPEAT * _EMBEDDING * content[rows].T
