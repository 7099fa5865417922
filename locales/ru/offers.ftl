### Что покупают один раз, подарки и смена плана. Названия планов приходят аргументом $plan.

## Год и другое время, которое не продлевается

# $tokens - в каждом месяце, $months - сколько месяцев, $stars_month - сколько выходит в месяц
plans-row-once =
    { $plan } · { STARS($stars) }
    { ANSWERS($tokens) } каждый месяц, { $months ->
        [one] { $months } месяц
        [few] { $months } месяца
        [many] { $months } месяцев
       *[other] { $months } месяца
    }. Выходит { STARS($stars_month) } в месяц, само не продлевается
once-before-paying = Платите один раз за { $months ->
        [one] { $months } месяц
        [few] { $months } месяца
        [many] { $months } месяцев
       *[other] { $months } месяца
    }. Токены приходят каждый месяц, { ANSWERS($tokens) } за раз. Само не продлится.
# $day - когда закончится то, что уже есть
once-begins-later = Начнётся { DATE($day) }, когда закончится то, что у вас есть: ни дня не пропадёт.
# У человека подписка, которая продлевается: $day - когда, $amount, $currency - за сколько
once-beside-renewal = «{ $plan }» у вас продлевается сама: { DAY($day) } спишется { payment-sum }. Чтобы не платить дважды, отмените продление: /subscription. Доступ по ней останется до конца оплаченного.
# Обратный случай: время уже оплачено, а покупают подписку
renewal-beside-once = У вас уже есть «{ $plan }» до { DATE($until) }. Подписка начнётся сразу и пойдёт рядом с ним, не после.
invoice-title-once = { $plan }
invoice-description-once = { TOKENS($tokens) } каждый месяц, { $months ->
        [one] { $months } месяц
        [few] { $months } месяца
        [many] { $months } месяцев
       *[other] { $months } месяца
    }. Разовая покупка, не продлевается. Возврат: { $refund_hours } ч, если потрачено не больше { $refund_percent } %.
paid-once = { $plan } до { DATE($until) }. Токены приходят каждый месяц, { ANSWERS($tokens) }; первые уже ваши. Само не продлится.
paid-once-later = { $plan } с { DATE($day) } до { DATE($until) }. Токены будут приходить каждый месяц, { ANSWERS($tokens) }. Само не продлится.
# $day - когда продлится, $amount, $currency - за сколько
renews-beside = «{ $plan }» у вас продлевается сама: { DAY($day) } спишется { payment-sum }. Чтобы не платить дважды, отмените продление. Оплаченное останется.
button-cancel-of = Отменить «{ $plan }»
# $until - когда сгорят
month-granted = { $plan }: новый месяц, { TOKENS($tokens) } до { DATE($until) }.
# Закончилось одно, но оплачено другое
expired-goes-on = «{ $plan }» закончился. Дальше у вас «{ $next_plan }» до { DATE($until) }.

## /subscription

subscription-once =
    { $plan }: до { DATE($until) }. Само не продлится и ничего не спишет.
    Осталось { TOKENS($tokens) }.
subscription-once-next = Следующие токены { DAY($day) }, { ANSWERS($tokens) }.
subscription-ahead = Дальше { $plan }: с { DATE($day) } до { DATE($until) }, { ANSWERS($tokens) } каждый месяц.
subscription-beside = Ещё { $plan }: до { DATE($until) }, не продлится.
subscription-beside-renews = Ещё { $plan }: до { DAY($until) }, дальше продлится за { payment-sum }.

## Смена плана

button-change-plan = Сменить план
change-plan = Сейчас «{ $plan }». На что сменить?
change-plan-up = План больше начнётся сразу после оплаты, а «{ $plan }» перестанет продлеваться. Его токены и доступ останутся до { DAY($until) }.
change-plan-down = План меньше предложим { DAY($until) }, когда закончится оплаченное. До тех пор всё как сейчас.
change-before-paying = Новый план начнётся сразу. «{ $plan }» после оплаты больше не продлится, его токены и доступ останутся до { DAY($until) }. Не оплатите — ничего не изменится.
plan-changed = «{ $plan }» больше не продлится. Её токены и доступ останутся до { DAY($until) }.
change-down-confirm = Перейти с «{ $plan }» на «{ $next_plan }»? Больше не спишем, доступ останется до { DAY($until) }. В этот день предложим «{ $next_plan }», сам он не включится.
button-change-down = Да, перейти
cancelled-next-plan = Больше не спишем. Доступ до { DAY($until) }, тогда предложим «{ $next_plan }».
expired-next-plan = Подписка «{ $plan }» закончилась. Вы хотели дальше «{ $next_plan }»: { STARS($stars) } на 30 дней.
resume-beside = У вас уже продлевается «{ $plan }». Чтобы не платить дважды, сначала отмените её.

