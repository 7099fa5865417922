### What is bought once, gifts, and changing plans. Plans' names come as $plan.

## A year and other time that does not renew

# $tokens - in each month, $months - how many months, $stars_month - what it comes to a month
plans-row-once =
    { $plan } · { STARS($stars) }
    { ANSWERS($tokens) } every month, { $months ->
        [one] { $months } month
       *[other] { $months } months
    }. That is { STARS($stars_month) } a month, and it never renews
once-before-paying = You pay once for { $months ->
        [one] { $months } month
       *[other] { $months } months
    }. Tokens come every month, { ANSWERS($tokens) } each time. It never renews.
# $day - when what the person has ends
once-begins-later = It begins on { DATE($day) }, when what you have ends: not a day is lost.
# The person has a subscription that renews: $day - when, $amount, $currency - for how much
once-beside-renewal = { $plan } renews by itself: on { DAY($day) } you will be charged { payment-sum }. To avoid paying twice, cancel its renewal: /subscription. You keep what is paid for.
# The other way round: the time is paid for, and a subscription is being bought
renewal-beside-once = You already have { $plan } until { DATE($until) }. The subscription starts right away and runs beside it, not after it.
invoice-title-once = { $plan }
invoice-description-once = { TOKENS($tokens) } every month, { $months ->
        [one] { $months } month
       *[other] { $months } months
    }. A one-off purchase, never renews. Refund: { $refund_hours } h, if no more than { $refund_percent } % is spent.
paid-once = { $plan } until { DATE($until) }. Tokens come every month, { ANSWERS($tokens) }; the first are yours already. It never renews.
paid-once-later = { $plan } from { DATE($day) } until { DATE($until) }. Tokens will come every month, { ANSWERS($tokens) }. It never renews.
# $day - when it renews, $amount, $currency - for how much
renews-beside = { $plan } renews by itself: on { DAY($day) } you will be charged { payment-sum }. To avoid paying twice, cancel its renewal. You keep what is paid for.
button-cancel-of = Cancel { $plan }
# $until - when they lapse
month-granted = { $plan }: a new month, { TOKENS($tokens) } until { DATE($until) }.
# One has ended, but another is paid for
expired-goes-on = { $plan } has ended. Now you have { $next_plan } until { DATE($until) }.

## /subscription

subscription-once =
    { $plan }: until { DATE($until) }. It never renews and charges nothing.
    { TOKENS($tokens) } left.
subscription-once-next = The next tokens come on { DAY($day) }, { ANSWERS($tokens) }.
subscription-ahead = Then { $plan }: from { DATE($day) } until { DATE($until) }, { ANSWERS($tokens) } every month.
subscription-beside = Also { $plan }: until { DATE($until) }, does not renew.
subscription-beside-renews = Also { $plan }: until { DAY($until) }, then renews for { payment-sum }.

## Changing plans

button-change-plan = Change plan
change-plan = You have { $plan }. Which one instead?
change-plan-up = A bigger plan starts as soon as it is paid, and { $plan } stops renewing. You keep its tokens and access until { DAY($until) }.
change-plan-down = A smaller plan is offered on { DAY($until) }, when what is paid for ends. Until then everything stays as it is.
change-before-paying = The new plan starts right away. Once it is paid, { $plan } no longer renews; you keep its tokens and access until { DAY($until) }. If you don't pay, nothing changes.
plan-changed = { $plan } no longer renews. You keep its tokens and access until { DAY($until) }.
change-down-confirm = Go from { $plan } to { $next_plan }? No more charges, and you keep access until { DAY($until) }. On that day { $next_plan } is offered to you; it does not start by itself.
button-change-down = Yes, change
cancelled-next-plan = No more charges. Access until { DAY($until) }, then { $next_plan } is offered to you.
expired-next-plan = { $plan } has ended. You wanted { $next_plan } next: { STARS($stars) } for 30 days.
resume-beside = { $plan } renews already. To avoid paying twice, cancel that one first.

