"""Billing's tables as the code sees them; migrations make them, with what only triggers can say.

Amounts are integers: tokens, Stars, kopecks. Every time is a parameter of the statement that writes it.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from kit.db import metadata


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def _time(name: str, *, optional: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=optional)


def _amount(name: str, *, optional: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=optional, server_default=default)


def _text(name: str, *, optional: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=optional, server_default=default)


def _ref(name: str, target: str, *, optional: bool = False, unique: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, sa.ForeignKey(f"{target}.id"), nullable=optional, unique=unique)


plans = sa.Table(
    "plans",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("kind"),
    sa.Column("position", sa.SmallInteger, nullable=False),
    sa.Column("titles", JSONB, nullable=False),
    _time("withdrawn_at", optional=True),
    _time("created_at"),
    _time("updated_at"),
    sa.Index("uq_plans_free", "kind", unique=True, postgresql_where=sa.text("kind = 'free' AND withdrawn_at IS NULL")),
)

plan_versions = sa.Table(
    "plan_versions",
    metadata,
    _id(),
    sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    _amount("price_xtr", optional=True),
    _amount("price_rub", optional=True),
    sa.Column("period_months", sa.SmallInteger),
    sa.Column("period_days", sa.SmallInteger),
    _amount("tokens"),
    sa.Column("tokens_days", sa.SmallInteger),
    sa.Column("tokens_roll_over", sa.Boolean, nullable=False),
    _amount("daily_tokens"),
    _amount("welcome_tokens"),
    sa.Column("welcome_days", sa.SmallInteger, nullable=False),
    sa.Column("requests_per_minute", sa.Integer, nullable=False),
    _amount("tokens_per_minute"),
    _amount("tokens_per_day"),
    sa.Column("in_flight", sa.SmallInteger, nullable=False),
    sa.Column("queued", sa.SmallInteger, nullable=False),
    sa.Column("context_tokens", sa.Integer, nullable=False),
    sa.Column("answer_tokens", sa.Integer, nullable=False),
    sa.Column("photos_per_day", sa.Integer, nullable=False),
    sa.Column("weight", sa.SmallInteger, nullable=False),
    _time("created_at"),
    sa.UniqueConstraint("plan_id", "version"),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True, start=1000), primary_key=True),
    _text("kind"),
    sa.Column("code", sa.Text, unique=True),
    _ref("person_id", "persons", optional=True),
    _text("unit"),
    _amount("posted", default="0"),
    _amount("reserved", default="0"),
    sa.Column("allowance_on", sa.Date),
    _time("welcomed_at", optional=True),
    _time("created_at"),
    sa.UniqueConstraint("person_id", "kind"),
    sa.CheckConstraint("0 <= reserved AND reserved <= posted", name="never_below_zero"),
)

ledger_tx = sa.Table(
    "ledger_tx",
    metadata,
    _id(),
    _text("kind"),
    _text("ref_type"),
    _text("ref_id"),
    _time("created_at"),
    sa.UniqueConstraint("kind", "ref_type", "ref_id"),
)

ledger_entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column("tx_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _amount("amount"),
    sa.Index("ix_ledger_entries_account_id_tx_id", "account_id", "tx_id"),
)

orders = sa.Table(
    "orders",
    metadata,
    _id(),
    _ref("person_id", "persons"),
    sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.id"), nullable=False),
    _ref("plan_version_id", "plan_versions"),
    _text("kind"),
    _text("currency"),
    _amount("amount"),
    _amount("tokens"),
    sa.Column("payload", sa.Text, nullable=False, unique=True),
    _text("status"),
    _time("expires_at"),
    _time("created_at"),
    _time("updated_at"),
    # Bought for somebody else: what it brings waits for whoever takes the gift.
    sa.Column("gift", sa.Boolean, nullable=False, server_default=sa.false()),
    # The subscription whose renewal ends when this order is paid.
    sa.Column("replaces_id", sa.BigInteger, sa.ForeignKey("subscriptions.id", use_alter=True)),
    sa.CheckConstraint("replaces_id IS NULL OR kind = 'subscription'", name="only_renewals_replace"),
    sa.Index(
        "uq_orders_open", "person_id", "plan_id", "gift", unique=True, postgresql_where=sa.text("status = 'open'")
    ),
    sa.Index("ix_orders_replaces_id", "replaces_id", postgresql_where=sa.text("replaces_id IS NOT NULL")),
    sa.Index("ix_orders_open_expires_at", "expires_at", postgresql_where=sa.text("status = 'open'")),
)

_LIVING = sa.text("status NOT IN ('expired', 'revoked')")

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    _id(),
    _ref("person_id", "persons"),
    _ref("plan_version_id", "plan_versions"),
    _text("provider"),
    _ref("order_id", "orders", optional=True),
    _text("first_charge_id", optional=True),
    _ref("predecessor_id", "subscriptions", optional=True, unique=True),
    _text("status"),
    _time("until", optional=True),
    sa.Column("anchor_day", sa.SmallInteger),
    # The `until` whose coming charge, or whose grace, the person was told of.
    _time("told_until", optional=True),
    # The cheaper plan that its person wants to go on with: offered when the paid time ends.
    sa.Column("next_plan_id", sa.Text, sa.ForeignKey("plans.id")),
    _time("created_at"),
    _time("updated_at"),
    sa.Index("uq_subscriptions_living", "order_id", unique=True, postgresql_where=_LIVING),
    sa.Index("ix_subscriptions_person_id", "person_id"),
    sa.Index("ix_subscriptions_order_id", "order_id"),
    sa.Index("ix_subscriptions_due", "until", postgresql_where=_LIVING),
)

payments = sa.Table(
    "payments",
    metadata,
    _id(),
    _text("provider"),
    _text("provider_payment_id", optional=True),
    sa.Column("idempotency_key", sa.Text, unique=True),
    # No foreign key: money may come from somebody who never wrote to the bot, and must be recorded all the same.
    _amount("payer_id"),
    _text("payload", optional=True),
    _ref("order_id", "orders", optional=True),
    _ref("subscription_id", "subscriptions", optional=True),
    _text("currency"),
    _amount("amount"),
    _text("status"),
    _time("provider_expires_at", optional=True),
    _text("quarantine_reason", optional=True),
    _time("resolved_at", optional=True),
    _time("sent_at", optional=True),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("provider", "provider_payment_id"),
    sa.Index("ix_payments_payer_id_id", "payer_id", "id"),
    sa.Index("ix_payments_order_id", "order_id"),
    sa.Index("ix_payments_subscription_id", "subscription_id"),
    sa.Index(
        "ix_payments_unsettled",
        "updated_at",
        postgresql_where=sa.text("status IN ('intent', 'sent', 'pending', 'unknown')"),
    ),
    sa.Index(
        "ix_payments_quarantine",
        "id",
        postgresql_where=sa.text("quarantine_reason IS NOT NULL AND resolved_at IS NULL"),
    ),
)

subscription_periods = sa.Table(
    "subscription_periods",
    metadata,
    _id(),
    _ref("subscription_id", "subscriptions"),
    _amount("person_id"),
    _ref("plan_version_id", "plan_versions"),
    _text("kind"),
    _time("starts_at"),
    _time("ends_at"),
    _ref("payment_id", "payments", optional=True, unique=True),
    _time("created_at"),
    sa.UniqueConstraint("subscription_id", "starts_at"),
    sa.Index("ix_subscription_periods_person_id_ends_at", "person_id", "ends_at"),
)

refunds = sa.Table(
    "refunds",
    metadata,
    _id(),
    _ref("payment_id", "payments"),
    _text("kind"),
    _amount("amount"),
    _text("status"),
    sa.Column("idempotency_key", sa.Text, nullable=False, unique=True),
    _text("provider_refund_id", optional=True),
    _amount("requested_by", optional=True),
    _text("reason"),
    _amount("tokens", default="0"),
    _amount("tokens_taken", default="0"),
    _amount("tokens_forgiven", default="0"),
    _amount("tokens_owed", default="0"),
    _amount("tokens_restored", default="0"),
    _time("created_at"),
    _time("updated_at"),
    _amount("tokens_repaid", default="0"),
    _ref("debt_account_id", "accounts", optional=True),
    # Asked for as less than what the payment still had: its lots live on.
    sa.Column("partial", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("tokens_repaid BETWEEN 0 AND tokens_owed", name="repaid_within_owed"),
    sa.Index("ix_refunds_payment_id", "payment_id"),
    sa.Index(
        "uq_refunds_provider_refund_id",
        "provider_refund_id",
        unique=True,
        postgresql_where=sa.text("provider_refund_id IS NOT NULL"),
    ),
    sa.Index("ix_refunds_owed", "debt_account_id", postgresql_where=sa.text("tokens_owed > tokens_repaid")),
)

lots = sa.Table(
    "lots",
    metadata,
    _id(),
    _ref("account_id", "accounts"),
    _ref("tx_id", "ledger_tx", unique=True),
    _text("kind"),
    _amount("granted"),
    _amount("remaining"),
    # Indexes name this column instead of `remaining`, so that spending a part of a lot touches no index.
    sa.Column("live", sa.Boolean, sa.Computed("remaining > 0", persisted=True), nullable=False),
    _time("expires_at", optional=True),
    _ref("payment_id", "payments", optional=True),
    _ref("plan_version_id", "plan_versions", optional=True),
    # Set while a refund takes the lot back: it is due at once, and this is where it was due before.
    _ref("refund_id", "refunds", optional=True),
    _time("expires_at_before_refund", optional=True),
    _time("created_at"),
    sa.CheckConstraint("granted > 0 AND remaining BETWEEN 0 AND granted", name="remaining_within_granted"),
    sa.Index("ix_lots_live", "account_id", "expires_at", "id", postgresql_where=sa.text("live")),
    sa.Index("ix_lots_due", "expires_at", postgresql_where=sa.text("live")),
    sa.Index("ix_lots_payment_id", "payment_id", postgresql_where=sa.text("payment_id IS NOT NULL")),
)

# The months of paid time that does not renew: planned when it is bought, each granted once when it begins.
subscription_months = sa.Table(
    "subscription_months",
    metadata,
    sa.Column("subscription_id", sa.BigInteger, sa.ForeignKey("subscriptions.id"), primary_key=True),
    sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
    _ref("payment_id", "payments"),
    _time("starts_at"),
    _time("ends_at"),
    _amount("tokens"),
    _text("status", default="due"),
    _ref("lot_id", "lots", optional=True, unique=True),
    _time("updated_at"),
    sa.CheckConstraint("(status = 'granted') = (lot_id IS NOT NULL)", name="granted_as_a_lot"),
    sa.Index("ix_subscription_months_due", "starts_at", postgresql_where=sa.text("status = 'due'")),
    sa.Index("ix_subscription_months_payment_id", "payment_id"),
)

gifts = sa.Table(
    "gifts",
    metadata,
    _id(),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    _ref("payment_id", "payments", unique=True),
    _ref("giver_id", "persons"),
    _ref("receiver_id", "persons", optional=True),
    _text("status"),
    _time("expires_at"),
    sa.Column("offers", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("reminded", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("created_at"),
    _time("updated_at"),
    sa.CheckConstraint("(status = 'redeemed') = (receiver_id IS NOT NULL)", name="redeemed_by_somebody"),
    sa.Index("ix_gifts_giver_id_id", "giver_id", "id"),
    sa.Index("ix_gifts_open_expires_at", "expires_at", postgresql_where=sa.text("status = 'open'")),
)

lot_consumptions = sa.Table(
    "lot_consumptions",
    metadata,
    sa.Column("lot_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("tx_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _amount("amount"),
)

holds = sa.Table(
    "holds",
    metadata,
    # Turns belong to another domain; the number is all that billing knows of one.
    sa.Column("turn_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.SmallInteger, primary_key=True, autoincrement=False),
    _ref("account_id", "accounts"),
    _amount("amount"),
    _text("status", default="held"),
    _amount("settled", default="0"),
    _amount("overrun", default="0"),
    _amount("courtesy", default="0"),
    _time("created_at"),
    _time("resolved_at", optional=True),
    sa.CheckConstraint("settled BETWEEN 0 AND amount", name="settled_within_amount"),
    sa.Index("ix_holds_open", "account_id", postgresql_where=sa.text("status = 'held'")),
)

status_edges = sa.Table(
    "status_edges",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("before", sa.Text, primary_key=True),
    sa.Column("after", sa.Text, primary_key=True),
)

status_changes = sa.Table(
    "status_changes",
    metadata,
    _id(),
    _text("subject"),
    _amount("subject_id"),
    _text("before"),
    _text("after"),
    _time("at"),
    sa.ForeignKeyConstraint(
        ["subject", "before", "after"],
        ["status_edges.subject", "status_edges.before", "status_edges.after"],
        name="fk_status_changes_subject_status_edges",
    ),
    sa.Index("ix_status_changes_subject_subject_id", "subject", "subject_id", "id"),
)
