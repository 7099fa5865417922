### The operator's group: commands, cards, alerts. Finished lines are joined into one message with line breaks.

admin-help =
    /stats — summary
    /user — card by id, @name or error code
    /grant — grant tokens
    /queue — the queue
    /health — state
admin-not-member = Commands are carried out for members of this group only.
# $chat_id - the group's number, negative and without spaces
admin-group-id = This group is number { $chat_id }. To run Forma from here, put FORMA_ADMIN_CHAT_ID={ $chat_id } into .env and start Forma again. Keep the group private: everybody in it can give commands.

## /stats

# $window_s - over how long, seconds
admin-stats-head = In { DURATION($window_s) }
admin-stats-persons = People: { $new } new, { $active } asked, { $all } in all, { $blocked } blocked the bot
admin-stats-turns = Answers: { $answered } done, { $stopped } stopped, { $failed } failed
# Median and 95th percentile, seconds
admin-stats-wait = Wait: usually { DURATION($p50_s) }, for 5 % longer than { DURATION($p95_s) }
admin-stats-tokens = Charged: { TOKENS($tokens) }
admin-stats-courtesy = On the house: { TOKENS($tokens) }
admin-stats-money = Payments: { $payments } for { STARS($stars) }, refunded { STARS($refunded) }
admin-stats-subscriptions = Subscriptions: { $active } paying, { $cancelled } cancelled and running out, { $past_due } awaiting payment
admin-stats-plan = • { $plan }: { $count }
admin-stats-empty = No questions.

# Who writes as the group, without a signature
admin-anonymous = an anonymous administrator

## /user

admin-user-usage = Whom shall I show? /user 12345, /user @name or /user A1B2
admin-user-none = Not found: { $query }
# $username - with @, or none
admin-user-head = { $name }{ $username ->
    [none] { "" }
   *[other] { " " }{ $username }
} · { $id }
admin-user-profile = Language { $language }, with us since { DATE($since) }, last seen { MOMENT($seen) }
admin-user-blocked = Blocked the bot
admin-user-plan = { $plan } until { DATE($until) }, { $status ->
    [active] will renew
    [cancel_scheduled] cancelled
    [past_due] awaiting payment
    [trialing] trial
   *[other] { $status }
}
admin-user-plan-none = No subscription
admin-user-balance = Left: { TOKENS($tokens) }, reserved { $reserved }
admin-user-turns = Last answers:
# $code - an error code, or none
admin-user-turn = • { MOMENT($at) } · { $status ->
    [done] done
    [stopped] stopped
    [failed] failed
    [open] running
   *[other] { $status }
} · { $tokens } tok.{ $code ->
    [none] { "" }
   *[other] { " " }· code { $code }
}
admin-user-no-turns = Has not asked yet.
admin-user-payments = Last payments:
admin-user-payment = • { DATE($at) } · { STARS($stars) } · { $what } · { $status ->
    [succeeded] paid
    [refunded] refunded
    [charged_back] charged back
    [canceled] cancelled
   *[other] { $status }
}
admin-user-no-payments = Has not paid yet.

## /grant

admin-grant-usage = To whom and how much? /grant 12345 100000 reason
admin-grant-amount = The number of tokens is from 1 to { $max }.
# $id - the person's id, $reason - the reason, kept in the audit log
admin-grant-confirm = Grant { TOKENS($tokens) }? To: { $name } · { $id }. Reason: { $reason }
button-grant-confirm = Grant
button-grant-cancel = Don't grant
# $by - who confirmed
admin-grant-done = Granted { TOKENS($tokens) }: { $name } · { $id }. Reason: { $reason }. Confirmed by { $by }
admin-grant-cancelled = Not granted.
admin-grant-expired = The confirmation has expired, nothing was granted. Send /grant again.
toast-grant-other = Only whoever sent the command can confirm it.

## /queue

admin-queue-head = { $waiting } waiting, { $running } being answered, { $slots } slots
admin-queue-oldest = The longest wait is { DURATION($wait_s) }
admin-queue-row = • { $id }: { $waiting } waiting, { $running } running
admin-queue-empty = The queue is empty, { $slots } slots
# A model and its replica
admin-queue-model = { $model }: { $running } of { $slots } in use

## /health

admin-health-good = Everything works
admin-health-bad = Something is wrong
# $detail - what exactly, or none
admin-health-part = { $state ->
    [good] ✅
    [slow] ⚠️
   *[bad] ❌
} { $part }{ $detail ->
    [none] { "" }
   *[other] { " " }— { $detail }
}

## Alerts and events

admin-alert-payment = ⭐ { STARS($stars) } · { $what } · { $name } · { $id }
admin-alert-renewal = ⭐ Renewal { STARS($stars) } · { $plan } · { $id }
admin-alert-renewal-failed = Renewal failed: { $plan }, { STARS($stars) } · { $id }
admin-alert-subscription-cancelled = Subscription cancelled: { $plan }, until { DAY($until) } · { $id }
admin-alert-refunded = Refund { STARS($stars) } · { $id }
# Telegram did not give the Stars back; it is asked again every day
admin-alert-refund-overdue = ⚠️ A refund did not go through: { STARS($stars) } · { $id }. It is tried again every day. Does the bot's balance hold enough Stars?
# A payment that does not match its order and waits for the operator
admin-alert-quarantine = ⚠️ A payment does not match its order: { STARS($stars) } · { $id } · code { $code }. The money is in, no tokens were granted.
admin-alert-job = ⚠️ Job { $job } failed. Code { $code }
admin-alert-job-over = ✅ Job { $job } works again
admin-alert-bug = ❌ A bug: { $where }. Code { $code }
admin-alert-turns-failed = ⚠️ Answers failed in { DURATION($window_s) }: { $count }
admin-alert-turns-over = ✅ No answer failed in { DURATION($window_s) }
# $number - the rule's number in the docs, $name - its short name, $count - violations
admin-alert-invariant = ❌ The books don't balance: rule { $number }, { $name }. Violations: { $count }
admin-alert-model-down = ❌ Model { $model } does not answer
admin-alert-model-up = ✅ Model { $model } answers again
admin-alert-outbox = ⚠️ The outbox is piling up: { $waiting }, the oldest { DURATION($oldest_s) }
admin-alert-outbox-over = ✅ The outbox moves again
admin-alert-migrated = The group became a supergroup, its new id is { $chat_id }. Put it into FORMA_ADMIN_CHAT_ID; until a restart I remember it myself.
# Paid in roubles through YooKassa
admin-alert-payment-roubles = 💳 { ROUBLES($kopecks) } · { $what } · { $name } · { $id }
admin-alert-quarantine-roubles = ⚠️ A payment in roubles does not match its order: { ROUBLES($kopecks) } · { $id } · code { $code }. The money is here, the tokens are not granted.
# $reason - YooKassa's answer
admin-alert-roubles-refused = ⚠️ YooKassa does not take our payments: { $reason }. Nothing can be bought for roubles.
