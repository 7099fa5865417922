### Деньги в группе оператора: платежи, возвраты, карантин, обращения.

## /payments

admin-payments-usage = Чьи оплаты? /payments 12345, /payments @name или /payments A1B2C3
admin-payments = Оплаты: { $name } · { $person_id }
# $reason - почему платёж был или есть в карантине, или none
admin-payment-line = #{ $payment_id } · { DATE($at) } · { $what } · { payment-sum } · { payment-state }{ $reason ->
    [none] { "" }
   *[other] { " " }· { $reason }
}
# $query - номер, код или номер операции
admin-payment-none = Не нашёл платёж: { $query }

## /refund

admin-refund-usage = Какой платёж вернуть? /refund 17, код ошибки или номер операции из Telegram. Номера: /payments кто
admin-refund-person = Плательщик: { $person_id }
# $left - сколько токенов осталось, $percent - сколько процентов потрачено
admin-refund-tokens = Куплено { TOKENS($tokens) }. Осталось { $left }, их снимем; потраченное ({ $percent } %) прощаем.
admin-refund-no-tokens = Токенов по этому платежу нет.
admin-refund-rule = Правило { $refund_hours } ч и { $refund_percent } %: { $verdict ->
    [at_once] подходит
    [late] прошло больше времени
    [spent] потрачено больше
    [often] человек часто возвращает
    [gift] подарок
    [part] часть уже вернули
    [review] платёж в карантине
   *[other] { $verdict }
}
# $command - готовая команда, $delay_s - пауза в секундах, $what - вся сумма (whole) или остаток (rest)
admin-refund-confirm =
    { $what ->
        [rest] Вернётся всё, что осталось.
       *[whole] Вернётся вся сумма.
    } Чтобы вернуть, через { DURATION($delay_s) } отправьте команду с суммой, причина по желанию:
    { $command }
admin-refund-part = Вернуть часть: /refund { $payment_id } 50,50
# Звёзды частью не вернуть; $command - готовая команда
admin-refund-whole-only =
    Telegram возвращает звёзды только целиком, частью не выйдет. Можно начислить токены: /grant. Вся сумма:
    { $command }
# $kopecks - сколько вернётся, $rest - из скольких, $tokens - сколько токенов уйдёт
admin-refund-part-confirm = Вернуть { ROUBLES($kopecks) } из { ROUBLES($rest) }? Снимем долю остатка: { TOKENS($tokens) }. Доступ и подписка остаются. Подтвердить можно через { DURATION($delay_s) }.
button-refund-part = Вернуть { ROUBLES($kopecks) }
button-refund-part-no = Не возвращать
admin-refund-part-left = Ничего не возвращено.
toast-refund-early = Рано: посмотрите ещё { DURATION($wait_s) } и нажмите снова.
# $by - кто подтвердил
admin-refund-part-done = Возвращаем { ROUBLES($kopecks) } из { ROUBLES($rest) }: платёж #{ $payment_id } · { $person_id }. Подтвердил { $by }. Когда деньги уйдут, напишу.
admin-refund-not-now = Платёж #{ $payment_id } не вернуть: { payment-state }.
admin-refund-first = Сначала посмотрите на платёж: /refund { $payment_id }
admin-refund-amount = Сумма не совпадает, ничего не возвращено. Посмотрите ещё раз: /refund { $payment_id }
admin-refund-early = Рано: подождите ещё { DURATION($wait_s) } и отправьте снова.
# $by - кто подтвердил
admin-refund-done = Возвращаем { payment-sum }: платёж #{ $payment_id } · { $person_id }. Подтвердил { $by }. Когда деньги уйдут, напишу.

## /quarantine

admin-quarantine = Платежи, которые не сошлись с заказом:
admin-quarantine-none = В карантине пусто.
# $reason - причина из docs, $way - что можно сделать, $age_s - сколько ждёт
admin-quarantine-line = #{ $payment_id } · { payment-sum } · { $person_id } · { $reason } · ждёт { DURATION($age_s) } · { $way ->
    [refunding] возвращаем
    [refund] только вернуть
   *[both] зачислить или вернуть
}
admin-quarantine-usage =
    Зачислить по заказу: /quarantine 17 credit
    Зачислить кому и что: /quarantine 17 credit 12345 pack
    Вернуть: /refund 17
