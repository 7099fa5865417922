### Группа оператора: команды, карточки, тревоги. Готовые строки собираются в одно сообщение через перевод строки.

admin-help =
    /stats — сводка
    /user — карточка по номеру, @имени или коду ошибки
    /payments — оплаты человека
    /grant — начислить токены
    /promo — промокоды
    /refund — вернуть деньги
    /quarantine — платежи, которые не сошлись с заказом
    /cases — обращения об оплате
    /receipts — недостающие чеки
    /queue — очередь
    /models — модели и их серверы
    /health — состояние
    /slow — медленная полоса
    /maintenance — технические работы
    /service — что из этого включено
    /reconcile — сверить звёзды с Telegram
    /export — звёзды и рубли за период таблицей
    /chargeback — отметить отозванную оплату
admin-not-member = Команды выполняются только для участников этой группы.
# $chat_id - номер группы, отрицательное число, без пробелов
admin-group-id = Номер этой группы: { $chat_id }. Чтобы управлять отсюда, впишите в .env строку FORMA_ADMIN_CHAT_ID={ $chat_id } и перезапустите Forma. Группа должна быть закрытой: командовать сможет каждый, кто в ней.

## /stats

# $window_s - за какое время, секунды
admin-stats-head = За { DURATION($window_s) }
admin-stats-persons = Люди: новых { $new }, спрашивали { $active }, всего { $all }, заблокировали бота { $blocked }
admin-stats-turns = Ответы: готово { $answered }, остановлено { $stopped }, сорвалось { $failed }
# Медиана и 95-й процентиль, секунды
admin-stats-wait = Ожидание: обычно { DURATION($p50_s) }, у 5 % дольше { DURATION($p95_s) }
admin-stats-tokens = Списано: { TOKENS($tokens) }
admin-stats-courtesy = За свой счёт: { TOKENS($tokens) }
admin-stats-money = Оплат: { $payments } на { STARS($stars) }, возвращено { STARS($refunded) }
admin-stats-roubles = Оплат в рублях: { $payments } на { ROUBLES($kopecks) }, возвращено { ROUBLES($refunded) }
admin-stats-subscriptions = Подписки: платят { $active }, отменены до срока { $cancelled }, ждут оплаты { $past_due }
admin-stats-plan = • { $plan }: { $count }
admin-stats-empty = Вопросов не было.

# Кто пишет от имени группы, без подписи
admin-anonymous = анонимный администратор

## /user

admin-user-usage = Кого показать? /user 12345, /user @name или /user A1B2
admin-user-none = Не нашёл: { $query }
# $username - с @ или none
admin-user-head = 👤 { $name }{ $username ->
    [none] { "" }
   *[other] { " " }{ $username }
} · { $id }
admin-user-profile = Язык { $language }, с нами с { DATE($since) }, был { MOMENT($seen) }
admin-user-blocked = Заблокировал бота
admin-user-plan = { $plan } до { DATE($until) }, { $status ->
    [active] продлится
    [cancel_scheduled] отменена
    [past_due] ждёт оплаты
    [trialing] пробный период
    [granted] без оплаты, сам закончится
   *[other] { $status }
}
admin-user-plan-none = Без подписки
admin-user-balance = Остаток: { TOKENS($tokens) }, отложено { $reserved }
# Потрачено из покупки, оплату за которую отозвали
admin-user-debt = Долг за отозванную оплату: { TOKENS($tokens) }
admin-user-turns = Последние ответы:
# $code - код ошибки или none
admin-user-turn = • { MOMENT($at) } · { $status ->
    [done] готово
    [stopped] остановлено
    [failed] сорвалось
    [open] идёт
   *[other] { $status }
} · { $tokens } ток.{ $code ->
    [none] { "" }
   *[other] { " " }· код { $code }
}
admin-user-no-turns = Ещё не спрашивал.
admin-user-payments = Последние платежи:
admin-user-payment = • { DATE($at) } · { payment-sum } · { $what } · { $status ->
    [succeeded] оплачен
    [refunded] возвращён
    [partially_refunded] возвращено { ROUBLES($returned) }
    [charged_back] отозван
    [canceled] отменён
   *[other] { $status }
}
admin-user-no-payments = Ещё не платил.

