"""Everything that one sandbox shop holds while it runs; the other modules are verbs on it."""

import heapq
from pathlib import Path

from sandbox.shop.faults import Faults
from sandbox.shop.journal import Journal
from sandbox.shop.notifications import Notifier
from sandbox.shop.snapshot import FILE, WRITE_EVERY_S, read_snapshot
from sandbox.shop.state import SECRET_KEY_DEFAULT, SHOP_ID_DEFAULT, Settings, State, wall_ms
from sandbox.telegram.snapshot import Snapshot

# A reset keeps these: a merchant that is running relies on them, and a database knows what was given out before.
_KEPT = frozenset({"shop_id", "secret_key", "serial", "clock_offset_s"})


class World:
    """State, queues and rules of one shop. Not thread-safe: one event loop uses it."""

    def __init__(
        self,
        *,
        data: Path | None = None,
        shop_id: str | None = None,
        secret_key: str | None = None,
        notification_url: str | None = None,
        forwarded_for: str | None = None,
    ) -> None:
        kept = read_snapshot(data / FILE) if data is not None else None
        self.state = kept or State()
        self.state.shop_id = shop_id or SHOP_ID_DEFAULT
        self.state.secret_key = secret_key or SECRET_KEY_DEFAULT
        if notification_url is not None:
            self.state.settings.notification_url = notification_url
        if forwarded_for is not None:
            self.state.settings.forwarded_for = forwarded_for
        self.base_url = ""
        self._latest_ms = 0
        self.faults = Faults()
        self.journal = Journal()
        self.notifier = Notifier(self.state, self.faults, self.now_ms, self.changed)
        self.snapshot = Snapshot(self.state, data / FILE, WRITE_EVERY_S) if data is not None else None
        self.dues: list[tuple[int, int, str, str]] = []
        self._arm_what_was_kept()

    def _arm_what_was_kept(self) -> None:
        state = self.state
        for kind, records in (
            ("payment", state.payments),
            ("method", state.methods),
            ("refund", state.refunds),
            ("receipt", state.receipts),
        ):
            for record_id, record in records.items():
                if record.due_ms is not None:
                    self.arm(kind, record_id, record.due_ms)

    def now_ms(self) -> int:
        """The shop's time, which never goes back: lists rely on the order of what was created."""
        self._latest_ms = max(self._latest_ms, wall_ms() + int(self.state.clock_offset_s * 1000))
        return self._latest_ms

    def serial(self) -> int:
        """The next number, in the order in which things happened."""
        self.state.serial += 1
        return self.state.serial

    def arm(self, kind: str, record_id: str, due_ms: int) -> None:
        """Has `dues.settle` look at the record at that time. A time that was changed since is passed over there."""
        heapq.heappush(self.dues, (due_ms, self.serial(), kind, record_id))

    def changed(self) -> None:
        """Has the state written soon."""
        if self.snapshot is not None:
            self.snapshot.touch()

    def reset(self) -> None:
        """Empties everything but who the shop is, its clock and where it notifies."""
        settings = self.state.settings
        fresh = State()
        for name in State.__dataclass_fields__.keys() - _KEPT:
            setattr(self.state, name, getattr(fresh, name))
        self.state.settings = Settings(settings.notification_url, settings.forwarded_for)
        self.dues.clear()
        self.faults.rules.clear()
        self.journal.clear()
        self.notifier.clear()
        self.changed()
