### Refusals and faults. A refusal's key is the code of a Rejected class; its arguments are the exception's params.

## Refusals

error-rejected = That can't be done right now. Nothing was charged.
# $needed - tokens needed for the shortest answer, $posted - what there is, $reserved - kept for open answers
error-insufficient-tokens = { $posted ->
    [0] You have run out of tokens.
   *[other] You have { $posted } left, and an answer takes { $needed } or more.
} What next: /plans
# $limit - which limit, $retry_after_s - seconds until it clears
error-rate-limited = { $limit ->
    [in_flight] I am still answering your earlier questions. I can take the next one in { DURATION($retry_after_s) }.
    [tokens_per_minute] That is a lot of text for one minute. I can take the next question in { DURATION($retry_after_s) }.
   *[other] The questions come too fast. I can take the next one in { DURATION($retry_after_s) }.
} Nothing was charged.
# $scope - whose queue (person - the person's own), $retry_after_s - when to come back
error-queue-full = { $scope ->
    [person] You already have many questions in line. I will answer them and take the next one in { DURATION($retry_after_s) }.
   *[other] Very many people are asking right now. Come back in { DURATION($retry_after_s) }.
} Nothing was charged.

## Faults

# $code - a short error code by which /user in the operator's group finds the conversation
error-failed = That didn't work, no tokens were charged. Code { $code }
# A part of the answer could not be written; $tokens - charged for what was written
error-failed-partly = The answer broke off. { $tokens ->
    [0] No tokens were charged.
   *[other] { $tokens } charged for what was written.
} Code { $code }
error-unavailable = The model is not answering right now, no tokens were charged. Try again in a minute. Code { $code }
# The same for commands and buttons, when there is no turn
error-command = That didn't work. Try again. Code { $code }
toast-failed = That didn't work. Try again.
button-retry = Try again
# The button copies the code
button-copy-code = Code { $code }
