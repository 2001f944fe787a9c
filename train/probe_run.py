"""Trains the probe's model: recall drills first, then whole episodes, the loss on what the assistant says.

Both are measured in tokens, so the same release, seed, threads and machine give the same weights; minutes are only a limit. A run
that falls far behind them follows the clock from there on (``paced_by``), and its weights depend on the machine's speed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from train.probe_data import batches, drills, tensors
from train.probe_tokenizer import Encoded

WARM_UP: Final = 50
"""Steps in which the learning rate rises."""
DECAY: Final = 0.4
"""The share of a run after which the learning rate falls, to a fiftieth at its end."""
LATE: Final = 0.1
"""The share of its time by which a run may lag behind its tokens before the clock paces it."""
_DRILLS: Final = 16
"""Drills per step."""


@dataclass(frozen=True, slots=True)
class Training:
    """How much to train: tokens of episodes, of a batch; of drills before.

    Episodes are at first cut between turns to ``shortest`` tokens; while ``growth`` of the run passes, that grows to ``usual``.
    From then on one pool of episodes in ``whole`` is read up to ``longest``: a long page is dear and tells one number.
    """

    tokens: int
    batch: int = 2048
    rate: float = 3e-3
    shortest: int = 400
    usual: int = 1200
    longest: int = 3400
    whole: int = 3
    growth: float = 0.35
    drill_tokens: int = 200_000


@dataclass(frozen=True, slots=True)
class Learned:
    """What a training run was. ``loss``: of the last hundred steps, nats per token that the assistant says."""

    tokens: int
    steps: int
    seconds: float
    first_loss: float
    loss: float
    paced_by: str


def drill(
    model: Any, tokenizer: Any, training: Training, *, seed: int, device: str, seconds: float = float("inf")
) -> float:
    """Trains recall on random names and ids; returns the share of tokens recalled in the last step."""
    import torch
    from torch.nn.functional import cross_entropy

    exercises = drills(tokenizer, random.Random(f"drills {seed}"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.rate, betas=(0.9, 0.95), weight_decay=0.01)
    recalled, seen, step, started = 0.0, 0, 0, time.monotonic()
    while seen < training.drill_tokens and time.monotonic() - started < seconds:
        _set_rate(optimizer, training.rate * min(1.0, (step + 1) / 20))
        some = [next(exercises) for _ in range(_DRILLS)]
        ids = torch.tensor([ids for ids, _ in some], device=device)
        due = torch.tensor([due for _, due in some], device=device)[:, 1:]
        logits, wanted = _logits(model, ids, due, device)
        _step(model, optimizer, cross_entropy(logits.float(), wanted))
        recalled = (logits.argmax(-1) == wanted).float().mean().item()
        seen, step = seen + ids.numel(), step + 1
    return recalled


def learn(
    model: Any,
    episodes: Sequence[Encoded],
    training: Training,
    *,
    seed: int,
    device: str,
    seconds: float = float("inf"),
    watch: Callable[[float, int, float], float] | None = None,
) -> Learned:
    """Trains on episodes until the tokens are used up or the seconds are over (by a tenth, if the clock did not pace it).

    ``watch(elapsed, tokens, loss)`` is called after every step; the seconds that it returns do not count.
    """
    import torch
    from torch.nn.functional import cross_entropy

    optimizer = torch.optim.AdamW(model.parameters(), lr=training.rate, betas=(0.9, 0.95), weight_decay=0.01)
    losses: list[float] = []
    tokens, away, progress, late, started = 0, 0.0, 0.0, False, time.monotonic()

    chance = random.Random(f"lengths {seed}")

    def limit() -> int:
        grown = min(1.0, progress / training.growth)
        if grown == 1.0 and chance.random() * training.whole < 1:
            return training.longest
        return round(training.shortest + grown * (training.usual - training.shortest))

    for batch in batches(episodes, training.batch, limit, random.Random(f"batches {seed}")):
        elapsed = time.monotonic() - started - away
        progress = tokens / training.tokens
        late = late or elapsed / seconds > progress + LATE
        if late:
            progress = max(progress, elapsed / seconds)
        if progress >= 1:
            break
        falling = min(1.0, (1 - progress) / (1 - DECAY))
        _set_rate(optimizer, training.rate * min((len(losses) + 1) / WARM_UP, max(falling, 0.02)))
        ids, said = (one.to(device) for one in tensors(batch))
        logits, wanted = _logits(model, ids, said[:, 1:], device)
        loss = cross_entropy(logits.float(), wanted)
        _step(model, optimizer, loss)
        losses.append(loss.item())
        tokens += ids.numel()
        if watch is not None:
            away += watch(elapsed, tokens, _mean(losses[-100:]))
    used = time.monotonic() - started - away
    paced_by = "minutes" if late else "tokens"
    return Learned(tokens, len(losses), used, _mean(losses[:10]), _mean(losses[-100:]), paced_by)


def _logits(model: Any, ids: Any, wanted: Any, device: str) -> tuple[Any, Any]:
    """Logits of the tokens after each place, only where ``wanted``: (places, vocabulary), and the right tokens."""
    import torch

    mixed = torch.autocast("cuda", torch.bfloat16) if device == "cuda" else nullcontext()
    with mixed:
        states = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][wanted]
        return model.lm_head(states), ids[:, 1:][wanted]


def _step(model: Any, optimizer: Any, loss: Any) -> None:
    import torch

    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _set_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
