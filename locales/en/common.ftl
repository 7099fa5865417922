### Numbers, spans and amounts that the other texts are made of, and what all buttons share.
### Texts are plain: no Markdown, no HTML. kit/words.py decides how numbers and dates are written.

## Amounts

# $n - how many usual answers (integer), $some - whether there are tokens at all (yes, no)
amount-answers = { $n ->
    [0] { $some ->
        [yes] less than one answer
       *[no] 0 answers
    }
    [one] ≈ { $n } answer
   *[other] ≈ { $n } answers
}
# $n - tokens, $answers - a finished phrase, "≈ 300 answers"
amount-tokens = { $n ->
    [one] { $n } token
   *[other] { $n } tokens
}, { $answers }

## Spans

duration-seconds = { $n } s
duration-minutes = { $n } min
duration-hours = { $n } h
duration-days = { $n ->
    [one] { $n } day
   *[other] { $n } days
}
# $low, $high - the ends of an estimate
duration-seconds-span = { $low }–{ $high } s
duration-minutes-span = { $low }–{ $high } min
# $day - a finished date, "Dec 23"
until = until { $day }
# $duration - a finished span, "5 h"
after = in { $duration }

## Buttons

button-back = ← Back
# The toast shown when a button of an old message is pressed
toast-expired = This button has expired. Send the command again.
toast-other-person = This button is for someone else.
toast-already = Already done.
# A button was pressed while its answer is still being written
toast-wait = Still answering. Press it when I am done.
