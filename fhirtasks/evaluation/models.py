"""Models as policies: any OpenAI-compatible endpoint, or a local transformers model, several conversations at a time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_THINKING = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


class InfrastructureError(Exception):
    """The model could not be asked: no fault of the policy, counted apart."""


class Cut(str):
    """A raw assistant text that was cut off at its longest length."""


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

    def policy(task: PublicTask, messages: Sequence[Message]) -> str:
        chat = wire(messages, arguments_as_text=True)
        body = {"model": model, "messages": chat, "temperature": temperature, "max_tokens": max_tokens or MAX_TOKENS}
        if task.tools:
            body["tools"] = list(task.tools)
        said, cut = _asked(client, url, body)
        content = without_thinking(_content(said))
        raw = dumps({"content": content, "tool_calls": said.get("tool_calls") or []}) if task.tools else content
        return Cut(raw) if cut else raw

    return policy


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
    key = os.environ.get("OPENAI_API_KEY")
    client = httpx.Client(
        timeout=TIMEOUT_S, transport=transport, headers={"Authorization": f"Bearer {key}"} if key else {}
    )
    return client, endpoint.rstrip("/") + "/chat/completions"


def endpoint_speaker(endpoint: str, model: str | None, *, batch: int, temperature: float) -> Speaker:
    """The same server, asked about several conversations at a time."""
    policy = endpoint_policy(endpoint, model, temperature=temperature)

    def speak(asked: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        with ThreadPoolExecutor(batch) as pool:
            return list(pool.map(lambda one: policy(*one), asked))

    return Speaker(speak, batch)


def ask(client: httpx.Client, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The message that an endpoint replies."""
    return _asked(client, url, body)[0]


def _asked(client: httpx.Client, url: str, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The message that an endpoint replies, and whether it was cut off."""
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            reply = client.post(url, json=body)
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        if reply.status_code < 400:
            return _said(reply)
        reason = f"HTTP {reply.status_code}: {reply.text[:200]}"
        if reply.status_code < 500 and reply.status_code not in (408, 409, 425, 429):
            break
    raise InfrastructureError(reason)


def _said(reply: httpx.Response) -> tuple[dict[str, Any], bool]:
    try:
        choice = reply.json()["choices"][0]
        message = choice["message"]
        message["content"] = message.get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise InfrastructureError(f"the endpoint's reply is no chat completion: {reply.text[:200]}") from None
    return message, choice.get("finish_reason") == "length"


def _content(message: dict[str, Any]) -> str:
    content = message["content"]
    return printable(content) if isinstance(content, str) else ""


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
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise UserError(
            "A local model needs the train extra (pip install 'fhirtasks[train]'), or give --endpoint."
        ) from None
    check_local(model)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="left")
        network: Any = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
    except (OSError, ValueError) as error:
        raise UserError(f"The model {model} cannot be loaded: {str(error).splitlines()[0]}") from error
    if not tokenizer.chat_template:
        raise UserError(f"The tokenizer of {model} has no chat template; take an instruction-tuned model.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    torch.manual_seed(seed)
    known = network.generation_config.eos_token_id
    stops = {
        one for one in (*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id) if one is not None
    }
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
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(network.device)
        with torch.no_grad():
            output = network.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=max_tokens or MAX_TOKENS,
                eos_token_id=sorted(stops), pad_token_id=tokenizer.pad_token_id, **how,
            )  # fmt: skip
        said = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [_local(tokenizer, ids, stops, task) for ids, (task, _) in zip(said, asked, strict=True)]

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
