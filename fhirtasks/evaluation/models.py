"""Models as policies: any OpenAI-compatible endpoint, or a local transformers model. Greedy, one message at a time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from fhirtasks.episodes.tools import wire
from fhirtasks.episodes.transcripts import printable
from fhirtasks.episodes.types import Message, PublicTask
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import dumps

Policy: TypeAlias = Callable[[PublicTask, Sequence[Message]], str]
"""The next raw assistant text, given the task and the conversation so far: all that a policy sees."""

MAX_TOKENS: Final = 2048
"""Tokens of one reply, and below the seconds and tries of one request: the benchmark's own settings."""
TIMEOUT_S: Final = 120.0
TRIES: Final = 3

_THINKING = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


class InfrastructureError(Exception):
    """The model could not be asked: no fault of the policy, counted apart."""


def without_thinking(text: str) -> str:
    """The text without reasoning, which is no part of the protocol: neither dispatched nor recorded."""
    text = _THINKING.sub("", text)
    # A template that opens the block itself leaves only the closing tag in the reply.
    return text.rpartition("</think>")[2].lstrip() if "</think>" in text else text


def endpoint_policy(endpoint: str, model: str | None, *, transport: httpx.BaseTransport | None = None) -> Policy:
    """A policy that asks an OpenAI-compatible server; the key comes from OPENAI_API_KEY. UserError for a bad URL."""
    client, url = connect(endpoint, model, "--endpoint", "--model", transport)

    def policy(task: PublicTask, messages: Sequence[Message]) -> str:
        chat = wire(messages, arguments_as_text=True)
        body = {"model": model, "messages": chat, "temperature": 0, "max_tokens": MAX_TOKENS}
        if task.tools:
            body["tools"] = list(task.tools)
        said = ask(client, url, body)
        content = without_thinking(_content(said))
        return dumps({"content": content, "tool_calls": said.get("tool_calls") or []}) if task.tools else content

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


def ask(client: httpx.Client, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The message that an endpoint replies."""
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


def _said(reply: httpx.Response) -> dict[str, Any]:
    try:
        message = reply.json()["choices"][0]["message"]
        message["content"] = message.get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise InfrastructureError(f"the endpoint's reply is no chat completion: {reply.text[:200]}") from None
    found: dict[str, Any] = message
    return found


def _content(message: dict[str, Any]) -> str:
    content = message["content"]
    return printable(content) if isinstance(content, str) else ""


def local_policy(model: str) -> Policy:
    """A policy that runs a transformers model from a folder or the Hub, greedily, through its chat template."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise UserError(
            "A local model needs the train extra (pip install 'fhirtasks[train]'), or give --endpoint."
        ) from None
    if ("/" not in model or model.startswith((".", "/"))) and not Path(model).is_dir():
        raise UserError(f"There is no model folder {model}; give a folder, a Hub name, or --endpoint for a server.")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(model)
        network: Any = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
    except (OSError, ValueError) as error:
        raise UserError(f"The model {model} cannot be loaded: {str(error).splitlines()[0]}") from error
    if not tokenizer.chat_template:
        raise UserError(f"The tokenizer of {model} has no chat template; take an instruction-tuned model.")
    network.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def policy(task: PublicTask, messages: Sequence[Message]) -> str:
        if task.tools:
            raise UserError(
                f"A local model speaks text only; serve it and give --endpoint for the protocol {task.protocol}."
            )
        chat = [{"role": message.role, "content": message.content} for message in messages]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, enable_thinking=False)
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False).to(network.device)
        with torch.no_grad():
            output = network.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        reply: str = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return without_thinking(reply)

    return policy