admin-credit-confirm = Зачислить платёж #{ $payment_id }, { payment-sum }? Кому: { $name } · { $person_id }. Что: { $what }, { TOKENS($tokens) }. План действует 30 дней с этой минуты и не продлевается.
button-credit-confirm = Зачислить
button-credit-cancel = Не зачислять
admin-credit-done = Зачислено: платёж #{ $payment_id }, { payment-sum } → { $name } · { $person_id }: { $what }, { TOKENS($tokens) }. Подтвердил { $by }
admin-credit-cancelled = Не зачислено, платёж остался в карантине.
toast-request-gone = Подтверждение устарело, ничего не сделано. Отправьте команду ещё раз.
error-not-in-quarantine = Этот платёж не ждёт решения: его нет в карантине, или он уже возвращается.
error-only-refundable = По этой причине платёж можно только вернуть: /refund
error-product-unknown = Непонятно, что зачислить. Назовите человека и товар из plans.toml: /quarantine 17 credit 12345 pack

## /receipts

admin-receipts = Чеки, которых нет:
admin-receipts-none = Все чеки выданы или ещё оформляются.
# $at - с какого времени ждём
admin-receipts-line = • { DATE($at) } · { admin-receipt-mark }
admin-receipts-more = И ещё: { $count }
admin-receipts-usage = Чек делают в кабинете ЮKassa, по номеру платежа или возврата. Когда он готов, нажмите кнопку.
button-receipt-made = Чек #{ $payment_id } сделан
admin-receipt-made = Отмечено: чек платежа #{ $payment_id } сделан вручную. Отметил { $by }

## Обращения

# $what - за что платили (none - без оплаты, unknown - заказа нет), $due_at - когда обещан ответ, $status - ждёт ли человек, $text - слова человека
admin-case =
    { case-mark } · { $name } · { $person_id }
    { $what ->
        [none] Без оплаты
        [unknown] Оплата без заказа #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
       *[known] { $what } · платёж #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
    }
    { $status ->
        [open] Ответ обещан до { MOMENT($due_at) }: ответьте на это сообщение.
        [answered] Отвечено. Добавить можно ответом на это сообщение.
       *[closed] Закрыто.
    }

    { $text }
admin-case-more =
    { case-mark }: дополнение · { $name } · { $person_id }
    { $what ->
        [none] Без оплаты
        [unknown] Оплата без заказа #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
       *[known] { $what } · платёж #{ $payment_id } · { payment-sum } · { DATE($paid_at) }
    }
    Ответ обещан до { MOMENT($due_at) }: ответьте на это сообщение.

    { $text }
button-case-close = Закрыть
button-case-refund = Вернуть деньги…
admin-case-sent = Отправлено: { case-mark }.
admin-case-sent-later = Записано: { case-mark }. Человек заблокировал бота; ответ дойдёт, если он вернётся в течение недели.
admin-case-text-only = Передать могу только текст до { $chars_max } знаков.
admin-case-gone = { case-mark } закрыто, ничего не отправлено.
admin-case-closed = { case-mark } закрыто. Закрыл { $by }
admin-case-none = Нет такого обращения: { $query }
# $author - кто сказал, $text - слова
admin-case-said = { MOMENT($at) } · { $author ->
    [person] человек
   *[operator] оператор
}: { $text }
admin-cases = Обращения:
admin-cases-none = Открытых обращений нет.
# $age_s - сколько открыто, $left_s - сколько осталось или на сколько просрочено
admin-cases-line = #{ $id } · { $name } · { $person_id } · открыто { DURATION($age_s) } · { $urgency ->
    [waits] ответить за { DURATION($left_s) }
    [late] просрочено на { DURATION($left_s) }
   *[answered] отвечено
}
admin-cases-usage = Показать целиком: /cases 12
