### Tokens and money. A number of tokens always stands next to a number of answers. Plans' names come as $plan.

## What is left

# $tokens - free tokens
balance = You have { TOKENS($tokens) }.
balance-plan = Plan: { $plan }.
# The answer that runs right now keeps a part for itself
balance-reserved = Kept for running answers: { $tokens }. What is not used comes back.
# Spent from a purchase whose payment was taken back
balance-debt = Owed for a payment that was taken back: { TOKENS($tokens) }. Your next purchase makes up for it.
balance-lots = Made up of:
# $kind - where the tokens come from, $until - when they lapse
balance-lot = • { $kind ->
    [daily] today's
    [welcome] welcome gift
    [trial] trial
    [subscription] subscription
    [pack] pack
    [gift] gift
    [grant] from Forma
    [promo] promo code
    [courtesy] on us
   *[other] other
}: { $tokens }, until { DATE($until) }
balance-lot-forever = • { $kind ->
    [grant] from Forma
    [pack] pack
   *[other] other
}: { $tokens }, no end date
# $tokens - how many will come, $next_s - in how many seconds
balance-next = The next { $tokens } come in { DURATION($next_s) }.
# $percent - percent left; one warning a period
low-balance = { $percent } % of your tokens left, { ANSWERS($tokens) }.
# New tokens come in $next_s seconds
low-balance-next = { $percent } % of your tokens left, { ANSWERS($tokens) }. New ones in { DURATION($next_s) }.
# Below an answer that was finished at Forma's expense
courtesy = I finished this one on the house. Your tokens have run out.
courtesy-next = I finished this one on the house. New tokens in { DURATION($next_s) }
# The operator granted tokens
grant-received = You have been given { TOKENS($tokens) }. Thank you for being with us.

## Subscription

subscription-none = No subscription, I answer from your free tokens. What there is to choose from: /plans
# $until - end of the paid period, $stars - the next payment
subscription-active =
    { $plan }: until { DAY($until) }, then renews for { STARS($stars) }.
    { TOKENS($tokens) } left.
subscription-cancelled =
    { $plan }: until { DAY($until) }. No more charges.
    { TOKENS($tokens) } left.
# $card - the ending of the number of the card that renews the subscription
subscription-by-card =
    { $plan }: until { DAY($until) }, then { payment-sum } from card { $card }.
    { TOKENS($tokens) } left.
subscription-charging = { $plan }: renewing, { payment-sum } from card { $card }. Access until { DAY($until) }.
subscription-past-due = { $plan }: the payment failed. Access until { DAY($until) }, renewal costs { payment-sum }.
subscription-trialing = { $plan }: until { DAY($until) }. The trial ends by itself and charges nothing.
# $tokens - what lapses before anything else, $until - when
subscription-lapse = First to lapse: { TOKENS($tokens) } on { DAY($until) }. Everything by date: /balance

button-subscription-cancel = Cancel subscription
button-cancel-confirm = Yes, cancel
button-cancel-keep = Keep it
button-subscription-resume = Resume
cancel-confirm = Cancel { $plan }? No more charges, and you keep access until { DAY($until) }.
cancelled = No more charges. Access until { DAY($until) }.
cancel-kept = All right, everything stays as it is.
resumed = The subscription is active again: on { DAY($until) } it renews for { payment-sum }.
# Only the person can resume, in Telegram's settings
resume-in-telegram =
    Renewal is allowed again. It remains for you to confirm it in Telegram:
    Settings → My Stars → My Subscriptions → Forma → Renew.
expired = { $plan } has ended. Your conversations and settings are still here, and free tokens come every day. To return: /plans

## Renewal

# 3 days before the charge
renewal-soon = On { DAY($day) } you will be charged { STARS($stars) } for { $plan }. Cancel: /subscription
renewed = { $plan } until { DAY($until) }, { ANSWERS($tokens) }. Charged { STARS($stars) }.
renewal-failed = There weren't { STARS($stars) } to charge. You keep access for { DURATION($grace_s) }
# The person blocked the bot long ago and we stopped the renewal ourselves; said when they come back
renewal-stopped = Welcome back! While the bot was blocked, we stopped the renewal of { $plan } on { DAY($since) }, so as not to charge { payment-sum } for nothing. To have it again: /plans
button-renew = Renew
button-to-free = Go to free

## Plans and buying

plans = Plans for 30 days
# $tokens - a month, $in_flight - answers at once, $per_minute - questions a minute
plans-row =
    { $plan } · { STARS($stars) }
    { ANSWERS($tokens) }, { $per_minute ->
        [one] { $per_minute } question
       *[other] { $per_minute } questions
    } a minute, { $in_flight ->
        [one] { $in_flight } answer
       *[other] { $in_flight } answers
    } at once
