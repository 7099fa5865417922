### Refusals and faults. A refusal's key is the code of a Rejected class; its arguments are the exception's params.

## Refusals

error-rejected = That can't be done right now. Nothing was charged.
# $needed - tokens needed for the shortest answer, $posted - what there is, $next_s - seconds until free ones come
# (0 - none will)
error-insufficient-tokens = { $posted ->
    [0] You have run out of tokens.
   *[other] You have { $posted } tokens left, and an answer takes { $needed } or more.
} { $next_s ->
    [0] A pack or a plan lets you go on.
   *[other] New free ones in { DURATION($next_s) }.
}
# $limit - which limit, $retry_after_s - seconds until it clears, $own - what the person's plan allows
# $plan - name of the cheapest plan that allows more, or none; $most - what it allows, 0: no limit
error-rate-limited = { $limit ->
    [promo] Too many tries. You can enter a promo code in { DURATION($retry_after_s) }.
    [group] This group asks too often. I can take the next question in { DURATION($retry_after_s) }.
    [tokens-per-minute] That is a lot for one minute: your plan allows { TOKENS($own) } a minute. I can take the next question in { DURATION($retry_after_s) }.
    [tokens-per-day] The day's limit is used up: your plan allows { TOKENS($own) } a day. I can take the next question in { DURATION($retry_after_s) }.
   *[other] Too many questions in a row: your plan allows { $own } a minute. I can take the next one in { DURATION($retry_after_s) }.
} Nothing was charged.{ $plan ->
    [none] { "" }
   *[other] { "" }

    With { $plan } { $most ->
        [0] there is no such limit.
       *[other] { $limit ->
            [tokens-per-minute] it is { TOKENS($most) } a minute.
            [tokens-per-day] it is { TOKENS($most) } a day.
           *[other] it is { $most } a minute.
        }
    }
}
# $scope - whose queue (all - everybody's, person - the person's own, dialog - messages under a running answer),
# $retry_after_s - when to come back; $own, $plan, $most - as above
error-queue-full = { $scope ->
    [all] Very many people are asking right now. Come back in { DURATION($retry_after_s) }.
    [person] You already have { $own ->
        [one] { $own } question
       *[other] { $own } questions
    } in line, as many as your plan allows. I will answer and take the next one in { DURATION($retry_after_s) }.
   *[other] You already have many questions in line. I will answer them and take the next one in { DURATION($retry_after_s) }.
} Nothing was charged.{ $plan ->
    [none] { "" }
   *[other] { "" }

    With { $plan } it is { $most }.
}

## Faults

# $code - a short error code by which /user in the operator's group finds the conversation
error-failed = That didn't work, no tokens were charged. Code { $code }
error-unavailable = The model is not answering right now, no tokens were charged. Try again in a minute. Code { $code }
# The model spent the whole answer on reasoning
error-only-thoughts = I thought for a long time and never got to the answer. No tokens were charged. Ask it more simply, or in parts. Code { $code }
# The same for commands and buttons, when there is no turn
error-command = That didn't work. Try again. Code { $code }
button-retry = Try again
# The button copies the code
button-copy-code = Code { $code }
