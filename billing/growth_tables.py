"""The tables of trials, days given, promo codes and invitations as the code sees them; migration 0007 makes them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from kit.db import metadata


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def _time(name: str, *, optional: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=optional)


def _ref(name: str, target: str, *, optional: bool = False, unique: bool = False, key: bool = False) -> sa.Column[int]:
    more = {"primary_key": True, "autoincrement": False} if key else {"nullable": optional, "unique": unique}
    return sa.Column(name, sa.BigInteger, sa.ForeignKey(f"{target}.id"), **more)  # type: ignore[arg-type]


trials = sa.Table(
    "trials",
    metadata,
    # The natural key: one trial for each person, for ever.
    _ref("person_id", "persons", key=True),
    _ref("plan_version_id", "plan_versions"),
    _ref("subscription_id", "subscriptions", unique=True),
    _time("ends_at"),
    _time("created_at"),
)

access_grants = sa.Table(
    "access_grants",
    metadata,
    _id(),
    _ref("person_id", "persons"),
    _ref("plan_version_id", "plan_versions"),
    sa.Column("days", sa.Integer, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("ref_type", sa.Text, nullable=False),
    sa.Column("ref_id", sa.Text, nullable=False),
    _ref("subscription_id", "subscriptions", optional=True, unique=True),
    _time("begun_at", optional=True),
    _time("created_at"),
    sa.UniqueConstraint("ref_type", "ref_id"),
    sa.CheckConstraint("days > 0 AND tokens > 0", name="amounts_positive"),
    sa.CheckConstraint("(begun_at IS NULL) = (subscription_id IS NULL)", name="begun_with_access"),
    sa.Index("ix_access_grants_waiting", "person_id", postgresql_where=sa.text("begun_at IS NULL")),
)

promo_codes = sa.Table(
    "promo_codes",
    metadata,
    _id(),
    sa.Column("code", sa.Text, nullable=False),
    # What a code is found by, however it is typed: see billing.promos.key_of.
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tokens", sa.BigInteger),
    sa.Column("days", sa.Integer),
    sa.Column("percent", sa.SmallInteger),
    sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.id")),
    sa.Column("plans", JSONB(none_as_null=True)),
    sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
    sa.Column("uses_max", sa.Integer),
    sa.Column("first_purchase", sa.Boolean, nullable=False),
    _time("valid_from"),
    _time("valid_until", optional=True),
    sa.Column("created_by", sa.BigInteger, nullable=False),
    _time("created_at"),
    _time("ended_at", optional=True),
    sa.CheckConstraint("uses >= 0 AND (uses_max IS NULL OR uses <= uses_max)", name="uses_within_limit"),
)

promo_redemptions = sa.Table(
    "promo_redemptions",
    metadata,
    _id(),
    _ref("code_id", "promo_codes"),
    _ref("person_id", "persons"),
    sa.Column("status", sa.Text, nullable=False),
    _time("expires_at", optional=True),
    _ref("payment_id", "payments", optional=True, unique=True),
    _time("created_at"),
    _time("updated_at"),
    sa.Index(
        "uq_promo_redemptions_counted",
        "code_id",
        "person_id",
        unique=True,
        postgresql_where=sa.text("status IN ('held', 'used')"),
    ),
    sa.Index("uq_promo_redemptions_held", "person_id", unique=True, postgresql_where=sa.text("status = 'held'")),
    sa.Index("ix_promo_redemptions_person_id", "person_id"),
    sa.Index("ix_promo_redemptions_due", "expires_at", postgresql_where=sa.text("status = 'held'")),
)

promo_orders = sa.Table(
    "promo_orders",
    metadata,
    _ref("order_id", "orders", key=True),
    _ref("redemption_id", "promo_redemptions"),
    sa.Column("full_amount", sa.BigInteger, nullable=False),
    sa.Column("bonus_tokens", sa.BigInteger, nullable=False),
    sa.Index("ix_promo_orders_redemption_id", "redemption_id"),
)

invites = sa.Table(
    "invites",
    metadata,
    _ref("person_id", "persons", key=True),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    _time("created_at"),
)

referrals = sa.Table(
    "referrals",
    metadata,
    # The natural key: a friend is bound once.
    _ref("friend_id", "persons", key=True),
    _ref("inviter_id", "persons"),
    sa.Column("status", sa.Text, nullable=False),
    _ref("payment_id", "payments", optional=True, unique=True),
    sa.Column("inviter_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("friend_tokens", sa.BigInteger, nullable=False, server_default="0"),
    _time("created_at"),
    _time("rewarded_at", optional=True),
    sa.CheckConstraint("friend_id <> inviter_id", name="never_oneself"),
    sa.Index("ix_referrals_inviter_id_rewarded_at", "inviter_id", "rewarded_at"),
    sa.Index("ix_referrals_bound", "friend_id", postgresql_where=sa.text("status = 'bound'")),
)
