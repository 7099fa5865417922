"""Imports every module that defines tables, so that `kit.db.metadata` is complete for migrations and drift tests."""

from app import persons
from kit import audit, inbox, outbox, stamp

__all__ = ["audit", "inbox", "outbox", "persons", "stamp"]