## Gifts

button-gift-choose = 🎁 Give a gift
button-gifts-given = My gifts
gift-choose = What would you like to give? Once it is paid you get a link to send to anybody.
gift-month = { $plan }, a month
button-give = { $what } · { STARS($stars) }
# $days - for how many days the link is valid
gift-before-paying = As a gift. Once it is paid you get a link that works once within { $days ->
        [one] { $days } day
       *[other] { $days } days
    }. While nobody has opened it, your money comes back within { $refund_hours } h.
invoice-title-gift = Gift: { $plan }
invoice-description-gift = { $plan } for somebody else. A one-off purchase, never renews. Once it is paid you get a link. Refund: { $refund_hours } h, while nobody has opened the gift.
# To the giver: the gift is paid
gift-ready =
    🎁 Your gift, { $plan }, is paid. The link works once, until { DATE($until) }:
    { $link }

    I will tell you when it is opened.
# The text that goes with the link to a friend
gift-share = A gift for you 🎁
button-gift-share = Send the link
button-gift-to = Choose the person
button-gift-person = Choose a person
gift-whom = Who is the gift for? Press the button below.
gift-offered = They know of your gift, { $plan }. I will tell you when it is opened.
# The bot does not know who was chosen
gift-send-yourself =
    I have not met this person and cannot write to them. Please send the link yourself:
    { $link }
# To whom it is given; $name - who gives
gift-for-you = 🎁 { $name } gives you { $plan }.
button-gift-take = Take the gift
gift-received = 🎁 { $plan } is yours until { DATE($until) }: { ANSWERS($tokens) } a month. It never renews and charges nothing.
# The receiver has something already: the gift begins after it
gift-received-later = 🎁 { $plan } is yours: from { DATE($day) }, when what you have ends, until { DATE($until) }. { ANSWERS($tokens) } a month, nothing is charged.
gift-received-pack = 🎁 { $plan } is yours: { TOKENS($tokens) } until { DATE($until) }.
gift-received-before = This gift, { $plan }, is yours already: /subscription
# To the giver; $name - who opened it
gift-taken = 🎁 { $name } has your gift, { $plan }.
gift-taken-back = The gift { $plan } was refunded to whoever bought it, so it is no longer valid. Your conversations and settings are still here, and free tokens come every day.
refunded-gift = { STARS($stars) } refunded. The gift { $plan } is no longer valid.
gift-ends-soon = Nobody has opened your gift, { $plan }, yet. The link is valid until { DATE($until) }. You can send it again, or keep the gift yourself.
gift-ended = Nobody opened the gift { $plan }, and its link is no longer valid. Questions: /paysupport
gifts-given = Your gifts. Press one to see its link and whether it was opened.
button-gift = { $plan } · { DAY($day) }
button-gift-show = Show the gift
gift-card =
    🎁 Nobody has opened { $plan } yet. The link works once, until { DATE($until) }:
    { $link }
gift-card-taken = 🎁 { $plan } was opened.
gift-card-withdrawn = { $plan }: the money is back or on its way, and the link does not work.
gift-card-ended = Nobody opened { $plan }, and its link is no longer valid. Questions: /paysupport
button-gift-keep = Keep it myself
button-gift-back = Get the money back
gift-back-confirm = Get { STARS($stars) } back for { $plan }? The link stops working at once.
button-gift-back-confirm = Yes, get it back
gift-back-asked = The link no longer works, your Stars are on their way back.

error-gift-unknown = There is no such gift. Check the link, or ask whoever sent it.
error-gift-taken = Somebody else has opened this gift already. The link works once.
error-gift-expired = This gift is past its date. Tell whoever gave it: they can write to /paysupport
error-gift-withdrawn = This gift was cancelled, and the money went back to the giver.
error-gift-not-yours = This gift can no longer be given.
error-gift-return-late = The time for a refund without questions is over. Write to us: /paysupport
error-gift-offered-often = I have told several people of this gift already. Please send the link yourself.
