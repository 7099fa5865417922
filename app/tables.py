"""Imports every module that defines tables, so that `kit.db.metadata` is complete for migrations and drift tests."""

from app import persons
from inference import dialogs, turns
from kit import audit, chats, inbox, outbox, stamp

__all__ = ["audit", "chats", "dialogs", "inbox", "outbox", "persons", "stamp", "turns"]
