"""Refusals of the Bot API, in Telegram's own words."""

from typing import Any


class ApiError(Exception):
    """A call is refused: becomes `{"ok": false, "error_code", "description", "parameters"}` with that HTTP status."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(code, description)
        self.code, self.description, self.parameters = code, description, parameters

    def body(self) -> dict[str, Any]:
        """The error as the Bot API writes it."""
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad_request(words: str, **parameters: Any) -> ApiError:
    """400 with Telegram's prefix."""
    return ApiError(400, f"Bad Request: {words}", **parameters)


def forbidden(words: str) -> ApiError:
    """403 with Telegram's prefix."""
    return ApiError(403, f"Forbidden: {words}")


class Impossible(Exception):
    """A person cannot do that now: the control API answers 409 with these words."""


class Missing(Exception):
    """The control API was asked about something that does not exist: 404 with these words."""


class BadInput(Exception):
    """The control API was given something that it cannot read: 400 with these words."""
