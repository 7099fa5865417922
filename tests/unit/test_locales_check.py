"""The locale check finds what is planted, and nothing in what is shipped."""

from pathlib import Path

import pytest

from cli.check_locales import ROOT, check

GOOD = {
    "locales/ru/chat.ftl": (
        "hello = Привет, { $name }\n"
        "left = { $n ->\n    [one] { $n } день\n    [few] { $n } дня\n"
        "    [many] { $n } дней\n   *[other] { $n } дня\n}\n"
        "error-late = Поздно\n"
    ),
    "locales/en/chat.ftl": (
        "hello = Hello, { $name }\n"
        "left = { $n ->\n    [one] { $n } day\n   *[other] { $n } days\n}\n"
        "error-late = Late\n"
    ),
    "kit/errors.py": 'class Rejected(Exception):\n    pass\n\n\nclass Late(Rejected):\n    code = "error-late"\n',
    "bot/chat.py": 'def f(w, n):\n    w.say("hello", name="A")\n    w.say("left", n=n)\n',
}


def planted(root: Path, **changes: str) -> tuple[list[str], list[str]]:
    """Write the good locale with `changes` ('ru', 'en' appended to, 'bot' replaced), and check it."""
    files = dict(GOOD)
    for language in ("ru", "en"):
        files[f"locales/{language}/chat.ftl"] += changes.get(language, "")
    files["bot/chat.py"] += changes.get("bot", "")
    files["kit/errors.py"] += changes.get("errors", "")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    errors, unused = check(root)
    return [str(finding) for finding in errors], [str(finding) for finding in unused]


def test_what_is_shipped_has_no_mistakes() -> None:
    errors, _unused = check(ROOT)
    assert [str(finding) for finding in errors] == []


def test_a_good_locale_passes(tmp_path: Path) -> None:
    assert planted(tmp_path) == ([], [])


BOTH = {"ru": "new = Да\n", "en": "new = Yes\n"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ru": "new = Да\n"}, "new is missing in en"),
        ({"en": "new = Yes\n"}, "new is missing in ru"),
        ({"ru": "new = { $a }\n", "en": "new = Yes\n"}, "new: en does not use $a"),
        ({"ru": "hello = Опять\n"}, "hello is also in locales/ru/chat.ftl"),
        ({"ru": "new = { $a\n", "en": "new = { $a }\n"}, "does not parse"),
        ({"ru": "new = { SHOUT($a) }\n", "en": "new = { $a }\n"}, "no function SHOUT()"),
        ({"ru": "new = { other }\n", "en": "new = Yes\n"}, "new refers to other: no such key"),
        (
            {
                "ru": "new = { $n ->\n    [one] день\n    [few] дня\n   *[other] дней\n}\n",
                "en": "new = { $n ->\n    [one] day\n   *[other] days\n}\n",
            },
            "the plural of $n lacks many",
        ),
        (
            {"ru": "new = { $n } дней\n", "en": "new = { $n ->\n    [one] day\n   *[other] days\n}\n"},
            "new: ru has no plural for $n",
        ),
        (
            {
                "ru": "new = { $n ->\n   *[one] день\n    [few] дня\n    [many] дней\n    [other] дня\n}\n",
                "en": "new = { $n ->\n    [one] day\n   *[other] days\n}\n",
            },
            "the default of the plural of $n must be other",
        ),
        ({"ru": "new =\n    .title = А\n", "en": "new = Yes\n"}, "a key is one text, without attributes"),
        ({"ru": f"button-x = {'я' * 40}\n", "en": "button-x = x\n"}, "button-x is 80 bytes long"),
        ({"ru": f"invoice-title-x = {'я' * 33}\n", "en": "invoice-title-x = x\n"}, "invoice-title-x is 33 characters"),
        ({"ru": f"invoice-description-x = {'я' * 256}\n", "en": "invoice-description-x = x\n"}, "256 characters long"),
        ({"ru": f"bot-short-description = {'я' * 121}\n", "en": "bot-short-description = x\n"}, "121 characters"),
        ({"ru": f"new = {'я' * 2600} {{ $a }}\n", "en": "new = { $a }\n"}, "new cannot be said"),
        ({"bot": '    w.say("lost")\n'}, "bot/chat.py:4: no key lost in locales/"),
        ({"bot": '    w.say("hello" if n else "lost", name="A")\n'}, "no key lost"),
        ({"bot": '    w.say(f"cannot-{n}")\n'}, "no key cannot-… in locales/"),
        ({"bot": '    Key("lost")\n'}, "no key lost"),
        ({"bot": '    w.say("hello")\n'}, "hello needs $name"),
        ({"bot": '    w.say("hello", name="A", extra=1)\n'}, "hello does not use $extra"),
        ({"errors": '\n\nclass Early(Late):\n    code: str = "error-early"\n'}, "no key error-early"),
        (
            {
                "ru": "error-early = { $when }\n",
                "en": "error-early = { $when }\n",
                "errors": '\n\nclass Early(Late):\n    code = "error-early"\n\n    def __init__(self):\n'
                "        super().__init__(then=1)\n",
            },
            "error-early needs $when",
        ),
    ],
)
def test_a_planted_mistake_is_found(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    errors, _unused = planted(tmp_path, **changes)
    assert any(expected in error for error in errors), errors


def test_an_unused_key_is_named_and_a_key_kept_in_a_table_is_not(tmp_path: Path) -> None:
    _errors, unused = planted(tmp_path, **BOTH)
    assert [finding.split(": ", 1)[1] for finding in unused] == ["new is not said anywhere"]
    _errors, unused = planted(tmp_path, **BOTH, bot='    TABLE = {"a": "new"}\n')
    assert unused == []
    _errors, unused = planted(tmp_path, **BOTH, bot='    w.say(f"ne{n}")\n')
    assert unused == []
