"""Refusals: those of YooKassa's API in its own form, and those of the control API and the checkout page."""

import uuid
from typing import Any


class ApiError(Exception):
    """A request is refused: becomes `{"type": "error", "id", "code", "description", "parameter"}` with that status."""

    def __init__(self, status: int, code: str, description: str, parameter: str | None = None) -> None:
        super().__init__(status, code, description, parameter)
        self.status, self.code, self.description, self.parameter = status, code, description, parameter

    def body(self) -> dict[str, Any]:
        """The error as YooKassa writes it; each has an id of its own."""
        body: dict[str, Any] = {
            "type": "error",
            "id": str(uuid.uuid4()),
            "code": self.code,
            "description": self.description,
        }
        if self.parameter is not None:
            body["parameter"] = self.parameter
        return body


def invalid(description: str, parameter: str | None = None) -> ApiError:
    """400: the request, or doing that now, is against the rules."""
    return ApiError(400, "invalid_request", description, parameter)


def not_found(description: str) -> ApiError:
    """404: no such object in this shop."""
    return ApiError(404, "not_found", description)


class Impossible(Exception):
    """That cannot be done now: the control API and the page's own calls answer 409 with these words."""


class Missing(Exception):
    """Somebody asked about something that does not exist: 404 with these words."""


class BadInput(Exception):
    """Something that cannot be read: 400 with these words."""


class WrongField(BadInput):
    """What a customer typed; the name of the field, which the page has words for: card, expiry, csc, method."""
