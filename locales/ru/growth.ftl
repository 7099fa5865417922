### Пробный период, промокоды, приглашения. Сроки и суммы приходят готовыми числами и датами.

command-promo = Ввести промокод
command-invite = Пригласить друга
command-promo-admin = Промокоды

## Пробный период

# $plan - план, который можно попробовать; под списком планов
trial-offer =
    Попробовать «{ $plan }»: { $days ->
        [one] { $days } день
        [few] { $days } дня
        [many] { $days } дней
       *[other] { $days } дня
    } бесплатно, { ANSWERS($tokens) }. Один раз, без оплаты, само ничего не спишет.
button-trial = { $days ->
    [one] { $days } день бесплатно
    [few] { $days } дня бесплатно
    [many] { $days } дней бесплатно
   *[other] { $days } дня бесплатно
}
# $plan - «Форма на пробу»
trial-started =
    { $plan }: до { DAY($until) }, { ANSWERS($tokens) }.
    Ничего не спишется: пробный период закончится сам. Понравится — планы рядом.
# За день до конца
trial-ending = { $plan } закончится { DAY($until) }. Ничего не спишется, бесплатные токены приходят каждый день. Чтобы продолжить как сейчас, выберите план.
trial-ended = { $plan }: пробный период закончился, ничего не списано. Разговоры и настройки на месте, бесплатные токены приходят каждый день.
error-trial-had = Пробный период даётся один раз, и он у вас уже есть или был. Что можно подключить: /plans
error-trial-not-offered = Пробный период — для тех, кто ещё ничего не покупал и у кого нет плана. Что у вас есть: /subscription

## Дни плана без оплаты

# Строка /subscription
subscription-granted =
    { $plan }: до { DAY($until) }, без оплаты. Само закончится и ничего не спишет.
    Осталось { TOKENS($tokens) }.
granted-waiting = Ждут своей очереди: { $days ->
    [one] { $days } день
    [few] { $days } дня
    [many] { $days } дней
   *[other] { $days } дня
} «{ $plan }», { ANSWERS($tokens) }. Начнутся, когда закончится нынешний план.
granted-begun = Начались ваши дни по промокоду: { $plan } до { DAY($until) }, { ANSWERS($tokens) }. Ничего не спишется.
granted-ending = { $plan } без оплаты закончится { DAY($until) }. Ничего не спишется. Чтобы продолжить, выберите план.
granted-ended = { $plan }: дни без оплаты закончились, ничего не списано. Бесплатные токены приходят каждый день.

## Промокоды

button-promo = Есть промокод
promo-ask = Пришлите промокод ответом на это сообщение. Или так: /promo КОД
promo-placeholder = Промокод
promo-tokens = Промокод принят: { TOKENS($tokens) }, до { DATE($until) }.
promo-days = Промокод принят: { $plan } до { DAY($until) }, { ANSWERS($tokens) }. Ничего не спишется.
# У человека есть план не хуже: дни не сгорают, а ждут
promo-days-wait = Промокод принят: { $days ->
    [one] { $days } день
    [few] { $days } дня
    [many] { $days } дней
   *[other] { $days } дня
} «{ $plan }», { ANSWERS($tokens) }. Ваш нынешний план не хуже, поэтому дни начнутся, когда он закончится. Пока он продлевается, они ждут и не сгорают.
# У подписки в Telegram одна цена, поэтому скидка на неё приходит токенами
promo-percent = Промокод { $promo } принят, он ваш до { DAY($until) }. Разовая покупка станет дешевле на { $percent } %. Цена подписки не меняется, зато с первой оплатой придёт на { $percent } % токенов больше.
# Под списком планов
promo-held = Ваш промокод { $promo } действует до { DAY($until) }: −{ $percent } % к разовой покупке или +{ $percent } % токенов с первой оплатой подписки. Не на всё, если он только для некоторых планов: цена видна до оплаты.
# Над оплатой
promo-sheet = По промокоду: { STARS($stars) } вместо { STARS($full) }.
promo-sheet-bonus = По промокоду с первой оплатой придёт ещё { TOKENS($tokens) }.
promo-bonus = И по промокоду: ещё { TOKENS($tokens) }.
error-promo-unknown = Такого промокода нет. Проверьте буквы и цифры; большие и маленькие буквы не важны.
error-promo-over = Промокод { $promo } уже закончился.
error-promo-used = Промокод { $promo } вы уже использовали.
error-promo-first-purchase = Промокод { $promo } — для первой покупки, а вы уже покупали.
error-discount-under-way =
    Скидка { $promo } ждёт начатой оплаты
    Завершите её или подождите: незаконченная закроется сама в течение часа, и скидка освободится.