## /grant

admin-grant-usage = Кому и сколько? /grant 12345 100000 причина
admin-grant-amount = Число токенов — от 1 до { $max }.
# $id - номер человека, $reason - причина, войдёт в журнал
admin-grant-confirm = Начислить { TOKENS($tokens) }? Кому: { $name } · { $id }. Причина: { $reason }
button-grant-confirm = Начислить
button-grant-cancel = Не начислять
# $by - кто подтвердил
admin-grant-done = Начислено { TOKENS($tokens) }: { $name } · { $id }. Причина: { $reason }. Подтвердил { $by }
admin-grant-cancelled = Не начислено.
admin-grant-expired = Подтверждение устарело, ничего не начислено. Отправьте /grant ещё раз.
toast-grant-other = Подтвердить может тот, кто отправил команду.

## /queue

admin-queue-head = Ждут { $waiting }, отвечаем { $running }, мест { $slots }
admin-queue-oldest = Дольше всех ждут { DURATION($wait_s) }
admin-queue-row = • { $id }: ждут { $waiting }, идут { $running }
admin-queue-empty = Очередь пуста, мест { $slots }
# Модель и её реплика
admin-queue-model = { $model }: занято { $running } из { $slots }

## /slow, /maintenance, /service

# $kind - slow или maintenance
admin-service-usage = { $kind ->
    [slow] /slow КОГО СРОК ПРИЧИНА — четверть веса в очереди и по одному ответу, до 30 дней
   *[maintenance] /maintenance КОГО СРОК ПРИЧИНА — новые вопросы принимаются и ждут конца работ, до 12 часов
}
    Кого: all, model:ID, номер или @имя. Срок: 40m, 2h, 3d.
    Закончить раньше: { $kind ->
        [slow] /slow КОГО off
       *[maintenance] /maintenance КОГО off
    }
    Что включено: /service
admin-service-unknown = Не знаю такого: { $whom }. Кого: all, model:ID, номер или @имя.
admin-service-span = Срок — например 40m, 2h или 3d, самое большее { DURATION($longest_s) }.
admin-service-reason = Напишите причину, до { $most } знаков: она останется в журнале.
# $most - сколько их может быть
admin-service-many = Включено уже { $most }, больше нельзя. Закончите лишние: /service
# $about - person, model или everybody; $id - номер человека, $model - имя модели
admin-service-row = { $kind ->
    [slow] 🐢 Медленно
   *[maintenance] 🔧 Работы
} · { $about ->
    [person] { $id }
    [model] модель { $model }
   *[everybody] все
} · до { MOMENT($until) } · { $reason }
# $end - команда, которой это кончается
admin-service-set = { $kind ->
    [slow] Кто уже ждёт в очереди, тоже перешёл.
   *[maintenance] Новые вопросы подождут, каждый узнает когда. То, что уже отвечается, допишется.
} Закончить раньше: { $end }
admin-service-ended = { $kind ->
    [slow] Медленная полоса снята.
   *[maintenance] Работы закончены, отложенные вопросы пошли в очередь.
}
admin-service-not-on = Это и не было включено. Что включено: /service
admin-service-none = Ничего не включено: все вопросы идут обычным порядком.
admin-service-more = И ещё { $count }.
admin-service-kept = Отложено вопросов: { $count }
# $whom - all, model:ИМЯ или номер человека
admin-alert-maintenance-over = 🔧 Технические работы кончились по сроку, отложенное идёт в очередь: { $whom }
admin-alert-slow-over = 🐢 Медленная полоса кончилась по сроку: { $whom }

## /health

admin-health-good = Всё работает
admin-health-bad = Есть неполадки
# $detail - что именно, или none
admin-health-part = { $state ->
    [good] ✅
    [slow] ⚠️
   *[bad] ❌
} { $part }{ $detail ->
    [none] { "" }
   *[other] { " " }— { $detail }
}

## /reconcile: суммы приходят строками, с дробной частью, если она есть

