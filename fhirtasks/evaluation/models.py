"""Models as policies: any OpenAI-compatible endpoint, or a local transformers model, several conversations at a time."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from fhirtasks.episodes.text import exact
from fhirtasks.episodes.tools import raw_message, read_message, wire
from fhirtasks.episodes.transcripts import printable
from fhirtasks.episodes.types import Message, PublicTask
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import Json, dumps

Policy: TypeAlias = Callable[[PublicTask, Sequence[Message]], str]
"""The next raw assistant text, given the task and the conversation so far: all that a policy sees."""

MAX_TOKENS: Final = 2048
"""Tokens of one reply, and below the seconds and tries of one request: the benchmark's own settings."""
TIMEOUT_S: Final = 120.0
TRIES: Final = 3
LONGEST_S: Final = 600.0
"""Seconds that one reply may take in all, however steadily its bytes come."""
LONGEST_WAIT_S: Final = 60.0
"""Seconds that are waited at most before a request is made again, whatever the server asks for."""
FEWEST_TOKENS: Final = 256
"""Tokens of a reply that are asked for at least, where a server says that prompt and reply are too long together."""

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_THINKING = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
_TOO_LONG = re.compile(
    r"context.?(length|size|window|limit)|prompt is too long|(input|prompt|request).{0,40}too (long|large|many tokens)"
    r"|max_tokens.{0,20}too large|maximum.{0,20}(context|input|prompt|sequence)|max_(model|seq)_len|exceeds.{0,40}tokens",
    re.IGNORECASE | re.DOTALL,
)


class InfrastructureError(Exception):
    """The model could not be asked: no fault of the policy, counted apart."""


class TooLong(InfrastructureError):
    """The conversation does not fit into the model's context, as the server says."""


class Cut(str):
    """A raw assistant text that was cut off at its longest length."""


