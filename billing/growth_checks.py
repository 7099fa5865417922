"""The invariants of trials, days given, promo codes and invitations, as (number, name, SQL) for billing.invariants."""

from typing import Final

CHECKS: Final = (
    (
        14,
        "a trial is had once, and nothing was charged for it",
        """
        SELECT 'person ' || p.person_id, count(*) || ' trial periods, ' || count(t.person_id) || ' trials'
        FROM subscription_periods p
        JOIN subscriptions s ON s.id = p.subscription_id
        LEFT JOIN trials t ON t.subscription_id = p.subscription_id AND t.person_id = p.person_id
        WHERE p.kind = 'trial' AND {person}
        GROUP BY p.person_id
        HAVING count(*) <> 1 OR count(t.person_id) <> 1 OR bool_or(s.provider <> 'house')
        """,
    ),
    (
        14,
        "days that were given have begun once, with their tokens",
        """
        SELECT 'grant ' || p.id, p.days || ' days, ' || coalesce(l.granted, 0) || ' of ' || p.tokens || ' tokens'
        FROM access_grants p
        LEFT JOIN ledger_tx t ON t.kind = 'grant' AND t.ref_type = 'access_grant' AND t.ref_id = p.id::text
        LEFT JOIN lots l ON l.tx_id = t.id
        LEFT JOIN accounts a ON a.id = l.account_id
        WHERE {person} AND CASE
            WHEN p.begun_at IS NULL THEN t.id IS NOT NULL
            ELSE l.granted IS DISTINCT FROM p.tokens OR a.person_id IS DISTINCT FROM p.person_id
        END
        """,
    ),
    (
        15,
        "the uses of a promo code are its redemptions, within its limit",
        """
        SELECT 'promo_code ' || c.id,
               c.uses || ' counted, ' || count(r.id) || ' redeemed of ' || coalesce(c.uses_max::text, 'any')
        FROM promo_codes c
        LEFT JOIN promo_redemptions r ON r.code_id = c.id AND r.status IN ('held', 'used')
        WHERE c.id IN (SELECT p.code_id FROM promo_redemptions p WHERE {person})
        GROUP BY c.id HAVING c.uses <> count(r.id) OR c.uses > c.uses_max
        """,
    ),
    (
        15,
        "a person uses a promo code once, and it brings once what it says",
        """
        SELECT 'person ' || p.person_id, 'code ' || p.code_id || ', ' || count(*) || ' redemptions, '
               || count(t.id) + count(g.id) || ' effects'
        FROM promo_redemptions p
        JOIN promo_codes c ON c.id = p.code_id
        LEFT JOIN ledger_tx t ON t.kind = 'grant' AND t.ref_type = 'promo' AND t.ref_id = p.id::text
        LEFT JOIN access_grants g ON g.ref_type = 'promo' AND g.ref_id = p.id::text
        WHERE p.status IN ('held', 'used') AND {person}
        GROUP BY p.person_id, p.code_id
        HAVING count(*) > 1
            OR bool_or(CASE c.kind
                WHEN 'tokens' THEN t.id IS NULL
                WHEN 'days' THEN g.id IS NULL
                ELSE (p.status = 'used') <> (p.payment_id IS NOT NULL)
            END)
        """,
    ),
    (
        15,
        "a percentage that made a paid order cheaper is used up",
        """
        SELECT 'order ' || o.id, 'redemption ' || p.id || ' is held'
        FROM promo_redemptions p
        JOIN promo_orders r ON r.redemption_id = p.id
        JOIN orders o ON o.id = r.order_id
        WHERE p.status = 'held' AND o.status = 'paid' AND {person}
        """,
    ),
    (
        16,
        "an invitation is rewarded once, and only for money that its friend paid",
        """
        SELECT 'friend ' || p.friend_id, p.status || ', payment ' || coalesce(p.payment_id::text, 'none')
        FROM referrals p
        LEFT JOIN payments m ON m.id = p.payment_id
        LEFT JOIN ledger_tx t ON t.kind = 'grant' AND t.ref_type = 'referral'
            AND t.ref_id = p.friend_id || ':' || p.inviter_id
        LEFT JOIN lots l ON l.tx_id = t.id
        WHERE {friend} AND CASE p.status
            WHEN 'bound' THEN t.id IS NOT NULL
            ELSE m.payer_id IS DISTINCT FROM p.friend_id OR m.created_at > p.rewarded_at
                OR m.status NOT IN ('succeeded', 'partially_refunded', 'refunded', 'charged_back')
                OR coalesce(l.granted, 0) <> p.inviter_tokens
        END
        """,
    ),
)
