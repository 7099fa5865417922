### The trial, promo codes, invitations. Spans and amounts come as plain numbers and dates.

command-promo = Enter a promo code
command-invite = Invite a friend
command-promo-admin = Promo codes

## Trial

# $plan - the plan to be tried; below the list of plans
trial-offer =
    Try { $plan }: { $days ->
        [one] { $days } day
       *[other] { $days } days
    } for free, { ANSWERS($tokens) }. Once, nothing to pay, and it charges nothing by itself.
button-trial = { $days ->
    [one] { $days } day free
   *[other] { $days } days free
}
# $plan - "Forma trial"
trial-started =
    { $plan }: until { DAY($until) }, { ANSWERS($tokens) }.
    Nothing will be charged: the trial ends by itself. If you like it, the plans are right here.
# A day before the end
trial-ending = { $plan } ends on { DAY($until) }. Nothing will be charged, and free tokens come every day. To go on as now, choose a plan.
trial-ended = { $plan }: the trial has ended, nothing was charged. Your conversations and settings are still here, and free tokens come every day.
error-trial-had = There is one trial for each person, and you have or had yours. What there is to choose from: /plans
error-trial-not-offered = The trial is for those who have bought nothing yet and have no plan. What you have: /subscription

## Days of a plan that nobody pays for

# A line of /subscription
subscription-granted =
    { $plan }: until { DAY($until) }, nothing to pay. It ends by itself and charges nothing.
    { TOKENS($tokens) } left.
granted-waiting = Waiting for their turn: { $days ->
    [one] { $days } day
   *[other] { $days } days
} of { $plan }, { ANSWERS($tokens) }. They begin when your present plan ends.
granted-begun = The days of your promo code have begun: { $plan } until { DAY($until) }, { ANSWERS($tokens) }. Nothing will be charged.
granted-ending = Your free days of { $plan } end on { DAY($until) }. Nothing will be charged. To go on, choose a plan.
granted-ended = { $plan }: your free days have ended, nothing was charged. Free tokens come every day.

## Promo codes

button-promo = I have a promo code
promo-ask = Send your promo code as a reply to this message. Or like this: /promo CODE
promo-placeholder = Promo code
promo-tokens = Promo code accepted: { TOKENS($tokens) }, until { DATE($until) }.
promo-days = Promo code accepted: { $plan } until { DAY($until) }, { ANSWERS($tokens) }. Nothing will be charged.
# The person has a plan as good: the days do not lapse, they wait
promo-days-wait = Promo code accepted: { $days ->
    [one] { $days } day
   *[other] { $days } days
} of { $plan }, { ANSWERS($tokens) }. Your present plan is as good, so they begin when it ends. While it renews they wait and do not lapse.
# A subscription in Telegram has one price, so a percentage off it comes in tokens
promo-percent = Promo code { $promo } accepted, it is yours until { DAY($until) }. A one-off purchase costs { $percent } % less. A subscription's price stays, and its first payment brings { $percent } % more tokens.
# Below the list of plans
promo-held = Your promo code { $promo } holds until { DAY($until) }: { $percent } % off a one-off purchase, or { $percent } % more tokens with a subscription's first payment. It may be for some plans only: you see the price before you pay.
# Above the payment
promo-sheet = By promo code: { STARS($stars) } instead of { STARS($full) }.
promo-sheet-bonus = By promo code the first payment brings { TOKENS($tokens) } more.
promo-bonus = And by promo code: { TOKENS($tokens) } more.
error-promo-unknown = There is no such promo code. Check letters and digits; capitals do not matter.
error-promo-over = Promo code { $promo } has ended.
error-promo-used = You have used promo code { $promo } already.
error-promo-first-purchase = Promo code { $promo } is for a first purchase, and you have bought before.
error-discount-under-way =
    The discount { $promo } waits for a payment you began
    Finish it, or wait: unfinished, it closes by itself within an hour and frees the discount.

## Invitations

# $url - the person's own link
invite =
    Your link for friends:
    { $url }
# $window_s - the refund window, seconds
invite-rule = A friend comes by it for the first time and buys something: you get { TOKENS($tokens) }. They come { DURATION($window_s) } after the friend has paid, when the money cannot be asked back any more.
invite-rule-friend = Your friend gets { TOKENS($tokens) } at the same moment.
invite-nobody = Nobody has come by it yet.
# $came - how many came, $rewarded - how many of them brought a reward, $tokens - tokens earned
invite-standing = { $came ->
    [one] { $came } person has come
   *[other] { $came } people have come
}, rewards: { $rewarded }. Earned { TOKENS($tokens) }.
invite-share = A coach in Telegram: it answers about training, food and sleep.
invite-off = Invitations are off right now.
invite-rewarded = Your friend has joined Forma. You get { TOKENS($tokens) }. Thank you for telling them.
invite-welcome = You came by an invitation and stayed: here are { TOKENS($tokens) }.
button-invite-share = Share

## The operator's group: /promo

admin-promo-usage =
    /promo list — codes, and how often they were used
    /promo new CODE tokens=50000 days=30 — tokens for so many days
    /promo new CODE plan=forma days=7 — days of a plan
    /promo new CODE percent=20 plans=pack — a percentage off; for a subscription in Stars it is tokens on top
    /promo end CODE — end it

    With any code: uses=100 (in all), from=2027-01-01 until=2027-01-31 (days in UTC, both included), first (before a first purchase only). Each person once. A code has 3 to 32 letters, digits, _ and -.
# $what - what was not understood
admin-promo-bad = I don't understand: { $what }
admin-promo-none = There are no promo codes yet.
admin-promo-head = Promo codes, those that can be used first:
# $most - the limit or none
admin-promo-row = • { $promo } · { $what } · used { $uses }{ $most ->
    [none] { "" }
   *[other] { " " }of { $most }
}{ $state ->
    [ended] { " " }· ended
    [spent] { " " }· used up
    [waits] { " " }· not yet begun
   *[open] { "" }
}
admin-promo-tokens = { TOKENS($tokens) } for { $days ->
    [one] { $days } day
   *[other] { $days } days
}
admin-promo-days = { $plan } for { $days ->
    [one] { $days } day
   *[other] { $days } days
}
admin-promo-percent = −{ $percent } %
admin-promo-plans = only { $plans }
admin-promo-first = before a first purchase
admin-promo-from = from { DATE($at) }
admin-promo-until = to { DATE($until) }
admin-promo-confirm = Make promo code { $promo }? { $what }, uses: { $most ->
    [none] without limit
   *[other] at most { $most }
}.
button-promo-confirm = Make it
admin-promo-end-confirm = End promo code { $promo }? Used: { $uses }. Whoever holds its percentage keeps it.
button-promo-end = End it
button-promo-drop = No
admin-promo-made = Promo code { $promo }: { $what }. Made by { $by }
admin-promo-link = Link: { $url }
admin-promo-ended = Promo code { $promo } has ended. Confirmed by { $by }
admin-promo-dropped = Nothing was changed.
admin-promo-expired = The confirmation has expired, nothing was changed. Send /promo again.
admin-promo-exists = Promo code { $promo } is there, or was. Take another one.
admin-promo-unknown = There is no such promo code: { $promo }

## The operator's group: where people come from, in /stats

admin-stats-sources = Where people came from in 30 days:
# $source - the name of a src_… link, or ref, promo, gift, none
admin-stats-source = • { $source ->
    [none] without a link
    [ref] by invitation
    [promo] by promo code
    [gift] by gift
   *[other] { $source }
}: { $count }, of them { $paying } paid
