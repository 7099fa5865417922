"""vLLM's OpenAI dialect: what a chat request may say, and the exact bodies of its errors and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from sandbox.model.answers import Answer, Wish
from sandbox.model.options import Options

DONE: Final = b"data: [DONE]\n\n"
ENGINE_DEAD_MESSAGE: Final = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class Refused(Exception):
    """A request that gets an error at once; carries the whole response."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers

    def response(self) -> web.Response:
        """As it goes out."""
        return json_response(self.body, self.status, self.headers)


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON as orjson writes it."""
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def error_body(status: int, kind: str, message: str, param: str | None = None) -> dict[str, Any]:
    """vLLM's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def bad_request(message: str, param: str | None = None) -> Refused:
    """A well-formed request that cannot be served."""
    return Refused(400, error_body(400, "BadRequestError", message, param))


def malformed(kind: str, field: str, message: str) -> Refused:
    """A request that the schema refuses; the message imitates pydantic's findings. No field: the body as a whole."""
    where = f"body.{field}" if field else "body"
    found = f"1 validation error:\n  {{'type': '{kind}', 'loc': '{where}', 'msg': '{message}'}}"
    return Refused(400, error_body(400, "Bad Request", found, where))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request after the schema's check. `max_tokens` None means: to the end of the context."""

    messages: list[dict[str, Any]]
    max_tokens: int | None
    stream: bool
    include_usage: bool
    continuous_usage: bool
    priority: int
    cache_salt: str
    min_tokens: int
    ignore_eos: bool
    stop: tuple[str, ...]
    seed: int
    reasoning: bool
    choice: str | None

    def wish(self, options: Options, prompt_tokens: int) -> Wish:
        """What the answer has to keep to, once the prompt's length is known. Raises Refused where it cannot fit."""
        limit = options.context_length
        if prompt_tokens >= limit:
            # vLLM stops counting at the limit, so it names limit + 1 and never the true length.
            raise bad_request(
                f"This model's maximum context length is {limit} tokens. However, your prompt contains at least "
                f"{limit + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce "
                f"the length of the input prompt. (parameter=input_tokens, value={limit + 1})",
                "input_tokens",
            )
        if self.max_tokens is not None and self.max_tokens > limit:
            raise bad_request(
                f"max_tokens={self.max_tokens} cannot be greater than max_model_len={limit}. Please request fewer "
                f"output tokens. (parameter=max_tokens, value={self.max_tokens})",
                "max_tokens",
            )
        # What does not fit behind the prompt is not refused: the context ends the answer.
        room = limit - prompt_tokens
        return Wish(
            max_tokens=room if self.max_tokens is None else min(room, self.max_tokens),
            min_tokens=self.min_tokens,
            ignore_eos=self.ignore_eos,
            stop=self.stop,
            seed=self.seed,
            reasoning=self.reasoning,
            choice=self.choice,
            length_min=options.answer_tokens_min,
            length_max=options.answer_tokens_max,
        )


def parse_json(raw: bytes) -> dict[str, Any]:
    """The body as an object. Raises Refused."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise malformed("json_invalid", str(error.pos), "JSON decode error") from error
    if not isinstance(body, dict):
        raise malformed("model_attributes_type", "", "Input should be a valid dictionary or object to extract from")
    return body


def check_model(body: Mapping[str, Any], options: Options) -> None:
    """Raises Refused for a name that is not served; no name at all means the first one."""
    name = body.get("model")
    if name is not None and name not in options.names:
        raise Refused(
            404,
            error_body(
                404,
                "NotFoundError",
                f"The model `{name}` does not exist. Valid aliases: {', '.join(options.names)}.",
                "model",
            ),
        )


def parse_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chat. Raises Refused where it is missing or of a wrong shape."""
    if "messages" not in body:
        raise malformed("missing", "messages", "Field required")
    messages = body["messages"]
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise malformed("list_type", "messages", "Input should be a valid list")
    if not messages:
        raise bad_request("Cannot apply chat template to an empty conversation. Provide at least one message.")
    for message in messages:
        if not isinstance(message.get("role"), str):
            raise malformed("missing", "messages.role", "Field required")
        if not isinstance(message.get("content"), str | list | None):
            raise malformed("string_type", "messages.content", "Input should be a valid string")
    return messages


def parse_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Checks the fields that the simulation knows; unknown ones are accepted. Raises Refused."""
    messages = parse_messages(body)
    max_tokens = _integer(body, "max_completion_tokens")
    if max_tokens is None:
        max_tokens = _integer(body, "max_tokens")
    if max_tokens is not None and max_tokens < 1:
        raise bad_request(f"max_tokens must be at least 1, got {max_tokens}.", "max_tokens")
    if _integer(body, "n") not in {None, 1}:
        raise bad_request("The simulated server answers with n = 1 only.", "n")
    stream_options = body.get("stream_options") or {}
    stream = bool(body.get("stream"))
    if not isinstance(stream_options, dict):
        raise malformed("model_attributes_type", "stream_options", "Input should be a valid dictionary")
    if stream_options and not stream:
        raise bad_request("Stream options can only be defined when `stream=True`.", "stream_options")
    template = body.get("chat_template_kwargs")
    structured = body.get("structured_outputs")
    choices = structured.get("choice") if isinstance(structured, dict) else None
    include_usage = bool(stream_options.get("include_usage"))
    return ChatRequest(
        messages=messages,
        max_tokens=max_tokens,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=include_usage and bool(stream_options.get("continuous_usage_stats")),
        priority=_integer(body, "priority") or 0,
        cache_salt=str(body.get("cache_salt") or ""),
        min_tokens=_integer(body, "min_tokens") or 0,
        ignore_eos=bool(body.get("ignore_eos")),
        stop=_stops(body),
        seed=_integer(body, "seed") or 0,
        reasoning=isinstance(template, dict) and bool(template.get("enable_thinking")),
        choice=str(choices[0]) if isinstance(choices, list) and choices else None,
    )


def usage_body(prompt: int, completion: int, cached: int | None = None) -> dict[str, Any]:
    """The usage object; `cached` is told where it is not None, 0 included, as vLLM does."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return usage


def completion_body(
    request_id: str, created: int, model: str, answer: Answer, usage: Mapping[str, Any], reasoning_field: str
) -> dict[str, Any]:
    """A whole, unstreamed answer."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "tool_calls": []}
    if answer.reasoning_tokens:
        message[reasoning_field] = answer.reasoning
    return {
        "id": request_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": answer.finish_reason,
                "stop_reason": answer.stop_reason,
            }
        ],
        "usage": usage,
    }


def models_body(options: Options, started_at: int) -> dict[str, Any]:
    """/v1/models."""
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": started_at,
                "owned_by": "vllm",
                "root": options.names[0],
                "parent": None,
                "max_model_len": options.context_length,
                "permission": [],
            }
            for name in options.names
        ],
    }


def _integer(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise malformed("int_type", key, "Input should be a valid integer")
    return value


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None:
        return ()
    stops: Sequence[Any] = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise malformed("string_type", "stop", "Input should be a valid string")
    return tuple(stops)
