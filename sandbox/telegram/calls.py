"""Reads a Bot API request into aiogram's model of the method, and remembers what was called."""

import time
import types
import typing
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from aiogram import methods
from aiogram.client.default import Default
from aiogram.methods import TelegramMethod
from aiohttp import BodyPartReader, web
from pydantic import ValidationError

from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.files import UPLOAD_BYTES_MAX
from sandbox.telegram.state import Json

CALLS_MAX = 20_000
FIELD_BYTES_MAX = 4 * 1024 * 1024
FIELDS_MAX = 200

Method = type[TelegramMethod[Any]]
METHODS: dict[str, Method] = {
    cls.__api_method__.lower(): cls
    for cls in vars(methods).values()
    if isinstance(cls, type) and issubclass(cls, TelegramMethod) and cls is not TelegramMethod
}


@dataclass(slots=True)
class Upload:
    """A file that came with a call."""

    name: str
    mime_type: str | None
    content: bytes


def _is_plain(annotation: Any) -> bool:
    """Whether the field is a string (or may be one only), so that its value is never read as JSON."""
    if annotation is str or annotation is None or annotation is type(None):
        return True
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return all(_is_plain(item) or item is Default for item in typing.get_args(annotation))
    return False


_PLAIN: dict[str, frozenset[str]] = {}


def _plain_fields(cls: Method) -> frozenset[str]:
    name = cls.__api_method__
    if name not in _PLAIN:
        _PLAIN[name] = frozenset(field for field, info in cls.model_fields.items() if _is_plain(info.annotation))
    return _PLAIN[name]


async def read_params(request: web.Request) -> tuple[Json, dict[str, Upload]]:
    """Parameters by name from query and body, and the files of a multipart body by field name."""
    params: Json = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.method == "GET" or not request.body_exists:
        return params, uploads
    kind = request.content_type
    if kind == "application/json":
        raw = await request.read()
        try:
            body = orjson.loads(raw) if raw else {}
        except orjson.JSONDecodeError as error:
            raise bad_request("can't parse request: body is not JSON") from error
        if not isinstance(body, dict):
            raise bad_request("can't parse request: JSON object expected")
        params.update(body)
    elif kind == "multipart/form-data":
        await _read_multipart(request, params, uploads)
    else:
        params.update(await request.post())
    return params, uploads


async def _read_multipart(request: web.Request, params: Json, uploads: dict[str, Upload]) -> None:
    reader = await request.multipart()
    count = 0
    async for part in reader:
        count += 1
        if not isinstance(part, BodyPartReader) or part.name is None or count > FIELDS_MAX:
            raise bad_request("can't parse request: unexpected multipart")
        if part.filename is None:
            params[part.name] = (await _read_part(part, FIELD_BYTES_MAX)).decode("utf-8", "replace")
        else:
            content = await _read_part(part, UPLOAD_BYTES_MAX)
            uploads[part.name] = Upload(part.filename, part.headers.get("Content-Type"), content)


async def _read_part(part: BodyPartReader, bytes_max: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(65_536):
        content += chunk
        if len(content) > bytes_max:
            raise ApiError(413, "Request Entity Too Large")
    return bytes(content)


def decode(cls: Method, params: Json, uploads: dict[str, Upload]) -> Json:
    """Values as JSON: form fields that hold objects are read, a file under a field's own name becomes attach://."""
    plain = _plain_fields(cls)
    decoded: Json = {}
    for name, value in params.items():
        if value is None:
            continue
        if isinstance(value, str) and name not in plain and value[:1] in ("{", "["):
            try:
                value = orjson.loads(value)  # noqa: PLW2901
            except orjson.JSONDecodeError as error:
                raise bad_request(f"can't parse {name}: not JSON") from error
        decoded[name] = value
    for name in uploads:
        if name in cls.model_fields and name not in decoded:
            decoded[name] = f"attach://{name}"
    return decoded


def validate(cls: Method, decoded: Json) -> TelegramMethod[Any]:
    """The call as aiogram's model; raises 400 in Telegram's words where it has some for the field."""
    try:
        return cls.model_validate(decoded)
    except ValidationError as failure:
        error = failure.errors()[0]
        where = ".".join(str(part) for part in error["loc"][:3])
        if error["type"] == "missing" and where in {"text", "chat_id", "message_id"}:
            words = {"text": "message text is empty", "chat_id": "chat_id is empty"}
            raise bad_request(words.get(where, "message identifier is not specified")) from failure
        raise bad_request(f"parameter {where}: {error['msg']}") from failure


def unknown_params(cls: Method, params: Json) -> list[str]:
    """Names that the method does not have; Telegram ignores them, a test may not want to."""
    return [name for name in params if name not in cls.model_fields]


def chat_of(decoded: Json) -> int | None:
    """The chat that a call concerns, where that can be read."""
    value = decoded.get("chat_id", decoded.get("user_id"))
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None


class CallLog:
    """The last CALLS_MAX calls, as the control API shows them."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.ring: deque[Json] = deque(maxlen=CALLS_MAX)

    def clear(self) -> None:
        """Forgets the calls; numbers go on."""
        self.ring.clear()

    def add(self, method: str, params: Json, *, began: float, body: Json, fault: str | None, unknown: list[str]) -> int:
        """Remembers a finished call; `began` is monotonic, `body` what was (or would have been) answered."""
        self.last_seq += 1
        now = time.monotonic()
        error = None if body.get("ok") else {key: value for key, value in body.items() if key != "ok"}
        self.ring.append(
            {
                "seq": self.last_seq,
                "method": method,
                "chat_id": chat_of(params),
                "params": params,
                "ok": bool(body.get("ok")),
                "result": body.get("result"),
                "error": error,
                "at": time.time() - (now - began),
                "at_monotonic": began,
                "duration_ms": round((now - began) * 1000, 3),
                "fault": fault,
                "unknown_params": unknown,
            }
        )
        return self.last_seq

    def select(
        self, *, method: str | None, chat_id: int | None, since: int, limit: int, ok: bool | None
    ) -> Iterator[Json]:
        """Calls after `since`, oldest first, at most `limit`; method in any case."""
        wanted = method.lower() if method else None
        for call in self.ring:
            if limit <= 0:
                return
            if call["seq"] <= since or (wanted and call["method"].lower() != wanted):
                continue
            if (chat_id is not None and call["chat_id"] != chat_id) or (ok is not None and call["ok"] != ok):
                continue
            limit -= 1
            yield call
