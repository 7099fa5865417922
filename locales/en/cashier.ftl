### Money in the operator's group: payments, refunds, quarantine, cases.

## /payments

admin-payments-usage = Whose payments? /payments 12345, /payments @name or /payments A1B2C3
admin-payments = Payments: { $name } · { $person_id }
# $reason - why the payment was or is in quarantine, or none
admin-payment-line = #{ $payment_id } · { DATE($at) } · { $what } · { payment-sum } · { payment-state }{ $reason ->
    [none] { "" }
   *[other] { " " }· { $reason }
}
# $query - a number, a code or a charge id
admin-payment-none = No such payment: { $query }

## /refund

admin-refund-usage = Which payment? /refund 17, an error code, or Telegram's transaction id. The numbers: /payments who
admin-refund-person = Paid by: { $person_id }
# $left - tokens left, $percent - percent spent
admin-refund-tokens = Bought { TOKENS($tokens) }. { $left } left, which go; what was spent ({ $percent } %) is forgiven.
admin-refund-no-tokens = No tokens came of this payment.
admin-refund-rule = The rule, { $refund_hours } h and { $refund_percent } %: { $verdict ->
    [at_once] fits
    [late] more time has passed
    [spent] more is spent
    [often] this person refunds often
    [gift] a gift
    [part] a part went back already
    [review] in quarantine
   *[other] { $verdict }
}
# $command - the finished command, $delay_s - the pause in seconds, $what - the whole amount (whole) or what is left (rest)
admin-refund-confirm =
    { $what ->
        [rest] All that is left goes back.
       *[whole] The whole amount goes back.
    } To refund it, in { DURATION($delay_s) } send the command with the amount, a reason if you like:
    { $command }
admin-refund-part = To refund a part: /refund { $payment_id } 50.50
# Stars do not go back in part; $command - the finished command
admin-refund-whole-only =
    Telegram refunds Stars whole, a part is not possible. You can give tokens instead: /grant. The whole amount:
    { $command }
# $kopecks - what goes back, $rest - of how much, $tokens - the tokens that go with it
admin-refund-part-confirm = Refund { ROUBLES($kopecks) } of { ROUBLES($rest) }? The share of the tokens left goes with it: { TOKENS($tokens) }. Access and subscription stay. You can confirm in { DURATION($delay_s) }.
button-refund-part = Refund { ROUBLES($kopecks) }
button-refund-part-no = Don't refund
admin-refund-part-left = Nothing was refunded.
toast-refund-early = Too early: look for another { DURATION($wait_s) }, then press again.
# $by - who confirmed
admin-refund-part-done = Refunding { ROUBLES($kopecks) } of { ROUBLES($rest) }: payment #{ $payment_id } · { $person_id }. Confirmed by { $by }. I will write when the money has left.
admin-refund-not-now = Payment #{ $payment_id } can't be refunded: { payment-state }.
admin-refund-first = Look at the payment first: /refund { $payment_id }
admin-refund-amount = The amount does not match, nothing was refunded. Look again: /refund { $payment_id }
admin-refund-early = Too early: wait another { DURATION($wait_s) } and send it again.
# $by - who confirmed
admin-refund-done = Refunding { payment-sum }: payment #{ $payment_id } · { $person_id }. Confirmed by { $by }. I will write when the money has left.

## /quarantine

admin-quarantine = Payments that do not match their order:
admin-quarantine-none = The quarantine is empty.
# $reason - the reason as in the docs, $way - what can be done, $age_s - how long it has waited
admin-quarantine-line = #{ $payment_id } · { payment-sum } · { $person_id } · { $reason } · waits { DURATION($age_s) } · { $way ->
    [refunding] being refunded
    [refund] refund only
   *[both] credit or refund
}
admin-quarantine-usage =
    Credit what its order says: /quarantine 17 credit
    Credit to whom and what: /quarantine 17 credit 12345 pack
    Refund: /refund 17
admin-credit-confirm = Credit payment #{ $payment_id }, { payment-sum }? To: { $name } · { $person_id }. What: { $what }, { TOKENS($tokens) }. A plan runs for 30 days from this minute and does not renew.
button-credit-confirm = Credit
button-credit-cancel = Don't credit
admin-credit-done = Credited: payment #{ $payment_id }, { payment-sum } → { $name } · { $person_id }: { $what }, { TOKENS($tokens) }. Confirmed by { $by }
admin-credit-cancelled = Not credited, the payment stays in quarantine.
toast-request-gone = The confirmation has expired, nothing was done. Send the command again.
error-not-in-quarantine = This payment awaits no decision: it is not in quarantine, or is being refunded already.
error-only-refundable = For this reason the payment can only be refunded: /refund
error-product-unknown = It is not clear what to credit. Name the person and a product of plans.toml: /quarantine 17 credit 12345 pack

## /receipts

admin-receipts = Missing receipts:
admin-receipts-none = Every receipt is issued or on its way.
# $at - since when it is awaited
admin-receipts-line = • { DATE($at) } · { admin-receipt-mark }
admin-receipts-more = And more: { $count }
admin-receipts-usage = A receipt is made in YooKassa's merchant profile, by the id of the payment or refund. Press the button when it is done.
button-receipt-made = Receipt #{ $payment_id } made
admin-receipt-made = Noted: the receipt of payment #{ $payment_id } was made by hand. Noted by { $by }

## Cases

# $what - what was paid for (none - no payment, unknown - no order), $due_at - the promised answer, $status - whether the person waits, $text - the person's words
admin-case =
    { case-mark } · { $name } · { $person_id }
    { $what ->
        [none] No payment
        [unknown] Payment without an order #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
       *[known] { $what } · payment #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
    }
    { $status ->
        [open] An answer is promised by { MOMENT($due_at) }: reply to this message.
        [answered] Answered. Reply to this message to add something.
       *[closed] Closed.
    }

    { $text }
admin-case-more =
    { case-mark }: more · { $name } · { $person_id }
    { $what ->
        [none] No payment
        [unknown] Payment without an order #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
       *[known] { $what } · payment #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
    }
    An answer is promised by { MOMENT($due_at) }: reply to this message.

    { $text }
button-case-close = Close
button-case-refund = Refund…
admin-case-sent = Sent: { case-mark }.
admin-case-sent-later = Noted: { case-mark }. The person has blocked the bot; the answer arrives if they come back within a week.
admin-case-text-only = I can only pass on text of up to { $chars_max } characters.
admin-case-gone = { case-mark } is closed, nothing was sent.
admin-case-closed = { case-mark } is closed. Closed by { $by }
admin-case-none = No such case: { $query }
# $author - who said it, $text - the words
admin-case-said = { MOMENT($at) } · { $author ->
    [person] the person
   *[operator] the operator
}: { $text }
admin-cases = Cases:
admin-cases-none = No open cases.
# $age_s - how long it is open, $left_s - how much is left, or how much it is overdue
admin-cases-line = #{ $id } · { $name } · { $person_id } · open for { DURATION($age_s) } · { $urgency ->
    [waits] answer within { DURATION($left_s) }
    [late] overdue by { DURATION($left_s) }
   *[answered] answered
}
admin-cases-usage = To see one in full: /cases 12