## Приглашения

# $url - личная ссылка
invite =
    Ваша ссылка для друзей:
    { $url }
# $window_s - срок возврата, секунды
invite-rule = Друг придёт по ней впервые и купит что-нибудь — вам { TOKENS($tokens) }. Начислим через { DURATION($window_s) } после его оплаты, когда деньги уже нельзя вернуть.
invite-rule-friend = Другу тогда же: { TOKENS($tokens) }.
invite-nobody = Пока по ней никто не пришёл.
# $came - сколько пришло, $rewarded - сколько из них принесли награду, $tokens - сколько заработано
invite-standing = { $came ->
    [one] Пришёл { $came } человек
    [few] Пришли { $came } человека
    [many] Пришли { $came } человек
   *[other] Пришли { $came } человека
}, наград: { $rewarded }. Заработано { TOKENS($tokens) }.
invite-share = Тренер в Telegram: отвечает про тренировки, питание и сон.
invite-off = Приглашения сейчас выключены.
invite-rewarded = Ваш друг подключил Forma. Вам начислено { TOKENS($tokens) }. Спасибо, что рассказали о нас.
invite-welcome = Вы пришли по приглашению и остались: дарим { TOKENS($tokens) }.
button-invite-share = Поделиться

## Группа оператора: /promo

admin-promo-usage =
    /promo list — коды и сколько раз ими воспользовались
    /promo new КОД tokens=50000 days=30 — токены на столько дней
    /promo new КОД plan=forma days=7 — дни плана
    /promo new КОД percent=20 plans=pack — скидка; у подписки в Stars это токены сверху
    /promo end КОД — закончить

    К любому коду: uses=100 (сколько раз всего), from=2027-01-01 until=2027-01-31 (дни по UTC, включительно), first (только до первой покупки). Один человек — один раз. В коде от 3 до 32 букв, цифр, _ и -.
# $what - непонятое место
admin-promo-bad = Не понимаю: { $what }
admin-promo-none = Промокодов ещё нет.
admin-promo-head = Промокоды, сначала действующие:
# $most - предел или none
admin-promo-row = • { $promo } · { $what } · использован { $uses }{ $most ->
    [none] { "" }
   *[other] { " " }из { $most }
}{ $state ->
    [ended] { " " }· закончен
    [spent] { " " }· исчерпан
    [waits] { " " }· ещё не начался
   *[open] { "" }
}
admin-promo-tokens = { TOKENS($tokens) } на { $days ->
    [one] { $days } день
    [few] { $days } дня
    [many] { $days } дней
   *[other] { $days } дня
}
admin-promo-days = { $plan } на { $days ->
    [one] { $days } день
    [few] { $days } дня
    [many] { $days } дней
   *[other] { $days } дня
}
admin-promo-percent = −{ $percent } %
admin-promo-plans = только { $plans }
admin-promo-first = до первой покупки
admin-promo-from = с { DATE($at) }
admin-promo-until = по { DATE($until) }
admin-promo-confirm = Завести промокод { $promo }? { $what }, использований { $most ->
    [none] сколько угодно
   *[other] не больше { $most }
}.
button-promo-confirm = Завести
admin-promo-end-confirm = Закончить промокод { $promo }? Использован: { $uses }. Кто уже получил по нему скидку, тот её сохранит.
button-promo-end = Закончить
button-promo-drop = Нет
admin-promo-made = Промокод { $promo }: { $what }. Завёл { $by }
admin-promo-link = Ссылка: { $url }
admin-promo-ended = Промокод { $promo } закончен. Подтвердил { $by }
admin-promo-dropped = Ничего не изменено.
admin-promo-expired = Подтверждение устарело, ничего не изменено. Отправьте /promo ещё раз.
admin-promo-exists = Промокод { $promo } уже есть или был. Возьмите другой.
admin-promo-unknown = Такого промокода нет: { $promo }

## Группа оператора: откуда приходят, в /stats

admin-stats-sources = Откуда пришли за 30 дней:
# $source - имя ссылки src_…, либо ref, promo, gift, none
admin-stats-source = • { $source ->
    [none] без ссылки
    [ref] по приглашению
    [promo] по промокоду
    [gift] по подарку
   *[other] { $source }
}: { $count }, из них платили { $paying }
