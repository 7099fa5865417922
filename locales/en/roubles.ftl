### Paying in roubles: what is said in the chat and on the payment page. Amounts come in kopecks.

## In the chat

# Leads to the operator's own page, where the prices in roubles stand
button-site = Other ways to pay
# $kopecks - the price
button-buy-roubles = { $plan } · { ROUBLES($kopecks) }
pay-site-ready = The payment page opens in your browser. The link is for you alone and works for 30 minutes.
button-site-open = Open the page
pay-ready-roubles = { $plan }: { ROUBLES($kopecks) }. You pay by card or SBP on our page. The link is for you alone and works for 30 minutes.
button-pay-roubles = Pay { ROUBLES($kopecks) }

paid-month = { $plan } until { DATE($until) }, { ANSWERS($tokens) }. It will not renew, and nothing more is charged.
paid-month-later = { $plan } from { DATE($day) } until { DATE($until) }, { ANSWERS($tokens) }. It will not renew, and nothing more is charged.
paid-pack-forever = The pack is yours: { TOKENS($tokens) }.
# $reason - YooKassa's reason or none
payment-declined = { $reason ->
    [insufficient_funds] The payment for { $plan } did not go through: not enough money on the card. Nothing was charged. Top it up or use another one: /plans
    [card_expired] The payment for { $plan } did not go through: the card has expired. Nothing was charged. Use another one: /plans
    [unconfirmed] The payment for { $plan } did not go through: your bank got no confirmation. Nothing was charged. To try again: /plans
    [payment_method_limit_exceeded] The payment for { $plan } did not go through: the card's limit is reached. Nothing was charged. Use another one or try tomorrow: /plans
   *[other] The payment for { $plan } did not go through: the bank declined it. Nothing was charged. To try again or use another card: /plans
}
paid-unclear-roubles = Your payment came in and we are checking it with YooKassa. There is nothing for you to do, we answer within 48 h. Code { $code }

paid-twice-roubles = You have paid for this already, so { ROUBLES($kopecks) } goes back to you. What you have: /subscription

## A saved card; $card - its ending, like *4444

# The first month was bought and the card is saved
paid-by-card = { $plan } until { DATE($until) }, { ANSWERS($tokens) }. Then { payment-sum } a month from card { $card }, with a reminder 3 days before. Cancel: /subscription
# 3 days before a charge; it may be later than the end of what is paid when the reminder could not come in time
card-charge-soon = On { DAY($day) } { payment-sum } will be charged for { $plan } from card { $card }.
renewed-by-card = { $plan } until { DATE($until) }, { ANSWERS($tokens) }. { payment-sum } charged from card { $card }.
card-charge-failed = { card-refusal } We will try again on { MOMENT($next_at) }. You keep access until { DAY($until) }.
card-charge-given-up = { card-refusal } { $dead ->
    [yes] This card will not be charged again.
   *[no] We will not try again by ourselves.
} You keep access until { DAY($until) }. To renew, pay with another card.
card-needs-email = { payment-sum } for { $plan } was not charged from card { $card }: there is no address to send the receipt to. Pay on our page, where you give one, and all goes on by itself. You keep access until { DAY($until) }.
# $reason - YooKassa's reason
card-refusal = { $reason ->
    [insufficient_funds] Card { $card } did not have { ROUBLES($amount) } for { $plan }.
    [card_expired] Card { $card } has expired, so { ROUBLES($amount) } for { $plan } could not be charged.
    [payment_method_limit_exceeded] Card { $card } has reached its limit, so { ROUBLES($amount) } for { $plan } could not be charged.
    [issuer_unavailable] The bank of card { $card } did not answer, so { ROUBLES($amount) } for { $plan } could not be charged.
    [permission_revoked] Charges from card { $card } were revoked, so { ROUBLES($amount) } for { $plan } could not be charged.
    [unconfirmed] The bank of card { $card } wants you to confirm { ROUBLES($amount) } for { $plan }.
    [ours] { ROUBLES($amount) } for { $plan } could not be charged from card { $card }: YooKassa did not answer.
   *[other] The bank of card { $card } refused { ROUBLES($amount) } for { $plan }.
}
charge-still-under-way = One charge is already under way and cannot be stopped. If it goes through, the month is yours, and you can get the money back in /payments.
card-removed = Card { $card } is removed and will not be charged again. { $plan } works until { DAY($until) }.
card-remove-confirm = Remove card { $card }? { $plan } will not renew; you keep access until { DAY($until) }.
change-on-page = { $next_plan } is paid on our page and begins at once. Tick there that the card is saved: then { $plan } no longer renews. You keep its tokens and access until { DAY($until) }. If you don't pay, nothing changes.
expired-next-plan-roubles = { $plan } has ended. You wanted { $next_plan } next: { ROUBLES($kopecks) } a month.
card-pay-ready = The next month of { $plan } is paid on our page, with any card. The link is yours alone and works for 30 minutes.
button-card-remove = Remove card { $card }
button-card-remove-confirm = Yes, remove
button-card-other = Pay with another card
button-card-pay = Pay now
button-card-resume = Renew by card
error-charge-under-way =
    This month is being paid
    The saved card is being charged. The bot will tell you in the chat how it ends.
