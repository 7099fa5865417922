### История оплат, возврат, обращения об оплате. Названия планов приходят аргументом $plan или $what.

## Оплата одной строкой

# $amount - звёзды или копейки
payment-sum = { $currency ->
    [RUB] { ROUBLES($amount) }
   *[other] { STARS($amount) }
}
# $returned - сколько вернули частями, копейки
payment-state = { $state ->
    [paid] оплачено
    [refunding] возвращаем
    [refunded] возвращено
    [partly_refunded] возвращено { ROUBLES($returned) }
    [charged_back] отозвано
    [review] на проверке
   *[pending] ждём подтверждения
}
# Оплата, у которой не нашлось заказа
payment-other = Оплата без заказа

## /payments

payments = Ваши оплаты
payments-none = Оплат пока не было. Что есть: /plans
payments-line = { DATE($at) } · { $what } · { payment-sum } · { payment-state }
# Чек из ЮKassa рядом с оплатой; late - ЮKassa его не зарегистрировала, сделает оператор
receipt = { $state ->
    [issued] чек выдан
    [late] чек задерживается
   *[pending] чек оформляется
}
receipt-of-refund = { $state ->
    [issued] чек возврата выдан
    [late] чек возврата задерживается
   *[pending] чек возврата оформляется
}
button-refund = Вернуть деньги · { $what }
button-payments-newer = ← Новее
button-payments-older = Раньше →

## Возврат

# $at - день оплаты, $refund_hours и $refund_percent - правило
refund-ask =
    Вернуть { payment-sum } за «{ $what }» от { DATE($at) }?

    По правилам деньги возвращаются сразу, если прошло не больше { $refund_hours } ч и потрачено не больше { $refund_percent } % токенов. Эта оплата подходит.

    Токены этой покупки снимем сейчас. Если это подписка, она больше не продлится, а доступ закончится, когда деньги уйдут.
button-refund-yes = Да, вернуть
button-refund-no = Оставить
refund-kept = Хорошо, всё остаётся как есть.
refund-begun = Возвращаем { payment-sum } за «{ $what }». Токены этой покупки сняты. Напишу, когда деньги уйдут. Все оплаты: /payments
# $why - почему не сразу, $spent - сколько процентов токенов потрачено
refund-by-case =
    «{ $what }» от { DATE($at) }, { payment-sum }.

    { $why ->
        [late] Сразу вернуть не выйдет: прошло больше { $refund_hours } ч.
        [spent] Сразу вернуть не выйдет: потрачено { $spent } % токенов, а по правилам можно до { $refund_percent } %.
        [often] Сразу вернуть не выйдет: за последние три месяца вы уже возвращали деньги.
        [gift] Это подарок, и токены уже не у вас.
        [part] Часть этой оплаты вам уже вернули. Об остальном решит оператор.
       *[review] Эту оплату мы ещё проверяем, токены по ней не начислены.
    }

    Напишите оператору, он решит и ответит за 48 ч.
button-case-open = Написать оператору
toast-refunding = Уже возвращаем.
# $why - то же, что выше
error-refund-not-at-once = Сразу вернуть уже не выйдет: условия изменились. Напишите оператору: /paysupport
error-payment-unknown = Такой оплаты у вас нет. Ваши оплаты: /payments
# Платёж, который не сошёлся с заказом, всё-таки зачислен; $ends - есть ли срок (yes, no), $kind - план или иное
credited-after-all = Разобрались с вашей оплатой: «{ $plan }», { TOKENS($tokens) }{ $ends ->
    [yes] , до { DATE($until) }
   *[no] { "" }
}.{ $kind ->
    [subscription] { " " }Дальше план не продлится, новый будет в /plans.
   *[other] { "" }
} Спасибо за терпение.

## Обращения

# Первые слова каждого сообщения об обращении: по ним ответ находит своё обращение
case-mark = Обращение #{ $id }
# $contact - куда ещё писать, или none
paysupport-cases =
    Что-то не так с оплатой? Выберите, о чём речь, и напишите одним сообщением, что случилось. Оператор Forma ответит здесь за 48 ч.{ $contact ->
        [none] { "" }
       *[other] { " " }Можно и так: { $contact }
    }

    Отмена подписки: /subscription. Возврат без вопросов: /payments, { $refund_hours } ч после покупки, если потрачено не больше { $refund_percent } %.

    Поддержка Telegram такие вопросы не решает, отвечаем мы.
case-line = { case-mark }: { $status ->
    [open] ждёт оператора, ответ до { MOMENT($due_at) }
   *[answered] оператор ответил
}
button-case-payment = { DAY($at) } · { $what } · { payment-sum }
button-case-other = Другой вопрос
button-case-add = Дополнить #{ $id }
case-prompt-payment = { $what }, { payment-sum }, { DATE($at) }
case-prompt = Напишите одним сообщением, что случилось, до { $chars_max } знаков: передам оператору. Передумали: /cancel
button-case-drop = Не писать
case-dropped = Хорошо, оператору ничего не отправлено.
nothing-to-cancel = Отменять нечего. Остановить ответ: /stop. Отменить подписку: /subscription
case-opened = { case-mark } у оператора. Ответ придёт сюда до { MOMENT($due_at) }.
case-added = Добавлено, { case-mark } у оператора. Ответ придёт сюда до { MOMENT($due_at) }.
case-too-long = Это слишком длинно. Сократите до { $chars_max } знаков и отправьте ещё раз, или /cancel
case-text-only = Оператору могу передать только текст. Опишите словами, или /cancel
# $text - слова оператора
case-answer =
    { case-mark }: ответ оператора

    { $text }
button-case-reply = Ответить
case-closed = { case-mark } закрыто. Если вопрос остался: /paysupport
error-case-closed = Это обращение закрыто. Новое: /paysupport
error-cases-many = У вас уже много обращений. Дождитесь ответа или дополните открытое: /paysupport
error-case-words-many = Всё, что вы написали, уже у оператора. Дождитесь, пожалуйста, ответа.
