"""The simulated tokenizer: deterministic, reversible, about 4 bytes of UTF-8 a token.

It imitates no model's vocabulary. What callers may rely on: `"".join(pieces(text)) == text`, a text never has more
tokens than UTF-8 bytes, and the same text always has the same tokens. A chat is rendered in the ChatML manner, so each
message costs a few tokens on top of its text, as it does on a real server.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

MESSAGE_TOKENS_EXTRA: Final = 5
"""What the template adds to a message: start mark, role, newline, end mark, newline."""

IMAGE_TOKENS: Final = 256
"""Every image counts as this many tokens; a real model's number depends on the picture's size."""

_VOCABULARY_SIZE: Final = 151_936
_START, _END, _NEWLINE, _IMAGE = "<|im_start|>", "<|im_end|>", "\n", "<|image_pad|>"
_PIECE: Final = re.compile(r" ?[^\W\d_]{1,4}|\d{1,3}| ?[^\w\s]{1,3}|\s{1,8}|.", re.DOTALL)


def pieces(text: str) -> list[str]:
    """Splits a text into its tokens; joining them gives the text back."""
    return _PIECE.findall(text)


def content_text(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "\n".join(
            str(part.get("text", "")) for part in content if isinstance(part, Mapping) and part.get("type") == "text"
        )
    return ""


def _content_pieces(content: Any) -> list[str]:
    if isinstance(content, str) or not isinstance(content, Sequence):
        return pieces(content_text(content))
    found: list[str] = []
    for part in content:
        if isinstance(part, Mapping) and part.get("type") == "text":
            found += pieces(str(part.get("text", "")))
        else:
            found += [_IMAGE] * IMAGE_TOKENS
    return found


def chat_pieces(messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True) -> list[str]:
    """The tokens of a whole chat as the template renders it; the answer is expected after the last one."""
    rendered: list[str] = []
    for message in messages:
        rendered += (_START, str(message.get("role", "")), _NEWLINE)
        rendered += _content_pieces(message.get("content"))
        rendered += (_END, _NEWLINE)
    if add_generation_prompt:
        rendered += (_START, "assistant", _NEWLINE)
    return rendered


def token_ids(tokens: Sequence[str]) -> list[int]:
    """Stable numbers for /tokenize. They are hashes, so two rare tokens may share one."""
    return [zlib.crc32(token.encode()) % _VOCABULARY_SIZE for token in tokens]
