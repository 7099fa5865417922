### Settings, language, the descriptions of the bot and of its commands.

## Settings

settings =
    Settings

    Look: tables and formulas, or plain text.
    Preview: how an answer appears while it is being written.
    Length: short or detailed. A short answer costs fewer tokens.
# Buttons of the first screen; $value - what is chosen now
button-settings-text = Look: { $value ->
    [rich] tables and formulas
   *[plain] plain text
}
button-settings-preview = Preview: { $value ->
    [draft] draft
    [edit] by edits
   *[off] off
}
button-settings-length = Length: { $value ->
    [short] short
   *[detailed] detailed
}
button-settings-language = Language: English

settings-text =
    How shall I show tables and formulas?

    Plain text shows on every device. Tables and formulas are handier, but old Telegram apps may show them blank.
button-text-plain = Plain text
button-text-rich = Tables and formulas
settings-preview =
    How shall I show an answer while it is being written?

    Draft: the text runs at once and has a Stop button. By edits: the message grows in place. No preview: the answer arrives whole.
button-preview-draft = Draft
button-preview-edit = By edits
button-preview-off = No preview
settings-length = What kind of answers suit you?
button-length-short = Short
button-length-detailed = Detailed
# $label - the label of the chosen button
button-chosen = ✓ { $label }
toast-saved = Saved

## Language

language = Choose your language. Выберите язык.
button-language-ru = Русский
button-language-en = English
language-set = We speak English now.

## Commands: descriptions in Telegram's menu, up to 256 characters

command-new = New conversation
command-dialogs = All conversations
command-context = What I remember of this conversation
command-stop = Stop the answer
command-think = Think deeper about a question
command-balance = What is left
command-subscription = Subscription and cancelling
command-plans = Plans and prices
command-buy = Buy a plan or a pack
command-help = What I can do
command-language = Language · Язык
command-settings = Look and length of answers
command-terms = Terms
command-privacy = Your data
command-support = Questions and faults
command-paysupport = Questions about payments
command-payments = Your payments and refunds
command-payments-admin = A person's payments
command-refund = Give money back, in two steps
command-quarantine = Payments that do not match their order
command-cases = Cases about payments
command-receipts = Missing receipts
command-stats = Summary of a day and of 30 days
command-user = Card by id, @name or error code
command-grant = Grant tokens
command-queue = Who waits and who is being answered
command-models = Models and their servers
command-health = Whether every part works
command-slow = The slow lane
command-maintenance = Maintenance windows
command-service = What of these is on
command-reconcile = Compare Stars with Telegram
command-export = A period's Stars and roubles as tables
command-chargeback = Book a chargeback

## The bot: description of the empty chat (up to 512 characters) and line of the profile (up to 120)

bot-description =
    Forma is an AI coach for sport, your body and personal goals.

    Ask about training, food, sleep or recovery: the answer starts to appear at once. The conversation is remembered, and you can start a new one whenever you like.

    There are free answers every day. Need more? A subscription or a pack for Stars, cancelled in one tap.

    Forma is not a doctor and does not replace one. 18+
bot-short-description = An AI coach for sport, your body and goals. Ask anything: free answers every day. Not a doctor. 18+
