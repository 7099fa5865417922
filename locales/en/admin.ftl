### The operator's group: commands, cards, alerts. Finished lines are joined into one message with line breaks.

admin-help =
    /stats — summary
    /user — card by id, @name or error code
    /payments — a person's payments
    /grant — grant tokens
    /promo — promo codes
    /refund — give money back
    /quarantine — payments that do not match their order
    /cases — cases about payments
    /receipts — missing receipts
    /queue — the queue
    /models — models and their servers
    /health — state
    /slow — the slow lane
    /maintenance — maintenance windows
    /service — what of these is on
    /reconcile — compare Stars with Telegram
    /export — a period's Stars and roubles as tables
    /chargeback — book a chargeback
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
admin-stats-roubles = Payments in roubles: { $payments } for { ROUBLES($kopecks) }, refunded { ROUBLES($refunded) }
admin-stats-subscriptions = Subscriptions: { $active } paying, { $cancelled } cancelled and running out, { $past_due } awaiting payment
admin-stats-plan = • { $plan }: { $count }
admin-stats-empty = No questions.

# Who writes as the group, without a signature
admin-anonymous = an anonymous administrator

## /user

admin-user-usage = Whom shall I show? /user 12345, /user @name or /user A1B2
admin-user-none = Not found: { $query }
# $username - with @, or none
admin-user-head = 👤 { $name }{ $username ->
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
    [granted] not paid, ends by itself
   *[other] { $status }
}
admin-user-plan-none = No subscription
admin-user-balance = Left: { TOKENS($tokens) }, reserved { $reserved }
# Spent from a purchase whose payment was taken back
admin-user-debt = Owed for a charged-back payment: { TOKENS($tokens) }
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
admin-user-payment = • { DATE($at) } · { payment-sum } · { $what } · { $status ->
    [succeeded] paid
    [refunded] refunded
    [partially_refunded] { ROUBLES($returned) } refunded
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

## /slow, /maintenance, /service

# $kind - slow or maintenance
admin-service-usage = { $kind ->
    [slow] /slow WHOM TIME REASON — a quarter of the weight in the queue and one answer at a time, up to 30 days
   *[maintenance] /maintenance WHOM TIME REASON — new questions are accepted and wait for its end, up to 12 hours
}
    Whom: all, model:ID, an id or @name. Time: 40m, 2h, 3d.
    To end it early: { $kind ->
        [slow] /slow WHOM off
       *[maintenance] /maintenance WHOM off
    }
    What is on: /service
admin-service-unknown = I don't know { $whom }. Whom: all, model:ID, an id or @name.
admin-service-span = A time is 40m, 2h or 3d, say, and at most { DURATION($longest_s) }.
admin-service-reason = Add a reason of up to { $most } characters: it stays in the log.
# $most - how many there may be
admin-service-many = { $most } are on already, more cannot be. End some: /service
# $about - person, model or everybody; $id - the person's number, $model - the model's name
admin-service-row = { $kind ->
    [slow] 🐢 Slow
   *[maintenance] 🔧 Maintenance
} · { $about ->
    [person] { $id }
    [model] model { $model }
   *[everybody] everybody
} · until { MOMENT($until) } · { $reason }
# $end - the command that ends it
admin-service-set = { $kind ->
    [slow] Whoever is in line already has moved as well.
   *[maintenance] New questions will wait, and everyone hears until when. What is being answered will be finished.
} To end it early: { $end }
admin-service-ended = { $kind ->
    [slow] The slow lane is off.
   *[maintenance] Maintenance is over, the questions that were kept are in the queue.
}
admin-service-not-on = That was not on. What is: /service
admin-service-none = Nothing is on: all questions go their usual way.
admin-service-more = And { $count } more.
admin-service-kept = Questions kept: { $count }
# $whom - all, model:NAME or a person's number
admin-alert-maintenance-over = 🔧 Maintenance has ended by itself, what was kept goes into the queue: { $whom }
admin-alert-slow-over = 🐢 The slow lane has ended by itself: { $whom }

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

## /reconcile: sums come as strings, with a fraction where there is one

# $lines - lines in Telegram's list, $theirs and $ours - Stars by it and by our books
admin-reconcile-head = Stars compared. Telegram has { $theirs } ⭐ (lines: { $lines }), we have { $ours } ⭐
# $kind - what explains a difference, $stars - how much, signed
admin-reconcile-class = • { $kind ->
    [withdrawal] withdrawals
    [ads] ads
    [api_usage] paid broadcasts
    [affiliate_share] affiliates' share
    [affiliate_income] income from affiliate programs
    [gift] gifts
    [premium] Premium given away
    [paid_media] paid media
    [business_transfer] transfers of business accounts
    [chat] chats and channels
    [earlier] before this database
    [chargeback] charged back
    [chargeback_unlisted] charged back, not in the list
    [settling] still being checked
    [amount_differs] ⚠️ amounts differ
    [missing] ⚠️ ours, and unknown to Telegram
    [unknown] ⚠️ nobody knows what
   *[other] { $kind }
}: { $stars } ⭐, lines: { $lines }
admin-reconcile-same = No difference.
admin-reconcile-explained = The difference of { $stars } ⭐ is explained in full.
admin-reconcile-unexplained = ❌ { $stars } ⭐ are not explained.
admin-reconcile-balance = The balance is { $balance } ⭐ by Telegram's word, { $listed } ⭐ by its list.
# What Telegram had and was booked now
admin-reconcile-booked = Found and booked: payments { $credited }, refunds { $refunded }, chargebacks { $charged }.
admin-reconcile-failed = ⚠️ Could not be booked: { $count }. The log says why.
admin-reconcile-unread = Telegram did not answer; compared with what was read before.
admin-reconcile-partial = The list is long and was not read to its end; reading goes on by itself.

# Roubles: sums come as strings, with a sign
admin-reconcile-roubles-head = Roubles since { MOMENT($since) }. YooKassa has { $theirs } ₽ (lines: { $lines }), we have { $ours } ₽
# $kind - what explains the difference, $sum - by how much, with a sign
admin-reconcile-roubles-class = • { $kind ->
    [not_ours] not through Forma
    [missing] ⚠️ ours, and not at YooKassa
    [amount_differs] ⚠️ amounts differ
    [status_differs] ⚠️ statuses differ
   *[unknown] ⚠️ at YooKassa, and not ours
}: { $sum } ₽, lines: { $lines }
admin-reconcile-roubles-followed = Booked now: { $count }.
admin-reconcile-roubles-unread = Roubles are not reconciled: YooKassa did not answer.

## /export

admin-export-usage = Which days? The first and the last, in UTC: /export 2026-10-01 2026-12-31
admin-export-caption = Rows: { $rows }
# $books - do the sums agree with the ledger (agree, differ), $astray - by how many kopecks they differ
admin-export-roubles-caption = Roubles. Rows: { $rows }. Received { ROUBLES($paid) }, returned { ROUBLES($refunded) }. { $books ->
    [differ] ⚠️ The books differ by { ROUBLES($astray) }: /health
   *[agree] The books agree.
}
error-no-period = Two days are needed, such as 2026-10-01 2026-12-31.
error-period-too-long = The period is too long: a table has at most { $days } days and { $rows } rows. Take a shorter one.

## /chargeback

admin-chargeback-usage = Which payment? Its id at Telegram or YooKassa: /chargeback stx123
admin-chargeback-none = There is no such payment, or its money is gone already.
admin-chargeback-refunding = A refund of this payment is under way. What becomes of it YooKassa will say; then try again.
# $id - the person's id, $at - when it was paid
admin-chargeback-confirm = Book this payment as charged back? { payment-sum } · { $id } · { MOMENT($at) }. Access ends, what is left of the tokens goes, what was spent is owed.
button-chargeback-confirm = Charged back
button-chargeback-cancel = Leave it
admin-chargeback-done = Booked: the payment was charged back.
admin-chargeback-cancelled = Nothing changed.
admin-chargeback-expired = The confirmation has expired, nothing changed. Send /chargeback again.

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
# The message about a payment did not reach us; $outcome - credited, quarantined or over (the paid time has passed)
admin-alert-star-payment-found = ⚠️ A lost payment was found: { STARS($stars) } · { $id } · { MOMENT($at) }. { $outcome ->
    [credited] It is credited.
    [over] The time it paid for is over: refund it, or /grant tokens.
   *[other] It stands in quarantine.
}
# $owed - how many tokens the person owes now
admin-alert-chargeback = ⚠️ A payment was charged back: { payment-sum } · { $id }. Subscription and tokens left are gone, { TOKENS($owed) } are owed.
# $kind - what differs, $subject - a line of the list or the number of our row, $stars - the sum, signed
admin-alert-stars-differ = ⚠️ Stars differ from Telegram's: { $stars } ⭐ · { $kind ->
    [amount_differs] another amount
    [missing] Telegram does not have it
    [unlisted] the balance is not its list's
    [uncredited] it could not be booked
   *[other] nobody knows what
} · { $subject }
admin-alert-stars-differ-more = ⚠️ More differences: { $count }. All of them are in the table star_differences.
# $reason - blocked or deleted
admin-alert-renewal-stopped = Renewal stopped: { $plan }, until { DAY($until) } · { $id } · { $reason ->
    [deleted] the person deleted their data
   *[other] the bot has been blocked for long
}
# A case waits for an answer; $left_s - how much is left until the promised time
admin-alert-case-due = ⚠️ { case-mark } · { $person_id }: an answer is due in { DURATION($left_s) }. To see it: /cases { $id }
# $left_s - how much it is overdue
admin-alert-case-overdue = ⚠️ { case-mark } · { $person_id }: the answer is overdue by { DURATION($left_s) }. To see it: /cases { $id }
# Its payer was promised an answer within 48 h; $age_s - for how long they have waited
admin-alert-quarantine-due = ⚠️ Payment #{ $payment_id } awaits a decision for { DURATION($age_s) }: { payment-sum } · { $person_id }. To see it: /quarantine
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
admin-alert-renewal-roubles = 💳 Renewal { ROUBLES($kopecks) } · { $what } · { $name } · { $id }
# $reason - YooKassa's reason as it is
admin-alert-card-failed = Renewal failed: { $plan }, { ROUBLES($kopecks) } · { $id } · { $reason }
admin-alert-payment-roubles = 💳 { ROUBLES($kopecks) } · { $what } · { $name } · { $id }
admin-alert-quarantine-roubles = ⚠️ A payment in roubles does not match its order: { ROUBLES($kopecks) } · { $id } · code { $code }. The money is here, the tokens are not granted.
# $reason - YooKassa's answer
admin-alert-roubles-refused = ⚠️ YooKassa does not take our payments: { $reason }. Nothing can be bought for roubles.
admin-alert-roubles-differ = ⚠️ Roubles differ from YooKassa's lists: { ROUBLES($kopecks) } · { $kind ->
    [missing] YooKassa does not have it
    [amount_differs] another amount
    [status_differs] another status
   *[unknown] we do not have it
} · { $subject }
admin-alert-roubles-differ-more = ⚠️ More differences in roubles: { $count }. All of them stand in rouble_differences.
admin-alert-refunded-roubles = Refunded { ROUBLES($kopecks) } · payment #{ $payment_id } · { $id }
# A part went back; $paid - what had been paid, $tokens - the tokens that went, $made - by us (here) or in YooKassa's profile (there)
admin-alert-refunded-part-roubles = A part of a payment went back: { ROUBLES($kopecks) } of { ROUBLES($paid) } · payment #{ $payment_id } · { $id } · { TOKENS($tokens) } taken back{ $made ->
    [there] { " " }· from YooKassa's merchant profile
   *[here] { "" }
}
# $reason - why, in YooKassa's words or ours
admin-alert-refund-failed-roubles = ⚠️ YooKassa did not refund { ROUBLES($kopecks) }: { $reason ->
    [overtaken] the money was refunded in its merchant profile instead
   *[other] { $reason }
} · payment #{ $payment_id } · { $id }. The person has the tokens again. To repeat it: /refund { $payment_id }
# A receipt that is missing: $kind - of a payment or a refund, $charge - its id at YooKassa, $status - YooKassa's word
admin-receipt-of = { $kind ->
    [refund] refund of
   *[payment] payment of
} { ROUBLES($kopecks) } · payment #{ $payment_id }
admin-receipt-mark = { admin-receipt-of } · { $charge } · { $status ->
    [canceled] YooKassa did not register it
   *[pending] YooKassa has not registered it for over a day
}
admin-alert-receipt-missing = ⚠️ A receipt is missing: { admin-receipt-mark }. Money and tokens are where they should be. Make it in YooKassa's merchant profile and press the button.
admin-alert-receipts-missing-more = ⚠️ More receipts are missing: { $count }. All of them: /receipts
admin-alert-receipt-came = ✅ YooKassa has issued a receipt after all: { admin-receipt-of }. If you have made one yourself, cancel the one too many.
admin-alert-refund-overdue-roubles = ⚠️ A refund of { ROUBLES($kopecks) } is not over yet: payment #{ $payment_id } · { $id }. YooKassa is asked every minute.