# $lines - строк в списке Telegram, $theirs и $ours - звёзды по нему и по нашим книгам
admin-reconcile-head = Сверка звёзд. У Telegram { $theirs } ⭐ (строк: { $lines }), у нас { $ours } ⭐
# $kind - чем объясняется разница, $stars - на сколько, со знаком
admin-reconcile-class = • { $kind ->
    [withdrawal] вывод
    [ads] реклама
    [api_usage] платные рассылки
    [affiliate_share] доля партнёров
    [affiliate_income] доход от партнёрской программы
    [gift] подарки
    [premium] подаренный Premium
    [paid_media] платные медиа
    [business_transfer] переводы бизнес-аккаунтов
    [chat] чаты и каналы
    [earlier] до этой базы
    [chargeback] отозванные оплаты
    [chargeback_unlisted] отозвано, в списке не значится
    [settling] ещё сверяется
    [amount_differs] ⚠️ суммы не сходятся
    [missing] ⚠️ есть у нас, нет у Telegram
    [unknown] ⚠️ неизвестно что
   *[other] { $kind }
}: { $stars } ⭐, строк: { $lines }
admin-reconcile-same = Разницы нет.
admin-reconcile-explained = Разница { $stars } ⭐ объяснена целиком.
admin-reconcile-unexplained = ❌ Не объяснено { $stars } ⭐.
admin-reconcile-balance = Баланс по словам Telegram { $balance } ⭐, по его списку { $listed } ⭐.
# Что нашлось у Telegram и проведено сейчас
admin-reconcile-booked = Найдено и проведено: оплат { $credited }, возвратов { $refunded }, отозванных { $charged }.
admin-reconcile-failed = ⚠️ Не удалось провести: { $count }. Причины в журнале.
admin-reconcile-unread = Telegram не ответил, сверено с тем, что прочитано раньше.
admin-reconcile-partial = Список длинный и прочитан не до конца, чтение продолжится само.

# Рубли: суммы приходят строками, со знаком
admin-reconcile-roubles-head = Сверка рублей с { MOMENT($since) }. У ЮKassa { $theirs } ₽ (строк: { $lines }), у нас { $ours } ₽
# $kind - чем объясняется разница, $sum - на сколько, со знаком
admin-reconcile-roubles-class = • { $kind ->
    [not_ours] не через Форму
    [missing] ⚠️ есть у нас, нет у ЮKassa
    [amount_differs] ⚠️ суммы не сходятся
    [status_differs] ⚠️ статусы не сходятся
   *[unknown] ⚠️ есть у ЮKassa, нет у нас
}: { $sum } ₽, строк: { $lines }
admin-reconcile-roubles-followed = Проведено сейчас: { $count }.
admin-reconcile-roubles-unread = Рубли не сверены: ЮKassa не ответила.

## /export

admin-export-usage = За какие дни? Первый и последний, по UTC: /export 2026-10-01 2026-12-31
admin-export-caption = Строк: { $rows }
# $books - сходятся ли суммы с книгами (agree, differ), $astray - на сколько копеек не сходятся
admin-export-roubles-caption = Рубли. Строк: { $rows }. Получено { ROUBLES($paid) }, возвращено { ROUBLES($refunded) }. { $books ->
    [differ] ⚠️ С книгами не сходится на { ROUBLES($astray) }: /health
   *[agree] С книгами сходится.
}
error-no-period = Нужны два дня, например 2026-10-01 2026-12-31.
error-period-too-long = Слишком большой период: в таблице не больше { $days } дней и { $rows } строк. Возьмите период короче.

## /chargeback

admin-chargeback-usage = Какую оплату? Её номер у Telegram или ЮKassa: /chargeback stx123
admin-chargeback-none = Такой оплаты нет, или её деньги уже ушли.
admin-chargeback-refunding = По этому платежу уже идёт возврат. Чем он кончится, скажет ЮKassa; потом повторите.
# $id - номер человека, $at - когда оплачено
admin-chargeback-confirm = Отметить оплату отозванной? { payment-sum } · { $id } · { MOMENT($at) }. Доступ закроется, остаток токенов снимется, потраченное станет долгом.
button-chargeback-confirm = Отозвана
button-chargeback-cancel = Не отмечать
admin-chargeback-done = Отмечено: оплата отозвана.
admin-chargeback-cancelled = Ничего не изменилось.
admin-chargeback-expired = Подтверждение устарело, ничего не изменилось. Отправьте /chargeback ещё раз.

