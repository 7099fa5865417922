"""Imports every module that defines tables, so that `kit.db.metadata` is complete for migrations and drift tests."""

from app import admin_requests, incidents, persons
from billing import rouble_tables, tables
from inference import dialogs, turns
from kit import audit, chats, inbox, outbox, stamp

__all__ = [
    "admin_requests",
    "audit",
    "chats",
    "dialogs",
    "inbox",
    "incidents",
    "outbox",
    "persons",
    "rouble_tables",
    "stamp",
    "tables",
    "turns",
]
