"""Tables of saved cards, as the code sees them; migration 0013 makes them."""

import sqlalchemy as sa

from kit.db import metadata

payment_methods = sa.Table(
    "payment_methods",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.id"), nullable=False),
    # The payment by which its owner let it be kept.
    sa.Column("payment_id", sa.BigInteger, sa.ForeignKey("payments.id"), nullable=False, unique=True),
    sa.Column("provider_method_id", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    # What its owner knows it by; YooKassa tells no more of it than that.
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # Why it is dead, in YooKassa's words.
    sa.Column("reason", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("status IN ('active', 'removed', 'dead')", name="status_known"),
    sa.Index("ix_payment_methods_person_id", "person_id"),
)

card_renewals = sa.Table(
    "card_renewals",
    metadata,
    sa.Column(
        "subscription_id", sa.BigInteger, sa.ForeignKey("subscriptions.id"), primary_key=True, autoincrement=False
    ),
    sa.Column("method_id", sa.BigInteger, sa.ForeignKey("payment_methods.id"), nullable=False),
    # The end of the paid time whose coming charge the person was told of, and when they were.
    sa.Column("announced_for", sa.DateTime(timezone=True)),
    sa.Column("announced_at", sa.DateTime(timezone=True)),
    # When the card is charged; None while that is not planned, or a try is under way.
    sa.Column("next_at", sa.DateTime(timezone=True)),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("(announced_for IS NULL) = (announced_at IS NULL)", name="announced_whole"),
    sa.CheckConstraint(
        "next_at IS NULL OR next_at >= announced_at + interval '24 hours'", name="charged_when_announced"
    ),
    sa.Index("ix_card_renewals_next_at", "next_at", postgresql_where=sa.text("next_at IS NOT NULL")),
    sa.Index("ix_card_renewals_method_id", "method_id"),
)

renewal_tries = sa.Table(
    "renewal_tries",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subscription_id", sa.BigInteger, sa.ForeignKey("subscriptions.id"), nullable=False),
    # Where the period begins that is to be paid.
    sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
    sa.Column("number", sa.SmallInteger, nullable=False),
    sa.Column("payment_id", sa.BigInteger, sa.ForeignKey("payments.id"), nullable=False, unique=True),
    # The card that is charged; None: the person pays on the page.
    sa.Column("method_id", sa.BigInteger, sa.ForeignKey("payment_methods.id")),
    sa.Column("announced_at", sa.DateTime(timezone=True)),
    # When its end was taken note of, and what follows was decided.
    sa.Column("judged_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("subscription_id", "period_start", "number"),
    sa.CheckConstraint(
        "(method_id IS NULL) = (announced_at IS NULL) AND created_at >= announced_at + interval '24 hours'",
        name="card_was_announced",
    ),
    # Never two at once: two charges for one month must be impossible, not unlikely.
    sa.Index("uq_renewal_tries_open", "subscription_id", unique=True, postgresql_where=sa.text("judged_at IS NULL")),
)
