### The conversation: the first minute, answers, the queue, stopping, what cannot be read.

## The first minute

start =
    I am Forma, an AI coach for sport, your body and your goals. Not a doctor.

    Ask me anything, even in one short line.

    Terms: /terms · 18+
start-again = Welcome back. Ask away, I remember where we left off. Start afresh: /new
button-example-training = A plan for three days a week
button-example-sleep = How do I sleep better?
button-example-protein = How much protein do I need?
# What is sent as the question when an example button is pressed
example-training = Make me a training plan for three days a week. I am a beginner and have no gym.
example-sleep = How can I sleep better if I go to bed late and get up early?
example-protein = How much protein do I need a day, and how do I work it out for my weight?

# $think - yes where the model can reason, else no
help =
    Write as you would to a coach who is always around: training, food, sleep, recovery, goals.

    /new — a new conversation
    /dialogs — all conversations
    /context — what I remember of this one
    /stop — stop the answer{ $think ->
        [yes] { "" }
    /think — think deeper
       *[no] { "" }
    }
    /balance — what is left
    /plans — plans and packs
    /subscription — your subscription and how to cancel it
    /promo — enter a promo code
    /invite — invite a friend
    /payments — payments and refunds
    /settings — look and length of answers
    /language — language
    /support — questions and faults
    /terms, /privacy, /paysupport

    I am an AI and can be wrong. For pain, injury or illness, see a doctor.

new-dialog = A new conversation. What shall we talk about?

## Queue and preview

# $position - the place (1 is next), $low_s and $high_s - the estimated wait in seconds
queue-position = { $position ->
    [1] You are next
   *[other] You are number { $position } in line
}, ≈ { RANGE($low_s, $high_s) }. You can close the chat, the answer will come.
# While there is no estimate yet
queue-position-only = { $position ->
    [1] You are next.
   *[other] You are number { $position } in line.
} You can close the chat, the answer will come.

## The answer

# The model wrote nothing
answer-empty = The answer came out empty. Ask it another way and I will do my best.
# The answer reached its own limit; $plan - the plan with which answers are longer, or none
answer-cut = The answer reached its length limit.{ $plan ->
    [none] { "" }
   *[other] { " " }With { $plan } answers are longer: /plans
}
button-continue = Continue
button-redo = Start over
button-shorter = Shorter
button-deeper = In depth
toast-shorter = Making it shorter
toast-deeper = Going deeper
toast-continuing = Going on
# The question of this answer was asked again
toast-answer-replaced = A newer answer has replaced this one: the buttons are below it.

## Thinking deeper

# Stands above the model's reasoning, which is folded into a quote
thoughts = How I got there
preview-thinking = Thinking deeper, this takes longer than usual…
button-think = Think deeper, ≈ ×3
toast-thinking = Thinking again, deeper
# $value - what is chosen: off, next (about the next question), on (in the whole conversation)
thinking = { $value ->
    [next] I will think deeper about your next question.
    [on] I think deeper about every question in this conversation.
   *[off] I answer at once.
}

    I can reason before I answer: it takes longer and costs about three times as much, but I get hard questions right more often. You can also ask right away: /think and your question.
button-think-next = For the next question
button-think-on = For this whole conversation
button-think-off = Answer at once
thinking-not-offered = The model of your plan answers at once: it cannot reason first.

## Stopping

# $tokens - tokens charged
stopped = { $tokens ->
    [0] ⏹ Stopped, nothing charged
   *[other] ⏹ Stopped, { $tokens } charged
}
stopped-in-queue = ⏹ Taken out of the line, nothing charged
# Maintenance: the question is kept. $left_s - in how many seconds it was promised to end
service-maintenance = There is maintenance right now, for about { DURATION($left_s) }. I have your question and will answer it as soon as we are done.
nothing-to-stop = There is nothing to stop right now.
toast-retrying = Trying again

## An edited message

edited = You edited the question. The answer is still the old one.
# $tokens - about how many tokens a new answer costs
button-recount = Answer again, ≈ { $tokens }
toast-recounting = Answering again

## What cannot be read