# $tokens - a day
plans-row-free =
    { $plan } · { STARS(0) }
    { ANSWERS($tokens) } every day
plans-row-pack =
    { $plan } · { STARS($stars) }
    { ANSWERS($tokens) } for { DURATION($lasts_s) }, no subscription
plans-current = You have: { $plan }
plans-current-until = You have: { $plan }, until { DATE($until) }
plans-answers-note = A usual answer takes about 1,000 tokens; a long one takes more, a short one less.
# The refund rule, before paying
plans-refund = Cancel any time. Your money back within { $refund_hours } h if no more than { $refund_percent } % is spent.
button-plans = Plans
button-buy-plan = { $plan } · { STARS($stars) }
button-buy-pack = Pack { STARS($stars) }
button-connected = ✓ Active
button-paid = ✓ Paid
button-pay = Pay { STARS($stars) }
button-stars-where = Where to get Stars
buy = What would you like?
# $stars - the price
pay-ready = { $plan }: { STARS($stars) }. You pay inside Telegram.
plan-already = You already have { $plan }, until { DAY($until) }.
buying-off = Buying is closed right now. Free tokens come every day.
stars-where =
    Stars are Telegram's own currency.

    To buy: Settings → My Stars → Buy Stars. The official @PremiumBot sells them too.

    Once you have the Stars, come back to /plans: the price stays the same.

## The payment sheet: title up to 32 characters, description up to 255

invoice-title-subscription = { $plan }, 30 days
invoice-description-subscription = { TOKENS($tokens) } for 30 days. Renews by itself, cancel any time: /subscription. Refund: { $refund_hours } h, if no more than { $refund_percent } % is spent.
invoice-title-pack = Token pack
invoice-description-pack = { TOKENS($tokens) } for { DURATION($lasts_s) }. A one-off purchase, never renews. Refund: { $refund_hours } h, if no more than { $refund_percent } % is spent.
invoice-label = { $plan }

## Refused before paying: Telegram shows it to the person

error-order-expired = This invoice has expired. There is a new one in /plans
error-order-of-another = This invoice was made for someone else. Yours is in /plans.
error-order-price-differs = The price has changed. The new one is in /plans.
error-order-paid = This is already paid, there is no need to pay twice.
error-not-for-sale = This is not on sale any more. What is: /plans
error-second-subscription = You have a subscription already, one is enough: /subscription
error-order-unknown = There is no such invoice. Open a new one: /plans
error-not-refundable = There is nothing to give back for this payment: it was refunded already, or never came.
error-refund-more-than-left = That much cannot be refunded: less is left of this payment.
error-refund-whole-only = Stars are refunded whole only.
checkout-failed = The invoice could not be checked, nothing was charged. Try again.

## After paying

paid-subscription = { $plan } until { DAY($until) }, { ANSWERS($tokens) }. Cancel: /subscription
paid-pack = The pack is yours: { TOKENS($tokens) }, until { DATE($until) }.
paid-unclear = Your payment came in and we are checking it with Telegram. There is nothing for you to do, we answer within 48 h. Code { $code }
# Said to whoever paid
paid-other-person = This invoice was made for someone else, so we are sending your { STARS($stars) } back. Yours is in /plans
paid-twice = You have a subscription that is paid already, so we are sending { STARS($stars) } back. What you have: /subscription
refunded = { STARS($stars) } refunded. The tokens of that purchase are gone.
# The payment was taken back through a bank or an app store; $owed - the tokens that were spent
charged-back = The { payment-sum } for your purchase were taken back from us. { $owed ->
    [0] Its tokens and access are gone.
   *[other] Its tokens and access are gone, and { TOKENS($owed) } had been spent. Your next purchase makes up for them.
} If this is a mistake, write to us: /paysupport
# $left - what is still owed
debt-repaid = Of this purchase, { TOKENS($tokens) } went to make up for the payment that was taken back. { $left ->
    [0] Nothing is owed any more.
   *[other] { TOKENS($left) } are still owed.
}
paysupport =
    A question about a payment: { $contact }
    Tell us the day and the amount. We answer within 48 h.

    To cancel a subscription: /subscription. Refund without questions: { $refund_hours } h after buying, if no more than { $refund_percent } % is spent.

    Telegram's support does not handle these questions, we do.
paysupport-here =
    Forma's operator handles questions about payments and answers within 48 h.

    To cancel a subscription: /subscription. Refund without questions: { $refund_hours } h after buying, if no more than { $refund_percent } % is spent.

    Telegram's support does not handle these questions, we do.
