"""Drives a sandbox Telegram as its persons would, over HTTP; waits on the event socket, not on sleeps.

async with SandboxTelegram(base_url) as tg:
    ada = await tg.person(first_name="Ada", language_code="ru")
    await ada.start()
    answer = await ada.wait_for("Forma")
    await ada.press(answer, "Планы")
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

WAIT_S = 10.0
EVENTS_MAX = 100_000
SEQ_HEADER = "X-Sandbox-Seq"

Json = dict[str, Any]


class ControlError(Exception):
    """The control API refused: `status` and its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status, self.words = status, words


@dataclass(slots=True)
class Seen:
    """A message as a person sees it. `seq` is the event that last changed it."""

    raw: Json
    seq: int

    @property
    def id(self) -> int:
        return int(self.raw["message_id"])

    @property
    def chat_id(self) -> int:
        return int(self.raw["chat"]["id"])

    @property
    def sender_id(self) -> int:
        return int(self.raw["from"]["id"])

    @property
    def text(self) -> str:
        """Text, caption, or the words of a rich message."""
        return str(self.raw["sandbox"]["plain"])

    @property
    def buttons(self) -> list[Json]:
        """Inline buttons row by row, as the Bot API has them."""
        rows = (self.raw.get("reply_markup") or {}).get("inline_keyboard", [])
        return [button for row in rows for button in row]

    @property
    def labels(self) -> list[str]:
        return [button["text"] for button in self.buttons]

    @property
    def reactions(self) -> list[str]:
        return [reaction["emoji"] for reaction in self.raw["sandbox"]["reactions"]]

    @property
    def is_rich(self) -> bool:
        return "rich_message" in self.raw

    @property
    def invoice(self) -> Json | None:
        invoice: Json | None = self.raw["sandbox"]["invoice"]
        return invoice


Match = str | Callable[[Seen], Any] | None


def _matches(match: Match, seen: Seen) -> bool:
    if match is None:
        return True
    return _spaced(match) in _spaced(seen.text) if isinstance(match, str) else bool(match(seen))


def _spaced(text: str) -> str:
    """A person does not see which kind of space it is."""
    return text.replace("\u00a0", " ").replace("\u202f", " ")