# $kind - the kind of message, as Telegram calls it
cannot-use = { $kind ->
    [sticker] I can see there is a sticker, but I can't read it. Tell me in words.
    [animation] I don't watch GIFs. Tell me what is in it.
    [poll] I don't vote in polls. Ask me in text and I will answer properly.
    [location] I can't open the map. Tell me what you need near that place.
    [venue] I can't open the map. Tell me what you need near that place.
    [contact] I don't need other people's contacts and don't keep them. Tell me how I can help.
    [video] I can't watch videos yet. Describe the movement: what you do and what you feel.
    [video_note] I can't watch video messages yet. Write the same in text.
    [voice] I can't listen to voice yet. Write the same in text.
    [audio] I can't listen to recordings yet. Write what matters in them.
    [photo] I can't look at photos yet. Describe in words what is there.
    [document] I can't read files yet. Copy the part you need as text.
    [game] I can't play, but I can coach. Write your question.
    [dice] Luck is yours, the plan is mine. Write your question.
    [story] I can't see stories. Tell me what is in it.
    [checklist] I can't read the list. Copy it as text.
   *[other] I can't read this kind of message. Tell me in words what you need.
}
# There is a caption but the attachment cannot be read: the caption is answered
cannot-use-caption = I can't read the attachment, so I am answering the caption.
message-empty = The message is empty. Write your question in words.
# $chars - how many characters fit into one question; $plan - the plan with which more fits, or none
message-too-long = Too long for one question, no tokens were charged. About { $chars ->
    [one] { $chars } character fits
   *[other] { $chars } characters fit
}: send what matters most, or ask in parts.{ $plan ->
    [none] { "" }
   *[other] { " " }With { $plan } more fits.
}
unknown-command = There is no such command. What there is: /help

## Where and who

button-open-chat = Open the chat

## Groups

# The bot was added to a group, or asked how to speak to it; $bot - the bot's name without @
group-added =
    I answer questions about sport, sleep and food. Write @{ $bot } and your question, or reply to a message of mine: I neither read nor keep anything else.

    Whoever asks pays for the answer with their own tokens. /new starts the conversation afresh, /stop stops the answer to your question.
# An anonymous administrator asked
group-anonymous = I can't see who is asking, and whoever asks pays for the answer. Ask under your own name.
# Only the person who asked sees it; $tokens - how many tokens they have
group-balance = Only you see this. You have { TOKENS($tokens) }. Details and plans are in our private chat.
group-think = Write /think and your question, and I will think deeper about it.
# A stopped answer in a group: what was charged is shown in the private chat
group-stopped = ⏹ Stopped

## Reference

# $contact - where to write
support =
    A fault, a question or an idea? Write to { $contact }

    If the message had an error code, include it: we will find the cause sooner. About payments: /paysupport
# When the operator has named no contact
support-here =
    A fault, a question or an idea? Forma's operator reads every case and will answer you in person.

    If the message had an error code, keep it. About payments: /paysupport
# $refund_hours, $refund_percent - the rule for a refund without questions
terms =
    Forma's terms

    1. Forma answers by means of AI. It can be wrong; it is not medical care and does not replace a doctor. If you feel unwell, see a doctor or call 112.

    2. Forma is for people aged 18 or over.

    3. Every answer costs tokens, by the length of the question and of the answer. /balance shows what was charged. An answer that failed is not charged.

    4. A subscription renews every 30 days until you cancel it in /subscription. A token pack is bought once; how long it lasts is shown before you pay.

    5. You get your money back within { $refund_hours } h if no more than { $refund_percent } % of the tokens is spent. You ask for it in /payments. In other cases we look into it and answer within 48 h: /paysupport

    6. Don't get around the limits, resell access or ask for help with harming people. That closes the access.

    Your data: /privacy
privacy =
    Your data

    We keep your Telegram number and name, language, questions and answers, settings, payments and token use. We need this to answer with the conversation in mind and to keep honest accounts.

    A model on the servers of Forma's operator reads the texts. We don't sell them, show no ads and train no models on them. The logs hold no texts.

    In groups we read and keep only what is said to the bot, and the answers. Once the bot is removed, we have forgotten it.

    The operator reads cases about payments. Their texts are deleted 90 days after they are closed.

    Card numbers never reach us: Telegram takes Stars, YooKassa takes roubles. Of a card that you saved we know the last four digits.

    To delete a conversation or save it as a file: /dialogs. For all else: /support