## Подарки

button-gift-choose = 🎁 Подарить
button-gifts-given = Мои подарки
gift-choose = Что подарить? После оплаты дам ссылку, её можно отправить кому угодно.
gift-month = { $plan }, месяц
button-give = { $what } · { STARS($stars) }
# $days - сколько дней действует ссылка
gift-before-paying = В подарок. После оплаты дам ссылку: она сработает один раз в течение { $days ->
        [one] { $days } дня
        [few] { $days } дней
        [many] { $days } дней
       *[other] { $days } дня
    }. Пока подарок не открыт, вернём деньги в течение { $refund_hours } ч.
invoice-title-gift = Подарок: { $plan }
invoice-description-gift = «{ $plan }» для другого человека. Разовая покупка, не продлевается. После оплаты вы получите ссылку. Возврат: { $refund_hours } ч, пока подарок не открыт.
# Тому, кто дарит: подарок оплачен
gift-ready =
    🎁 «{ $plan }» в подарок оплачен. Ссылка сработает один раз, до { DATE($until) }:
    { $link }

    Когда подарок откроют, напишу.
# Текст, с которым ссылку отправляют другу
gift-share = Это вам подарок 🎁
button-gift-share = Отправить ссылку
button-gift-to = Выбрать, кому
button-gift-person = Выбрать человека
gift-whom = Кому подарок? Нажмите кнопку внизу.
gift-offered = Сказал о подарке «{ $plan }». Когда его откроют, напишу.
# Бот не знаком с тем, кого выбрали
gift-send-yourself =
    С этим человеком я не знаком и написать ему не могу. Отправьте ссылку сами:
    { $link }
# Тому, кому дарят; $name - кто дарит
gift-for-you = 🎁 { $name } дарит вам «{ $plan }».
button-gift-take = Принять подарок
gift-received = 🎁 «{ $plan }» ваш до { DATE($until) }: { ANSWERS($tokens) } в месяц. Само не продлится и ничего не спишет.
# У получателя уже что-то есть: подарок начнётся после
gift-received-later = 🎁 «{ $plan }» ваш: с { DATE($day) }, когда закончится то, что у вас есть, до { DATE($until) }. { ANSWERS($tokens) } в месяц, ничего не спишется.
gift-received-pack = 🎁 «{ $plan }» ваш: { TOKENS($tokens) } до { DATE($until) }.
gift-received-before = Этот подарок, «{ $plan }», уже у вас: /subscription
# Тому, кто подарил; $name - кто открыл
gift-taken = 🎁 { $name } уже с подарком «{ $plan }».
gift-taken-back = За подарок «{ $plan }» вернули деньги тому, кто его купил, поэтому он больше не действует. Разговоры и настройки на месте, бесплатные токены приходят каждый день.
refunded-gift = Вернули { STARS($stars) }. Подарок «{ $plan }» больше не действует.
gift-ends-soon = Ваш подарок «{ $plan }» ещё не открыли. Ссылка действует до { DATE($until) }. Можно отправить её ещё раз или взять подарок себе.
gift-ended = Подарок «{ $plan }» никто не открыл, ссылка больше не действует. Вопросы: /paysupport
gifts-given = Ваши подарки. Нажмите, чтобы увидеть ссылку и открыли ли его.
button-gift = { $plan } · { DAY($day) }
button-gift-show = Показать подарок
gift-card =
    🎁 «{ $plan }» ещё не открыли. Ссылка сработает один раз, до { DATE($until) }:
    { $link }
gift-card-taken = 🎁 «{ $plan }» открыли.
gift-card-withdrawn = «{ $plan }»: деньги возвращены или возвращаются, ссылка не действует.
gift-card-ended = «{ $plan }» никто не открыл, ссылка больше не действует. Вопросы: /paysupport
button-gift-keep = Взять себе
button-gift-back = Вернуть деньги
gift-back-confirm = Вернуть { STARS($stars) } за «{ $plan }»? Ссылка сразу перестанет действовать.
button-gift-back-confirm = Да, вернуть
gift-back-asked = Ссылка больше не действует, возвращаем звёзды.

error-gift-unknown = Такого подарка нет. Проверьте ссылку или спросите того, кто её прислал.
error-gift-taken = Этот подарок уже открыл кто-то другой. Ссылка срабатывает один раз.
error-gift-expired = Срок этого подарка прошёл. Скажите тому, кто дарил: он может написать в /paysupport
error-gift-withdrawn = Этот подарок отменили, деньги вернулись дарителю.
error-gift-not-yours = Этот подарок уже нельзя передать.
error-gift-return-late = Срок возврата без вопросов прошёл. Напишите нам: /paysupport
error-gift-offered-often = Об этом подарке я уже говорил нескольким людям. Отправьте ссылку сами.
