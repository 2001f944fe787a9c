"""The probe's tokenizer: a byte-level BPE made for records, learned from a release's rows.

What an agent copies out of records (ids, numbers, times, names) is cut the same way wherever it stands: UUIDs and digits into
pairs, a space apart from a capitalised word. What stands between ids and numbers, and stands so in the records of many
patients, is one token; so an Observation of 1,100 characters is about 150 tokens.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhirtasks.episodes.tools import raw_of
from fhirtasks.episodes.types import Message, Protocol

PAD, USER, ASSISTANT, END = SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")

UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PAIR: Final = (
    # A pair of a UUID (a piece of its own by now), the dash before it included; \z is the end of the piece.
    r"-[0-9a-f]{2}(?=[0-9a-f]{2}(?:-[0-9a-f]{4}){0,2}-[0-9a-f]{12}\z|[0-9a-f]{10}\z)|[0-9a-f]{2}(?=(?:-?[0-9a-f]{2})*\z)"
)
_PIECE: Final = (
    rf"%[0-9A-F]{{2}}|{_PAIR}|[0-9]{{1,2}}|\p{{Lu}}\p{{L}}*| ?\p{{Ll}}\p{{L}}*|\p{{L}}+|\s+| ?[^\s\p{{L}}\p{{N}}%]+"
)
_VARIABLE: Final = re.compile(rf"{UUID}|%[0-9A-F]{{2}}|[A-Z]?[0-9]{{2,}}|(?<![a-z])[A-Z]?[0-9]|\n")
"""What differs from record to record (a digit in ``hl7`` does not), and line ends."""

_ENCODED: Final = ("%20", "%24", "%2B", "%2C", "%2F", "%3A", "%5C", "%7C")
"""Signs that URLs encode."""
_SHORTEST: Final = 6
"""Characters of a phrase."""
_PATIENTS: Final = 20
"""A phrase stands in the records of at least one patient in so many (and of five)."""
_VOCABULARY: Final = 3000
"""Tokens besides the phrases."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """An episode in tokens. ``said[i]``: token i is the assistant's (its end included); ``ends``: after each of its turns."""

    family: str
    tokens: tuple[int, ...]
    said: tuple[bool, ...]
    ends: tuple[int, ...]

    def within(self, limit: int) -> int:
        """The length of the longest whole turns that ``limit`` tokens hold; 0 if it does not hold the first."""
        return max((end for end in self.ends if end <= limit), default=0)


def text_of(message: Message, protocol: Protocol) -> str:
    """A message as the model reads or says it: an assistant's is the raw text that the environment takes."""
    return raw_of(message) if message.role == "assistant" and protocol != "text" else message.content


def make_tokenizer(episodes: Sequence[tuple[str, Sequence[str]]]) -> Any:
    """Learns a ``tokenizers.Tokenizer`` from episodes: a patient, and the texts (prompt first) each."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(UUID), "isolated"),
            pre_tokenizers.Split(Regex(_PIECE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    found = phrases(episodes)
    between = re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True))) or r"(?!)")
    texts = [between.sub("\n", text) for _, texts in episodes for text in texts]
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *_every_pair(len(texts))], trainer)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in found])
    return tokenizer


def phrases(episodes: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What stands between ids and numbers in the replies and actions of many patients, or in every other prompt."""
    patients: defaultdict[str, set[str]] = defaultdict(set)
    prompts: Counter[str] = Counter()
    for patient, (prompt, *texts) in episodes:
        prompts.update(set(_VARIABLE.split(prompt)))
        for text in texts:
            for between in _VARIABLE.split(text):
                patients[between].add(patient)
    many = max(5, len({patient for patient, _ in episodes}) // _PATIENTS)
    found = {between for between, seen in patients.items() if len(seen) >= many}
    found |= {between for between, count in prompts.items() if 2 * count >= len(episodes)}
    return sorted(between for between in found if len(between) >= _SHORTEST)


def encode(tokenizer: Any, family: str, messages: Sequence[Message], protocol: Protocol) -> Encoded:
    """An episode in tokens: each message between its role's mark and the end mark."""
    tokens: list[int] = []
    said: list[bool] = []
    ends: list[int] = []
    for message, ids in zip(
        messages, tokenizer.encode_batch([text_of(message, protocol) for message in messages]), strict=True
    ):
        mine = message.role == "assistant"
        marked = [tokenizer.token_to_id(ASSISTANT if mine else USER), *ids.ids, tokenizer.token_to_id(END)]
        tokens += marked
        said += [False, *([mine] * (len(marked) - 1))]
        if mine:
            ends.append(len(tokens))
    return Encoded(family, tuple(tokens), tuple(said), tuple(ends))


def _every_pair(times: int) -> Iterator[str]:
    """Texts in which every pair of digits is frequent: hexadecimal with a dash and without, decimal; and encoded signs."""
    for start in range(256):
        digits = "".join(f"{(start + step) % 256:02x}" for step in range(16))
        uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        for _ in range(max(20, times // 50)):
            yield uuid
    for _ in range(max(50, times // 10)):
        yield from (f" {number:02d}" for number in range(100))
        yield from _ENCODED
