"""One row of text or chat as token ids, with the labels that its loss is taken on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maas_jupyter.errors import InvalidInput

#: torch's own mark for a token that the loss leaves out.
IGNORED = -100

Message = Mapping[str, str]
Tokens = tuple[list[int], list[int]]


def text_tokens(tokenizer: Any, text: str) -> Tokens:
    """Return ids and labels of a text: every token is learned, and that it ends."""
    ids = _opening(tokenizer) + _plain(tokenizer, text)
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    return ids, list(ids)


def completion_tokens(tokenizer: Any, prompt: str, completion: str) -> Tokens:
    """Return ids and labels of a prompt and its completion, without a template: the completion alone is learned."""
    before = _opening(tokenizer) + _plain(tokenizer, prompt)
    after = _plain(tokenizer, completion)
    if tokenizer.eos_token_id is not None:
        after.append(tokenizer.eos_token_id)
    return before + after, [IGNORED] * len(before) + after


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _opening(tokenizer: Any) -> list[int]:
    """Return the token that the tokenizer begins a text with, for a model that never saw one begin without it."""
    first = list(tokenizer("", verbose=False)["input_ids"])[:1]
    return first if first == [tokenizer.bos_token_id] else []


def chat_tokens(tokenizer: Any, messages: Sequence[Message], *, where: str) -> Tokens:
    """Return ids and labels of a conversation in the tokenizer's template: the assistant's answers alone are learned.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
        Has a chat template.
    messages : sequence of mapping
        ``role`` and ``content`` of each, in order.
    where : str
        How error messages call the row.

    Raises
    ------
    InvalidInput
        If the messages are not a conversation with an answer, or the template does not render turns one after another.
    """
    _check(messages, where)
    whole = _rendered(tokenizer, messages, where)
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _rendered(tokenizer, messages[:index], where, add_generation_prompt=True)
        until = _rendered(tokenizer, messages[: index + 1], where)
        if not (until.startswith(before) and whole.startswith(until.rstrip())):
            raise InvalidInput(
                f"The chat template renders {where} differently once more messages follow; it is not clear which "
                "tokens are the answer.",
                hint="Pass one row for each answer, with the messages before it.",
            )
        start = len(before)
        if before == _rendered(tokenizer, messages[:index], where):
            # Nothing opens the answer for generation: a role in front of it is the template's, not the answer's.
            start = max(start, until.find(message["content"].strip(), start))
        # A template that ends a turn with whitespace may give that to the next turn.
        spans.append((start, min(len(until), len(whole))))
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = list(encoded["input_ids"])
    labels = [
        token if any(first < end and last > start for start, end in spans) and last > first else IGNORED
        for token, (first, last) in zip(ids, encoded["offset_mapping"], strict=True)
    ]
    return ids, labels


def _rendered(tokenizer: Any, messages: Sequence[Message], where: str, **options: bool) -> str:
    if not messages:
        return ""
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))
    except Exception as error:
        # A template is a program of the model's author and raises what it likes.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"The tokenizer's chat template refuses {where}: {reason}",
            hint="Look at the order of roles that the model was made for.",
        ) from error


def _check(messages: Any, where: str) -> None:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InvalidInput(
            f"'messages' of {where} is not a list of messages.",
            hint="Write [{'role': 'user', 'content': '...'}, {'role': 'assistant', 'content': '...'}].",
        )
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidInput(
                f"A message of {where} has no role.", hint="Each message has 'role' and 'content', both texts."
            )
        if not isinstance(message.get("content"), str):
            raise InvalidInput(
                f"A message of {where} has no text as its 'content'.",
                hint="Each message has 'role' and 'content', both texts.",
            )
    if all(message["role"] != "assistant" for message in messages):
        raise InvalidInput(
            f"{where.capitalize()} has no answer: none of its messages is the assistant's.",
            hint="The loss is taken on the assistant's messages; add one to each row.",
        )
