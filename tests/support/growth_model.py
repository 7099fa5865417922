"""What promo codes and invitations should do, said plainly in Python: a use of a code, and a friend who was invited."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.promos import Terms


@dataclass
class Use:
    """A person's use of a code; a percentage is held until it has bought something, or `expires`."""

    code: str
    terms: Terms
    person: int
    expires: datetime
    status: str = "used"

    def holds(self, person: int, now: datetime) -> bool:
        return (self.person, self.status) == (person, "held") and self.expires > now


def counted(uses: Iterable[Use], code: str) -> list[Use]:
    """The uses that count against a code's limits."""
    return [one for one in uses if one.code == code and one.status in ("held", "used")]


@dataclass
class Invitation:
    """A friend who came by somebody's link, and what that brings either once the friend's money stays for `window`."""

    friend: int
    inviter: int
    inviter_tokens: int
    friend_tokens: int
    window: timedelta
    rewarded: bool = False
