### Conversations: the list, the title, the file, deleting; what is remembered of one.

# $count - how many conversations, $page and $pages - the page and how many there are
dialogs =
    { $count ->
        [one] { $count } conversation
       *[other] { $count } conversations
    }{ $pages ->
        [1] {""}
       *[other] , page { $page } of { $pages }
    }

    ✓ marks the one you are in. Tap any of them to go on with it, rename it, save it as a file or delete it.
dialogs-none = No conversations. Write something and the first one begins.
# A conversation without any words yet
dialog-untitled = Untitled
button-dialogs = All conversations
button-dialog-new = New
button-dialogs-delete = Delete all
# $title - the title, $messages - how many it has, $last_at - when the last one was, $state - active or closed
dialog-card =
    { $title }

    { $messages ->
        [one] { $messages } message
       *[other] { $messages } messages
    }, the last one { MOMENT($last_at) }{ $state ->
        [active] {""}. You are in it now.
       *[closed] {""}
    }
button-dialog-open = Go on
button-dialog-rename = Rename
button-dialog-export = As a file
button-dialog-delete = Delete
# $title - the title
dialog-opened = Back to “{ $title }”. Write, I remember what it was about.

## The title

# The first line of the question for a title: by it the answer finds its conversation
dialog-mark = ✏️ Conversation #{ $id }
dialog-rename-ask = It is called “{ $title }” now. What should it be called? Reply to this message.
dialog-rename-hint = New title
dialog-rename-empty = There is not one letter in that title. Reply once more.
dialog-renamed = Done: “{ $title }”.

## The file

toast-dialog-export = Making the file
dialog-file = Conversation “{ $title }”
dialog-file-person = You
dialog-file-forma = Forma
# The conversation is longer than the file may be
dialog-file-cut = The beginning of the conversation did not fit.

## Deleting

dialog-delete-sure =
    Delete “{ $title }”?

    Questions, answers and all that I remember of them are erased at once and cannot be brought back. The messages in the Telegram chat stay.
dialogs-delete-sure =
    { $count ->
        [one] Delete { $count } conversation?
       *[other] Delete all { $count } conversations?
    }

    Questions, answers and all that I remember of them are erased at once and cannot be brought back. The messages in the Telegram chat stay.
button-dialog-erase = Delete for good
button-dialogs-erase = Delete all for good
button-dialog-keep = Keep
toast-dialog-deleted = Erased.

## What is remembered

# $model - the model, $tokens and $budget - tokens in use and how many fit, $turns - how many questions with answers
context =
    This conversation

    { $tokens } of { $budget ->
        [one] { $budget } token
       *[other] { $budget } tokens
    } in use: that is how much text I can read before I answer. { $turns ->
        [one] I remember { $turns } question and its answer word for word.
       *[other] I remember { $turns } questions and their answers word for word.
    }
    { $model } answers.
# There is no conversation now
context-none =
    There is no conversation now: your next message begins a new one.

    { $budget ->
        [one] { $budget } token fits
       *[other] { $budget } tokens fit
    }, { $model } answers. Back to an earlier one: /dialogs
# $turns - how many questions with answers the summary stands for; it follows below
context-summary = { $turns ->
    [one] Of { $turns } more question and its answer I remember a summary:
   *[other] Of { $turns } more questions and their answers I remember a summary:
}
# The summary was forgotten at the person's wish
context-forgotten = { $turns ->
    [one] { $turns } more question and its answer are forgotten.
   *[other] { $turns } more questions and their answers are forgotten.
}
button-summary-forget = Forget the summary
toast-summary-forgotten = Forgotten.
