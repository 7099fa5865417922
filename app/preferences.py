"""What a person may choose in /settings, with the defaults; stored in persons.settings only where it differs."""

from dataclasses import dataclass
from typing import Any, Literal

Text = Literal["rich", "plain"]
Preview = Literal["draft", "edit", "off"]
Length = Literal["short", "detailed"]

CHOICES: dict[str, tuple[str, ...]] = {
    "text": ("rich", "plain"),
    "preview": ("draft", "edit", "off"),
    "length": ("short", "detailed"),
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """text: tables and formulas as rich messages, or always plain. preview: how an answer is shown while it grows."""

    text: Text = "rich"
    preview: Preview = "draft"
    length: Length = "short"


def of(settings: dict[str, Any], *, preview_default: Preview = "draft") -> Preferences:
    """Return the preferences that a person's stored settings mean; unknown names and values are ignored."""
    chosen = {name: settings[name] for name, allowed in CHOICES.items() if settings.get(name) in allowed}
    return Preferences(**{"preview": preview_default, **chosen})
