"""Imports every module that defines tables, so that `kit.db.metadata` is complete for migrations and drift tests."""

from app import admin_requests, answer_keyboards, incidents, persons, service_orders
from billing import (
    card_tables,
    cases,
    growth_tables,
    renewal_stops,
    rouble_receipts,
    rouble_tables,
    star_reconciliation,
    star_transactions,
    tables,
)
from inference import dialogs, house_work, summaries, turns
from inference.replicas import orders as replica_orders
from kit import audit, chats, inbox, outbox, stamp

__all__ = [
    "admin_requests",
    "answer_keyboards",
    "audit",
    "card_tables",
    "cases",
    "chats",
    "dialogs",
    "growth_tables",
    "house_work",
    "inbox",
    "incidents",
    "outbox",
    "persons",
    "renewal_stops",
    "replica_orders",
    "rouble_receipts",
    "rouble_tables",
    "service_orders",
    "stamp",
    "star_reconciliation",
    "star_transactions",
    "summaries",
    "tables",
    "turns",
]