## Тревоги и события

admin-alert-payment = ⭐ { STARS($stars) } · { $what } · { $name } · { $id }
admin-alert-renewal = ⭐ Продление { STARS($stars) } · { $plan } · { $id }
admin-alert-renewal-failed = Продление не прошло: { $plan }, { STARS($stars) } · { $id }
admin-alert-subscription-cancelled = Отменена подписка «{ $plan }» до { DAY($until) } · { $id }
admin-alert-refunded = Возврат { STARS($stars) } · { $id }
# Telegram не вернул звёзды; просим снова каждый день
admin-alert-refund-overdue = ⚠️ Возврат не прошёл: { STARS($stars) } · { $id }. Повторяем каждый день. Хватает ли звёзд на балансе бота?
# Платёж, который не сошёлся с заказом и ждёт оператора
admin-alert-quarantine = ⚠️ Платёж не сошёлся с заказом: { STARS($stars) } · { $id } · код { $code }. Деньги получены, токены не начислены.
# Сообщение об оплате до нас не дошло; $outcome - credited, quarantined или over (оплаченное время уже прошло)
admin-alert-star-payment-found = ⚠️ Сверка нашла потерянную оплату: { STARS($stars) } · { $id } · { MOMENT($at) }. { $outcome ->
    [credited] Начислено.
    [over] Оплаченное время уже прошло: верните звёзды или начислите токены через /grant.
   *[other] Стоит в карантине.
}
# $owed - сколько токенов человек теперь должен
admin-alert-chargeback = ⚠️ Оплата отозвана: { payment-sum } · { $id }. Подписка и остаток токенов сняты, долг { TOKENS($owed) }.
# $kind - в чём разница, $subject - строка списка или номер нашей записи, $stars - сумма со знаком
admin-alert-stars-differ = ⚠️ Звёзды не сходятся с Telegram: { $stars } ⭐ · { $kind ->
    [amount_differs] суммы разные
    [missing] у Telegram этого нет
    [unlisted] баланс не равен его списку
    [uncredited] не удалось провести
   *[other] неизвестно что
} · { $subject }
admin-alert-stars-differ-more = ⚠️ И ещё расхождений: { $count }. Все они в таблице star_differences.
# $reason - blocked или deleted
admin-alert-renewal-stopped = Продление остановлено: «{ $plan }» до { DAY($until) } · { $id } · { $reason ->
    [deleted] человек удалил свои данные
   *[other] бот давно заблокирован
}
# Обращение ждёт ответа; $left_s - сколько осталось до обещанного срока
admin-alert-case-due = ⚠️ { case-mark } · { $person_id }: ответ обещан через { DURATION($left_s) }. Показать: /cases { $id }
# $left_s - на сколько просрочено
admin-alert-case-overdue = ⚠️ { case-mark } · { $person_id }: ответ просрочен на { DURATION($left_s) }. Показать: /cases { $id }
# Плательщику обещан ответ за 48 ч; $age_s - сколько он ждёт
admin-alert-quarantine-due = ⚠️ Платёж #{ $payment_id } ждёт решения { DURATION($age_s) }: { payment-sum } · { $person_id }. Показать: /quarantine
admin-alert-job = ⚠️ Задача { $job } не выполнена. Код { $code }
admin-alert-job-over = ✅ Задача { $job } снова выполняется
admin-alert-bug = ❌ Ошибка в коде: { $where }. Код { $code }
admin-alert-turns-failed = ⚠️ Сорвалось ответов за { DURATION($window_s) }: { $count }
admin-alert-turns-over = ✅ За { DURATION($window_s) } ни один ответ не сорвался
# $number - номер правила в docs, $name - его короткое имя, $count - нарушений
admin-alert-invariant = ❌ Счёт не сходится: правило { $number }, { $name }. Нарушений: { $count }
admin-alert-model-down = ❌ Модель { $model } не отвечает
admin-alert-model-up = ✅ Модель { $model } снова отвечает
admin-alert-outbox = ⚠️ Исходящие копятся: { $waiting }, старшему { DURATION($oldest_s) }
admin-alert-outbox-over = ✅ Исходящие снова уходят
admin-alert-migrated = Группа стала супергруппой, новый номер { $chat_id }. Впишите его в FORMA_ADMIN_CHAT_ID; до перезапуска я помню сам.
# Оплата рублями через ЮKassa
admin-alert-renewal-roubles = 💳 Продление { ROUBLES($kopecks) } · { $what } · { $name } · { $id }
# $reason - причина от ЮKassa, как есть
admin-alert-card-failed = Продление не прошло: { $plan }, { ROUBLES($kopecks) } · { $id } · { $reason }
admin-alert-payment-roubles = 💳 { ROUBLES($kopecks) } · { $what } · { $name } · { $id }
admin-alert-quarantine-roubles = ⚠️ Платёж в рублях не сошёлся с заказом: { ROUBLES($kopecks) } · { $id } · код { $code }. Деньги получены, токены не начислены.
# $reason - ответ ЮKassa
admin-alert-roubles-refused = ⚠️ ЮKassa не принимает наши платежи: { $reason }. Покупки за рубли не проходят.
admin-alert-roubles-differ = ⚠️ Рубли не сходятся с ЮKassa: { ROUBLES($kopecks) } · { $kind ->
    [missing] у ЮKassa этого нет
    [amount_differs] суммы разные
    [status_differs] статусы разные
   *[unknown] у нас этого нет
} · { $subject }
admin-alert-roubles-differ-more = ⚠️ И ещё расхождений в рублях: { $count }. Все они в таблице rouble_differences.
admin-alert-refunded-roubles = Возврат { ROUBLES($kopecks) } · платёж #{ $payment_id } · { $id }
# Вернулась часть; $paid - сколько было оплачено, $tokens - сколько токенов ушло, $made - у нас (here) или в кабинете ЮKassa (there)
admin-alert-refunded-part-roubles = Вернулась часть оплаты: { ROUBLES($kopecks) } из { ROUBLES($paid) } · платёж #{ $payment_id } · { $id } · снято { TOKENS($tokens) }{ $made ->
    [there] { " " }· из кабинета ЮKassa
   *[here] { "" }
}
# $reason - почему, словами ЮKassa или нашими
admin-alert-refund-failed-roubles = ⚠️ ЮKassa не вернула { ROUBLES($kopecks) }: { $reason ->
    [overtaken] вместо этого деньги вернули в её кабинете
   *[other] { $reason }
} · платёж #{ $payment_id } · { $id }. Токены снова у человека. Повторить: /refund { $payment_id }
# Чек, которого нет: $kind - оплаты или возврата, $charge - номер у ЮKassa, $status - что сказала ЮKassa
admin-receipt-of = { $kind ->
    [refund] возврат
   *[payment] оплата
} { ROUBLES($kopecks) } · платёж #{ $payment_id }
admin-receipt-mark = { admin-receipt-of } · { $charge } · { $status ->
    [canceled] ЮKassa его не зарегистрировала
   *[pending] ЮKassa молчит о нём больше суток
}
admin-alert-receipt-missing = ⚠️ Нет чека: { admin-receipt-mark }. Деньги и токены на месте. Сделайте чек в кабинете ЮKassa и нажмите кнопку.
admin-alert-receipts-missing-more = ⚠️ Нет и других чеков: { $count }. Все они: /receipts
admin-alert-receipt-came = ✅ ЮKassa всё же выдала чек: { admin-receipt-of }. Если вы уже сделали его сами, отмените лишний.
admin-alert-refund-overdue-roubles = ⚠️ Возврат { ROUBLES($kopecks) } ещё не завершён: платёж #{ $payment_id } · { $id }. Спрашиваем ЮKassa каждую минуту.
