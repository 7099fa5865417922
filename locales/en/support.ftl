### The history of payments, refunds, cases about payments. Plans' names come as $plan or $what.

## A payment in a line

# $amount - Stars or kopecks
payment-sum = { $currency ->
    [RUB] { ROUBLES($amount) }
   *[other] { STARS($amount) }
}
# $returned - what went back in parts, in kopecks
payment-state = { $state ->
    [paid] paid
    [refunding] being refunded
    [refunded] refunded
    [partly_refunded] { ROUBLES($returned) } refunded
    [charged_back] charged back
    [review] under review
   *[pending] awaiting confirmation
}
# A payment for which no order was found
payment-other = Payment without an order

## /payments

payments = Your payments
payments-none = No payments yet. What there is: /plans
payments-line = { DATE($at) } · { $what } · { payment-sum } · { payment-state }
# YooKassa's receipt beside a payment; late - YooKassa did not register it, the operator will make one
receipt = { $state ->
    [issued] receipt issued
    [late] receipt delayed
   *[pending] receipt on its way
}
receipt-of-refund = { $state ->
    [issued] refund receipt issued
    [late] refund receipt delayed
   *[pending] refund receipt on its way
}
button-refund = Get a refund · { $what }
button-payments-newer = ← Newer
button-payments-older = Earlier →

## Refunds

# $at - the day of the payment, $refund_hours and $refund_percent - the rule
refund-ask =
    Get { payment-sum } back for { $what } of { DATE($at) }?

    The rule: your money goes back at once within { $refund_hours } h if no more than { $refund_percent } % of the tokens is spent. This payment fits.

    The tokens of this purchase go now. If it is a subscription, it will not renew any more, and your access ends when the money has gone back.
button-refund-yes = Yes, refund it
button-refund-no = Keep it
refund-kept = All right, everything stays as it is.
refund-begun = { payment-sum } for { $what } is on its way back. The tokens of that purchase are gone. I will write when the money has left. All payments: /payments
# $why - why not at once, $spent - percent of the tokens spent
refund-by-case =
    { $what } of { DATE($at) }, { payment-sum }.

    { $why ->
        [late] It can't go back at once: more than { $refund_hours } h have passed.
        [spent] It can't go back at once: { $spent } % of the tokens is spent, and the rule allows { $refund_percent } %.
        [often] It can't go back at once: you have had refunds in the last three months.
        [gift] This is a gift, and its tokens are not with you any more.
        [part] A part of this payment was refunded already. The operator decides about the rest.
       *[review] We are still checking this payment; no tokens were given for it.
    }

    Write to the operator, who decides and answers within 48 h.
button-case-open = Write to the operator
toast-refunding = It is on its way back already.
# $why - as above
error-refund-not-at-once = It can't go back at once any more: something has changed. Write to the operator: /paysupport
error-payment-unknown = You have no such payment. Your payments: /payments
# A payment that did not match its order is credited after all; $ends - whether it ends some day (yes, no), $kind - a plan or else
credited-after-all = We have sorted out your payment: { $plan }, { TOKENS($tokens) }{ $ends ->
    [yes] , until { DATE($until) }
   *[no] { "" }
}.{ $kind ->
    [subscription] { " " }The plan will not renew, a new one is in /plans.
   *[other] { "" }
} Thank you for your patience.

## Cases

# The first words of every message about a case: by them an answer finds its case
case-mark = Case #{ $id }
# $contact - where else to write, or none
paysupport-cases =
    Is something wrong with a payment? Choose what it is about and tell us in one message what happened. Forma's operator answers here within 48 h.{ $contact ->
        [none] { "" }
       *[other] { " " }You can also write to { $contact }
    }

    To cancel a subscription: /subscription. Refund without questions: /payments, { $refund_hours } h after buying, if no more than { $refund_percent } % is spent.

    Telegram's support does not handle these questions, we do.
case-line = { case-mark }: { $status ->
    [open] with the operator, answer by { MOMENT($due_at) }
   *[answered] the operator has answered
}
button-case-payment = { DAY($at) } · { $what } · { payment-sum }
button-case-other = Another question
button-case-add = Add to #{ $id }
case-prompt-payment = { $what }, { payment-sum }, { DATE($at) }
case-prompt = Tell me in one message what happened, up to { $chars_max } characters: I will pass it to the operator. Changed your mind: /cancel
button-case-drop = Don't write
case-dropped = All right, nothing was sent to the operator.
nothing-to-cancel = There is nothing to cancel. To stop an answer: /stop. To cancel a subscription: /subscription
case-opened = { case-mark } is with the operator. The answer comes here by { MOMENT($due_at) }.
case-added = Added, { case-mark } is with the operator. The answer comes here by { MOMENT($due_at) }.
case-too-long = That is too long. Shorten it to { $chars_max } characters and send it again, or /cancel
case-text-only = I can only pass text to the operator. Put it in words, or /cancel
# $text - the operator's words
case-answer =
    { case-mark }: the operator's answer

    { $text }
button-case-reply = Reply
case-closed = { case-mark } is closed. If a question remains: /paysupport
error-case-closed = This case is closed. A new one: /paysupport
error-cases-many = You have many cases already. Wait for an answer or add to an open one: /paysupport
error-case-words-many = All that you wrote is with the operator. Please wait for the answer.