class SandboxTelegram:
    """A connection to one sandbox; mirrors its chats from the event socket. Use it as an async context manager."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.seq = 0
        self.bot_id = 0
        self.token = ""
        self.events: deque[Json] = deque(maxlen=EVENTS_MAX)
        self.chats: dict[int, dict[int, Seen]] = {}
        self.drafts: dict[int, Json] = {}
        self._changed = asyncio.Condition()
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Reads what is there and follows what happens from then on."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        await self._sync()
        url = f"{self.base_url}/_control/events?since={self.seq}"
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        self._reader = asyncio.create_task(self._follow(self._socket), name="sandbox-driver")

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()

    async def _sync(self) -> None:
        state = await self.control("GET", "state")
        self.seq, self.bot_id, self.token = state["last_seq"], state["bot"]["id"], state["bot"]["token"]
        self.chats.clear()
        self.drafts.clear()
        for chat in (await self.control("GET", "chats"))["chats"]:
            if chat["last_message"] is None:
                continue
            chat_id = chat["chat"]["id"]
            seen = await self.control("GET", f"chats/{chat_id}/messages?limit=10000")
            self.chats[chat_id] = {raw["message_id"]: Seen(raw, 0) for raw in seen["messages"]}
            if seen["draft"]:
                self.drafts[chat_id] = seen["draft"]

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async for frame in socket:
                event = json.loads(frame.data)
                if event["type"] == "gap":
                    await self._sync()
                async with self._changed:
                    self._apply(event)
                    self._changed.notify_all()
            self._failure = ConnectionError("the sandbox closed its event socket")
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failure = error
        async with self._changed:
            self._changed.notify_all()

    def _apply(self, event: Json) -> None:
        self.seq = max(self.seq, event["seq"])
        self.events.append(event)
        chat_id, kind = event.get("chat_id", 0), event["type"]
        messages = self.chats.setdefault(chat_id, {})
        if kind in {"message", "message_edited"}:
            messages[event["message"]["message_id"]] = Seen(event["message"], event["seq"])
        elif kind == "message_deleted":
            messages.pop(event["message_id"], None)
        elif kind == "reaction" and event["message_id"] in messages:
            seen = messages[event["message_id"]]
            seen.raw["sandbox"]["reactions"], seen.seq = event["reactions"], event["seq"]
        elif kind == "draft":
            self.drafts[chat_id] = event["draft"]
        elif kind == "draft_gone":
            self.drafts.pop(chat_id, None)
        elif kind == "reset":
            self.chats.clear()
            self.drafts.clear()

    async def until(self, found: Callable[[], Any], *, timeout_s: float = WAIT_S, what: str = "") -> Any:
        """The first truthy value of `found`, looked at after every event; TimeoutError says what was awaited."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while not (value := found()):
                    if self._failure is not None:
                        raise self._failure
                    await self._changed.wait()
                return value
        except TimeoutError:
            raise TimeoutError(f"{what or 'nothing'} did not happen within {timeout_s} s") from None

    async def wait_event(self, kind: str, match: Callable[[Json], Any] | None = None, **kwargs: Any) -> Json:
        """The first event of this type that matches, since `since` (an event number; default: of all heard)."""
        since = kwargs.pop("since", 0)

        def found() -> Json | None:
            first: Json | None = None
            for event in reversed(self.events):
                if event["seq"] <= since:
                    break
                if event["type"] == kind and (match is None or match(event)):
                    first = event
            return first

        event: Json = await self.until(found, what=f"event {kind}", **kwargs)
        return event

    async def control(self, method: str, path: str, body: Json | None = None, **kwargs: Any) -> Json:
        """A request to the control API; raises ControlError. Adds `_seq`: the last event before the request."""
        assert self._session is not None, "connect first"
        if body is not None:
            kwargs["json"] = body
        async with self._session.request(method, f"{self.base_url}/_control/{path}", **kwargs) as response:
            answer: Json = await response.json()
            if response.status != 200:
                raise ControlError(response.status, str(answer.get("error")))
            answer["_seq"] = int(response.headers[SEQ_HEADER])
            return answer

    async def person(self, **fields: Any) -> "Person":
        """A new person; fields as in docs/sandbox.md: first_name, language_code, stars, is_premium, id, …"""
        raw = await self.control("POST", "persons", {"first_name": "Ada", "language_code": "ru"} | fields)
        return Person(self, raw["id"])

    async def known(self, person_id: int) -> "Person":
        """Somebody who is already there."""
        await self.control("GET", f"persons/{person_id}")
        return Person(self, person_id)

    async def group(
        self,
        title: str = "Admins",
        *,
        members: "list[Person] | None" = None,
        admins: "list[Person] | None" = None,
        **fields: Any,
    ) -> "Group":
        """A new group with people; `bot` is member (default), administrator or left, `kind` supergroup or group."""
        body = {
            "title": title,
            "members": [person.id for person in members or ()],
            "admins": [person.id for person in admins or ()],
        }
        return Group(self, (await self.control("POST", "groups", body | fields))["id"])

    async def calls(self, method: str | None = None, chat_id: int | None = None, **filters: Any) -> list[Json]:
        """Bot API calls, oldest first; filters: since, ok, limit."""
        given = {"method": method, "chat_id": chat_id} | filters
        query = {key: str(value) for key, value in given.items() if value is not None}
        return list((await self.control("GET", "calls", params=query))["calls"])

    async def wait_call(
        self, method: str, *, since: int = 0, timeout_s: float = WAIT_S, ok: bool | None = None
    ) -> Json:
        """The first call of the method after call number `since`, awaited."""

        def heard() -> Json | None:
            for event in self.events:
                called = event["type"] == "call" and event["method"] == method and event["call_seq"] > since
                if called and (ok is None or event["ok"] == ok):
                    return event
            return None

        event = await self.until(heard, timeout_s=timeout_s, what=f"call {method}")
        return (await self.calls(since=event["call_seq"] - 1, limit=1))[0]

    async def advance(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> Json:
        """Moves the sandbox's clock on; renewals happen before this returns."""
        return await self.control("POST", "clock", {"advance_s": days * 86400 + hours * 3600 + seconds})

    async def fault(self, method: str, kind: str, **fields: Any) -> Json:
        """Adds a fault: probability, count, seed, chat_id, delay_s, retry_after_s, description."""
        return await self.control("POST", "faults", {"method": method, "kind": kind} | fields)

    async def clear_faults(self) -> None:
        await self.control("DELETE", "faults")

    async def limits(self, **fields: Any) -> Json:
        """Changes rates, or `enabled`."""
        return await self.control("PATCH", "limits", fields)

    async def state(self) -> Json:
        return await self.control("GET", "state")

    async def reset(self) -> None:
        await self.control("POST", "reset")


@dataclass(slots=True)
class Group:
    """A group; people write to it with `person.send(text, chat=group)`."""

    tg: SandboxTelegram
    id: int

    def messages(self) -> list[Seen]:
        return sorted(self.tg.chats.get(self.id, {}).values(), key=lambda seen: seen.id)

    async def migrate(self) -> "Group":
        """Upgrades it to a supergroup with another id."""
        return Group(self.tg, (await self.tg.control("POST", f"groups/{self.id}/migrate"))["id"])

    async def set_member(self, user_id: int, status: str) -> None:
        await self.tg.control("PUT", f"groups/{self.id}/members/{user_id}", {"status": status})


class Person:
    """Somebody who uses the bot. `mark` is the event number of the last act: waits look at what came after it."""

    def __init__(self, tg: SandboxTelegram, person_id: int) -> None:
        self.tg, self.id, self.mark = tg, person_id, 0

    async def act(self, name: str, body: Json | None = None, *, method: str = "POST", **kwargs: Any) -> Json:
        """An act of the control API; moves `mark`."""
        answer = await self.tg.control(method, f"persons/{self.id}/{name}", body, **kwargs)
        self.mark = answer["_seq"]
        return answer

    async def start(self, payload: str = "") -> int:
        return int((await self.act("start", {"payload": payload}))["message_ids"][0])

    async def send(self, text: str, *, chat: Group | None = None, **fields: Any) -> int:
        """Sends a text; answers the id of its (last) message."""
        body = {"text": text} | ({"chat_id": chat.id} if chat else {}) | fields
        return int((await self.act("send", body))["message_ids"][-1])

    async def edit(self, message_id: int, text: str, **fields: Any) -> None:
        await self.act("edit", {"message_id": message_id, "text": text} | fields)

    async def press(self, message: Seen | int, button: str | int | None = None, **fields: Any) -> Json:
        """Presses by label, part of a label or index; `data=` presses a button that is gone."""
        body: Json = {"message_id": message if isinstance(message, int) else message.id} | fields
        if isinstance(message, Seen):
            body["chat_id"] = message.chat_id
        if isinstance(button, str) and isinstance(message, Seen):
            wanted = _spaced(button)
            exact = [label for label in message.labels if _spaced(label) == wanted]
            partly = [label for label in message.labels if wanted in _spaced(label)]
            button = next(iter(exact or partly), button)
        if button is not None:
            body["button"] = button
        return await self.act("press", body)

    async def toast(self, pressed: Json, timeout_s: float = WAIT_S) -> Json:
        """The bot's answer to a press: `text`, `show_alert`, `url`."""
        query_id, since = pressed["query_id"], pressed["_seq"]
        return await self.tg.wait_event(
            "callback_answer", lambda e: e["query_id"] == query_id, timeout_s=timeout_s, since=since
        )

    async def stop(self, draft_id: int | None = None) -> int:
        return int((await self.act("stop", {} if draft_id is None else {"draft_id": draft_id}))["draft_id"])

    async def react(self, message: Seen | int, emoji: str | None) -> None:
        message_id = message if isinstance(message, int) else message.id
        await self.act("react", {"message_id": message_id, "emoji": emoji})

    async def upload(self, kind: str, *contents: bytes, name: str = "file", **fields: Any) -> list[int]:
        """Sends files with bytes (several: an album); with `size=` and no bytes, one that only has a size."""
        if not contents:
            return list((await self.act("upload", {"kind": kind} | fields))["message_ids"])
        form = aiohttp.FormData({"kind": kind} | {key: str(value) for key, value in fields.items()})
        for content in contents:
            form.add_field("file", content, filename=name)
        return list((await self.act("upload", data=form))["message_ids"])

    async def attach(self, kind: str, **fields: Any) -> int:
        return int((await self.act("attach", {"kind": kind} | fields))["message_ids"][0])

    async def pay(self, what: Seen | str, *, cancel: bool = False) -> Json:
        """Pays an invoice message or a link; answers its `state` (paid, refused, timeout, …), `error`, `charge_id`."""
        body: Json = {"link": what} if isinstance(what, str) else {"message_id": what.id, "chat_id": what.chat_id}
        return await self.act("pay", body | {"cancel": cancel})

    async def subscriptions(self) -> list[Json]:
        return list((await self.tg.control("GET", f"persons/{self.id}/subscriptions"))["subscriptions"])

    async def cancel_subscription(self, subscription_id: str) -> Json:
        return await self.act(f"subscriptions/{subscription_id}/cancel")

    async def resume_subscription(self, subscription_id: str) -> Json:
        return await self.act(f"subscriptions/{subscription_id}/resume")

    async def block(self) -> None:
        await self.act("block")

    async def unblock(self) -> None:
        await self.act("unblock")

    async def change(self, **fields: Any) -> Json:
        return await self.tg.control("PATCH", f"persons/{self.id}", fields)

    async def stars(self) -> int:
        return int((await self.tg.control("GET", f"persons/{self.id}"))["stars"])

    def messages(self, chat: Group | None = None) -> list[Seen]:
        """All that is in the private chat, or in a group, oldest first."""
        return sorted(self.tg.chats.get(chat.id if chat else self.id, {}).values(), key=lambda seen: seen.id)

    @property
    def draft(self) -> Json | None:
        """What streams in now."""
        return self.tg.drafts.get(self.id)

    async def wait_for(
        self, match: Match = None, timeout_s: float = WAIT_S, *, chat: Group | None = None, since: int | None = None
    ) -> Seen:
        """The bot's first message that matches and came or changed after the person's last act (or after `since`)."""
        mark = self.mark if since is None else since

        def found() -> Seen | None:
            for seen in self.messages(chat):
                if seen.sender_id == self.tg.bot_id and seen.seq > mark and _matches(match, seen):
                    return seen
            return None

        try:
            seen: Seen = await self.tg.until(found, timeout_s=timeout_s)
            return seen
        except TimeoutError:
            shown = [last.text[:200] for last in self.messages(chat)[-5:]]
            raise TimeoutError(f"no message with {match!r} within {timeout_s} s; the last ones: {shown}") from None

    async def wait_draft(self, fragment: str = "", timeout_s: float = WAIT_S) -> Json:
        """The draft once it contains the fragment."""
        draft: Json = await self.tg.until(
            lambda: self.draft if self.draft and fragment in (self.draft["text"] or "") else None,
            timeout_s=timeout_s,
            what=f"draft with {fragment!r}",
        )
        return draft