class Unasked(str):
    """Why there is no assistant text: the model could not be asked."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model that is asked about up to ``batch`` conversations at a time and gives the next raw assistant text of each."""

    speak: Callable[[Sequence[tuple[PublicTask, Sequence[Message]]]], list[str]]
    batch: int = 1

    def __call__(self, asked: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        return self.speak(asked)


def without_thinking(text: str) -> str:
    """The text without reasoning, which is no part of the protocol: neither dispatched nor recorded."""
    text = _THINKING.sub("", text)
    # A template that opens the block itself leaves only the closing tag in the reply.
    return text.rpartition("</think>")[2].lstrip() if "</think>" in text else text


def endpoint_policy(
    endpoint: str, model: str | None, *, temperature: float = 0, max_tokens: int | None = None,
    transport: httpx.BaseTransport | None = None,
) -> Policy:  # fmt: skip
    """A policy that asks an OpenAI-compatible server; the key comes from OPENAI_API_KEY. UserError for a bad URL.

    A message ends after ``max_tokens``, :data:`MAX_TOKENS` unless given.
    """
    client, url = connect(endpoint, model, "--endpoint", "--model", transport)
    settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens or MAX_TOKENS}

    def said(body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """The reply; a server that refuses a setting by its name is asked without it, from then on."""
        nonlocal settings
        for _ in range(len(settings) + 1):
            tried = settings
            try:
                return _within(client, url, body, tried)
            except TooLong:
                raise
            except InfrastructureError as error:
                settings = accepted(tried, str(error))
                if settings == tried:
                    raise
        raise InfrastructureError("the server refuses max_tokens and temperature")

    def policy(task: PublicTask, messages: Sequence[Message]) -> str:
        body: dict[str, Any] = {"model": model, "messages": wire(messages, arguments_as_text=True)}
        if task.tools:
            body["tools"] = list(task.tools)
        try:
            message, cut = said(body)
        except TooLong:  # the model has nothing left to say: what it did so far is judged
            message, cut = {"content": ""}, True
        content = without_thinking(message["content"])
        raw = printable(dumps({"content": content, "tool_calls": _calls(message)})) if task.tools else content
        return Cut(raw) if cut else raw

    return policy


def accepted(settings: Mapping[str, Any], refusal: str) -> dict[str, Any]:
    """The settings as a server that refuses them wants them: OpenAI's reasoning models count another limit, and sample alone."""
    found = dict(settings)
    if "HTTP 400" in refusal and "max_completion_tokens" in refusal and "max_tokens" in found:
        found["max_completion_tokens"] = found.pop("max_tokens")
    elif "HTTP 400" in refusal and "temperature" in refusal:
        found.pop("temperature", None)
    return found


def _within(
    client: httpx.Client, url: str, body: dict[str, Any], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], bool]:
    """The reply, asked for with fewer tokens while prompt and reply do not fit together. TooLong if the prompt itself does not."""
    limit = "max_tokens" if "max_tokens" in settings else "max_completion_tokens"
    tokens = settings[limit]
    while True:
        try:
            return _asked(client, url, {**body, **settings, limit: tokens})
        except TooLong:
            if tokens <= FEWEST_TOKENS:
                raise
            tokens = max(FEWEST_TOKENS, tokens // 2)


def connect(
    endpoint: str, model: str | None, option: str, model_option: str, transport: httpx.BaseTransport | None = None
) -> tuple[httpx.Client, str]:
    """A client, and the URL to post chats to. UserError, in the words of these options, for a bad URL or no model."""
    try:
        usable = httpx.URL(endpoint).scheme in ("http", "https")
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise UserError(
            f"{option} is {endpoint!r}; give the base URL of an OpenAI-compatible server, such as http://host/v1."
        )
    if not model:
        raise UserError(f"{option} needs {model_option}, the model's name at that server.")
    key = (os.environ.get("OPENAI_API_KEY") or "").strip()
    if not key.isascii() or not key.isprintable():
        raise UserError("OPENAI_API_KEY holds characters that no key has; set it to the key alone.")
    client = httpx.Client(
        timeout=TIMEOUT_S, transport=transport, headers={"Authorization": f"Bearer {key}"} if key else {}
    )
    return client, endpoint.rstrip("/") + "/chat/completions"


def endpoint_speaker(endpoint: str, model: str | None, *, batch: int, temperature: float) -> Speaker:
    """The same server, asked about several conversations at a time; :class:`Unasked` where it gives no reply to one."""
    policy = endpoint_policy(endpoint, model, temperature=temperature)

    def say(one: tuple[PublicTask, Sequence[Message]]) -> str:
        try:
            return policy(*one)
        except InfrastructureError as error:
            return Unasked(str(error))

    def speak(asked: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        with ThreadPoolExecutor(batch) as pool:
            return list(pool.map(say, asked))

    return Speaker(speak, batch)


def ask(client: httpx.Client, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The message that an endpoint replies."""
    return _asked(client, url, body)[0]


def _asked(client: httpx.Client, url: str, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The message that an endpoint replies, and whether it was cut off. TooLong where it says that the conversation is."""
    reason, wait = "", 0.0
    for attempt in range(TRIES):
        if attempt:
            time.sleep(max(2.0 ** (attempt - 1), wait))
        try:
            status, headers, text = _posted(client, url, body)
        except httpx.HTTPError as error:
            reason, wait = _shown(f"{type(error).__name__}: {error}"), 0.0
            continue
        if 200 <= status < 300:
            try:
                return _said(text)
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
                # Also a body that was cut off, and an error of the server behind it: worth another try.
                reason, wait = _shown(f"the endpoint's reply is no chat completion: {text}"), _wait(headers)
                continue
        if 300 <= status < 400:
            raise InfrastructureError(
                _shown(f"HTTP {status}: it redirects to {headers.get('location', '')}; give that URL")
            )
        reason, wait = _shown(f"HTTP {status}: {text}"), _wait(headers)
        if status in (400, 413, 422) and _TOO_LONG.search(text):
            raise TooLong(reason)
        if status < 500 and status not in (408, 409, 425, 429):
            break
    raise InfrastructureError(reason)


def _posted(client: httpx.Client, url: str, body: dict[str, Any]) -> tuple[int, httpx.Headers, str]:
    """Status, headers and text of the reply. An httpx.ReadTimeout also where bytes come, but never all of them."""
    until = time.monotonic() + LONGEST_S
    with client.stream("POST", url, json=body) as reply:
        data = bytearray()
        for part in reply.iter_bytes():
            data += part
            if time.monotonic() > until:
                raise httpx.ReadTimeout(f"the reply did not end within {LONGEST_S:.0f} seconds")
        return reply.status_code, reply.headers, data.decode("utf-8", "replace")


def _wait(headers: httpx.Headers) -> float:
    """The seconds that ``Retry-After`` asks for (a number, or a date), at most :data:`LONGEST_WAIT_S`; 0 without it."""
    asked = headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(seconds, LONGEST_WAIT_S) if seconds > 0 else 0.0


def _shown(text: str) -> str:
    """The beginning of what a server said, as a terminal can show it."""
    return "".join(sign if sign.isprintable() else " " for sign in printable(text[:220]))


def _said(text: str) -> tuple[dict[str, Any], bool]:
    # Numbers keep their digits; what is no number becomes a text, so that it can be written again.
    choice = json.loads(text, parse_float=Decimal, parse_constant=str)["choices"][0]
    message = choice["message"]
    message["content"] = _text(message.get("content"))
    return message, choice.get("finish_reason") == "length"


def _text(content: Any) -> str:
    """The text of a message's content, also in parts; what a part of another kind holds (reasoning) is none."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in _TEXTS]
        content = "".join(part for part in parts if isinstance(part, str))
    return printable(content) if isinstance(content, str) else ""


_TEXTS: Final = (None, "text", "output_text")
"""Kinds of the parts of a message that are its text."""


def _calls(message: Mapping[str, Any]) -> Json:
    """The calls of a message as it has them; none where they are of a shape that cannot be written."""
    calls: Json = message.get("tool_calls") or []
    try:
        dumps(calls)
    except (ValueError, TypeError, RecursionError):
        return []
    return calls


def local_policy(model: str) -> Policy:
    """A policy that runs a transformers model from a folder or the Hub, greedily, through its chat template."""
    speaker = local_speaker(model)
    return lambda task, messages: speaker([(task, messages)])[0]


def local_speaker(
    model: str, *, batch: int = 1, temperature: float = 0.0, max_tokens: int | None = None, seed: int = 0
) -> Speaker:
    """A transformers model from a folder or the Hub, through its chat template, with tools where the task has them.

    Greedy, or sampled at a temperature above 0 (the same texts for the same seed, batches and machine). A message ends after
    ``max_tokens``, :data:`MAX_TOKENS` unless given. UserError for what cannot be loaded.
    """
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise UserError(
            "A local model needs the train extra (pip install 'fhirtasks[train]'), or give --endpoint."
        ) from None
    check_local(model)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="left")
        network: Any = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The model {model} cannot be loaded: {str(error).splitlines()[0]}") from error
    if not tokenizer.chat_template:
        raise UserError(f"The tokenizer of {model} has no chat template; take an instruction-tuned model.")
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise UserError(f"The tokenizer of {model} has neither a pad_token nor an eos_token; name one in its settings.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    torch.manual_seed(seed)
    known = network.generation_config.eos_token_id
    stops = {
        one for one in (*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id) if one is not None
    }
    positions = getattr(network.config, "max_position_embeddings", None)
    how: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        how = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}

    def speak(asked: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        texts = [
            tokenizer.apply_chat_template(
                wire(messages), tools=list(task.tools) or None, tokenize=False, add_generation_prompt=True,
                enable_thinking=False,
            )
            for task, messages in asked
        ]  # fmt: skip
        lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
        fits = [place for place, length in enumerate(lengths) if positions is None or length < positions]
        # A conversation that fills the model's positions leaves nothing to say: what was done so far is judged.
        said: dict[int, str] = {
            place: Cut(raw_message("", []) if asked[place][0].tools else "") for place in range(len(asked))
        }
        if fits:
            said |= dict(
                zip(fits, generate([asked[place][0] for place in fits], [texts[place] for place in fits]), strict=True)
            )
        return [said[place] for place in range(len(asked))]

    def generate(tasks: Sequence[PublicTask], texts: list[str]) -> list[str]:
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(network.device)
        width = inputs["input_ids"].shape[1]
        most = max_tokens or MAX_TOKENS
        with torch.no_grad():
            output = network.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], eos_token_id=sorted(stops),
                max_new_tokens=most if positions is None else min(most, positions - width),
                pad_token_id=tokenizer.pad_token_id, **how,
            )  # fmt: skip
        return [
            _local(tokenizer, ids, stops, task) for ids, task in zip(output[:, width:].tolist(), tasks, strict=True)
        ]

    return Speaker(speak, batch)


def check_local(model: str) -> None:
    """UserError for what is neither a folder nor a Hub name."""
    if ("/" not in model or model.startswith((".", "/"))) and not Path(model).is_dir():
        raise UserError(f"There is no model folder {model}; give a folder, a Hub name, or --endpoint for a server.")


def _local(tokenizer: Any, ids: list[int], stops: set[int], task: PublicTask) -> str:
    """The raw assistant text of generated tokens, which end at the first that stops."""
    end = next((place for place, token in enumerate(ids) if token in stops), None)
    ids = ids if end is None else ids[: end + 1]
    text = without_thinking(printable(tokenizer.decode(ids, skip_special_tokens=True)))
    raw = _calling(tokenizer, ids, text) if task.tools else text
    return Cut(raw) if end is None else raw


def _calling(tokenizer: Any, ids: list[int], text: str) -> str:
    """A raw message of the calls that a text makes: as the tokenizer reads them, else ``<tool_call>`` around JSON text."""
    if getattr(tokenizer, "response_template", None) or getattr(tokenizer, "response_schema", None):
        try:
            found = tokenizer.parse_response(ids)
            content = printable(found.get("content") or "").removesuffix(tokenizer.eos_token or "")
            _, calls = read_message(dumps({"tool_calls": found.get("tool_calls") or []}))
            if calls:
                return raw_message(without_thinking(content), calls)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            pass  # no message by the tokenizer's own reading
    try:
        called: list[Json] = [exact(one) for one in _CALL.findall(text)]
        _, calls = read_message(dumps({"tool_calls": called}))
    except (ValueError, RecursionError):
        return raw_message(text, [])  # a call that cannot be read is none
    return raw_message(_CALL.sub("", text).strip() if calls else text, calls)
