"""Tables of what is paid in roubles, as the code sees them; migrations 0010, 0012 and 0013 make them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from kit.db import metadata

checkout_links = sa.Table(
    "checkout_links",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("nonce", sa.Text, nullable=False, unique=True),
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.id"), nullable=False),
    # None: the page offers everything that is sold for roubles.
    sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.id")),
    sa.Column("order_id", sa.BigInteger, sa.ForeignKey("orders.id")),
    # Where the page leads back to: the chat.
    sa.Column("back_url", sa.Text, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    # The subscription whose next month is paid here, and where that month begins.
    sa.Column("renews_id", sa.BigInteger, sa.ForeignKey("subscriptions.id")),
    sa.Column("renews_from", sa.DateTime(timezone=True)),
    # The subscription whose renewal ends when what is bought here renews instead.
    sa.Column("replaces_id", sa.BigInteger, sa.ForeignKey("subscriptions.id")),
    sa.CheckConstraint("(renews_id IS NULL) = (renews_from IS NULL)", name="renews_from_somewhen"),
    sa.CheckConstraint("(used_at IS NULL) = (order_id IS NULL)", name="used_for_an_order"),
    sa.Index("ix_checkout_links_expires_at", "expires_at"),
)

yookassa_payments = sa.Table(
    "yookassa_payments",
    metadata,
    sa.Column("payment_id", sa.BigInteger, sa.ForeignKey("payments.id"), primary_key=True, autoincrement=False),
    # The body of the POST as it is sent, byte by byte: a repetition must be the same.
    sa.Column("request", sa.Text, nullable=False),
    # The latest POST, and the latest look at what became of it.
    sa.Column("posted_at", sa.DateTime(timezone=True)),
    sa.Column("asked_at", sa.DateTime(timezone=True)),
    sa.Column("confirmation_url", sa.Text),
    # Why it was canceled, in YooKassa's words or ours.
    sa.Column("reason", sa.Text),
)

receipt_emails = sa.Table(
    "receipt_emails",
    metadata,
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.id"), primary_key=True, autoincrement=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("length(email) <= 254", name="email_fits"),
)

yookassa_refunds = sa.Table(
    "yookassa_refunds",
    metadata,
    sa.Column("refund_id", sa.BigInteger, sa.ForeignKey("refunds.id"), primary_key=True, autoincrement=False),
    # The body of the POST as it is sent; empty for a refund that was made without us.
    sa.Column("request", sa.Text, nullable=False),
    # The first POST, the latest one, and the latest look at what became of it.
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("posted_at", sa.DateTime(timezone=True)),
    sa.Column("asked_at", sa.DateTime(timezone=True)),
    # Why it was canceled, in YooKassa's words or ours.
    sa.Column("reason", sa.Text),
)

rouble_differences = sa.Table(
    "rouble_differences",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subject", sa.Text, nullable=False, unique=True),
    sa.Column("class", sa.Text, nullable=False),
    sa.Column("kopecks", sa.BigInteger, nullable=False),
    # When the payment or refund was made: a run closes only what lies in its window.
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
)

rouble_reconciliations = sa.Table(
    "rouble_reconciliations",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    sa.Column("followed", sa.Integer, nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    sa.Column("theirs_kopecks", sa.BigInteger, nullable=False),
    sa.Column("ours_kopecks", sa.BigInteger, nullable=False),
    sa.Column("classes", JSONB, nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
)