error-month-paid =
    This month is paid already
    The bot shows what you have: /subscription

## Refunds: the money went, or YooKassa did not give it back; $tokens - how many tokens had been taken

refunded-roubles = Refunded { ROUBLES($kopecks) }. The tokens of this purchase are gone; the money takes a few days to reach the card.
# $paid - what had been paid, $tokens - the tokens that went
refunded-part-roubles = Refunded { ROUBLES($kopecks) } of { ROUBLES($paid) }. { $tokens ->
    [0] What you bought stays yours
   *[other] With it went { TOKENS($tokens) }; everything else stays yours
}. The money takes a few days to reach the card.
refund-failed-roubles = { ROUBLES($kopecks) } could not be refunded yet: YooKassa did not carry it out. { $tokens ->
    [0] The operator knows
   *[other] The tokens of this purchase are yours again. The operator knows
} and will look into it. To write to them: /paysupport

## The payment page

pay-title = Payment
# What the purchase brings, $lasts_s - for how long, seconds
pay-brings = { TOKENS($tokens) } for { DURATION($lasts_s) }. A one-off purchase, never renews.
# Above the list of what is sold
pay-choice = What to buy
# A month of a subscription, paid in roubles
pay-brings-month = { TOKENS($tokens) } for a month. It will not renew, and nothing more is charged.
# The same, when a card may be saved for renewals
pay-brings-months = { TOKENS($tokens) } for a month. It will not renew unless you tick that below.
# $day - from which day
pay-next-month = The next month, from { DATE($day) }.
# The tick below a payment: $kopecks - the price of a month
pay-keep = Save the card and charge { ROUBLES($kopecks) } every month. We remind you 3 days before; cancel or remove the card at any time: /subscription
pay-keep-without-percent = Save the card and charge { ROUBLES($kopecks) } every month from the first one: your promo discount then comes as tokens. We remind you 3 days before; cancel or remove the card at any time: /subscription
pay-keep-instead = From now on charge { ROUBLES($kopecks) } a month from this card instead of { $card }. Cancel or remove it at any time: /subscription
pay-choose = Choose
pay-button = Pay { ROUBLES($kopecks) }
pay-button-plain = Go to payment
pay-email = E-mail for the receipt. Kept for your next purchases
# The refund rule, before paying
pay-rule = YooKassa handles the payment. Your money back within { $refund_hours } h if no more than { $refund_percent } % is spent: /payments in the chat.
pay-back = Back to the chat
pay-done =
    Paid, thank you
    The bot has written in the chat what you have now.
pay-returned = The money for this purchase was refunded
pay-pending =
    Waiting for your payment of { ROUBLES($kopecks) }
    If you have paid already, this page updates by itself.
pay-continue = Go to payment
pay-unknown =
    We are finding out whether the payment went through
    YooKassa will tell. There is no need to pay again: this page updates by itself, and a message comes to the chat.
pay-go-on = Continue
pay-declined = { $reason ->
    [insufficient_funds]
        Not enough money on the card
        Nothing was charged. Top it up or use another one.
    [card_expired]
        The card has expired
        Nothing was charged. Use another one.
    [invalid_card_number]
        The card's number was not accepted
        Nothing was charged. Check the number and try again.
    [invalid_csc]
        The code on the back of the card was not accepted
        Nothing was charged. Check it and try again.
    [unconfirmed]
        Your bank got no confirmation
        Nothing was charged. Try again or use another card.
    [payment_method_limit_exceeded]
        The card's limit is reached
        Nothing was charged. Use another one or try tomorrow.
    [country_forbidden]
        Cards of this country cannot be used here
        Nothing was charged. Use another one.
    [expired_on_confirmation]
        The time to pay ran out
        Nothing was charged. You can start again.
   *[other]
        The bank declined it
        Nothing was charged. Try again or use another card.
}
# YooKassa refused the payment: nothing was charged
pay-refused =
    The payment was not accepted
    Nothing was charged. We know already and will look into it.

error-payment-refused =
    The payment was not accepted
    Nothing was charged. Open a new link: /plans
error-link-unknown =
    There is no such link
    The bot gives you a new one: /plans in the chat.
error-link-expired =
    This link has expired
    The bot gives you a new one: /plans in the chat.
error-email-needed = Please give an e-mail address: the receipt goes there.
