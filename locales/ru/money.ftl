### Токены и деньги. Число токенов всегда рядом с числом ответов. Названия планов приходят аргументом $plan.

## Остаток

# $tokens - свободные токены
balance = У вас { TOKENS($tokens) }.
balance-plan = План: { $plan }.
# Ответ, который идёт прямо сейчас, отложил под себя часть
balance-reserved = Под идущие ответы отложено: { $tokens }. Лишнее вернётся.
# Потрачено из покупки, оплату за которую отозвали
balance-debt = Долг за отозванную оплату: { TOKENS($tokens) }. Его покроет следующая покупка.
balance-lots = Из чего складывается:
# $kind - откуда токены, $until - когда сгорят
balance-lot = • { $kind ->
    [daily] на сегодня
    [welcome] подарок при знакомстве
    [trial] пробный период
    [subscription] по подписке
    [pack] пакет
    [gift] подарок
    [grant] от Forma
    [promo] по промокоду
    [courtesy] за наш счёт
   *[other] прочее
}: { $tokens }, до { DATE($until) }
balance-lot-forever = • { $kind ->
    [grant] от Forma
    [pack] пакет
   *[other] прочее
}: { $tokens }, без срока
# $tokens - сколько придёт, $next_s - через сколько секунд
balance-next = Следующие { $tokens } придут через { DURATION($next_s) }.
# $percent - сколько процентов осталось; предупреждение одно за период
low-balance = Осталось { $percent } % токенов, { ANSWERS($tokens) }.
# Новых токенов ждать $next_s секунд
low-balance-next = Осталось { $percent } % токенов, { ANSWERS($tokens) }. Новые через { DURATION($next_s) }.
# Под ответом, который дописан за счёт Forma
courtesy = Дописал за свой счёт. Токены закончились.
courtesy-next = Дописал за свой счёт. Новые токены через { DURATION($next_s) }
# Оператор начислил токены
grant-received = Вам начислено { TOKENS($tokens) }. Спасибо, что вы с нами.

## Подписка

subscription-none = Подписки нет, отвечаю за бесплатные токены. Что можно подключить: /plans
# $until - конец оплаченного периода, $stars - следующая оплата
subscription-active =
    { $plan }: до { DAY($until) }, дальше продлится за { STARS($stars) }.
    Осталось { TOKENS($tokens) }.
subscription-cancelled =
    { $plan }: до { DAY($until) }. Больше не спишем.
    Осталось { TOKENS($tokens) }.
# $card - окончание номера карты, с которой продлевается подписка
subscription-by-card =
    { $plan }: до { DAY($until) }, дальше { payment-sum } с карты { $card }.
    Осталось { TOKENS($tokens) }.
subscription-charging = { $plan }: продлеваем, { payment-sum } с карты { $card }. Доступ до { DAY($until) }.
subscription-past-due = { $plan }: оплата не прошла. Доступ до { DAY($until) }, цена продления { payment-sum }.
subscription-trialing = { $plan }: до { DAY($until) }. Пробный период сам закончится и ничего не спишет.
# $tokens - что пропадёт раньше остального, $until - когда
subscription-lapse = Раньше всего сгорят { TOKENS($tokens) }, { DAY($until) }. Всё по срокам: /balance

button-subscription-cancel = Отменить подписку
button-cancel-confirm = Да, отменить
button-cancel-keep = Оставить
button-subscription-resume = Возобновить
cancel-confirm = Отменить подписку «{ $plan }»? Больше не спишем, доступ останется до { DAY($until) }.
cancelled = Больше не спишем. Доступ до { DAY($until) }.
cancel-kept = Хорошо, всё остаётся как есть.
resumed = Подписка снова активна: { DAY($until) } продлится за { payment-sum }.
# Возобновить может только сам человек, в настройках Telegram
resume-in-telegram =
    Продление разрешено. Осталось подтвердить его в Telegram:
    Настройки → Мои звёзды → Мои подписки → Forma → Возобновить.
expired = Подписка «{ $plan }» закончилась. Разговоры и настройки на месте, бесплатные токены приходят каждый день. Вернуться: /plans

## Продление

# За 3 дня до списания
renewal-soon = { DAY($day) } спишется { STARS($stars) } за «{ $plan }». Отмена: /subscription
renewed = { $plan } до { DAY($until) }, { ANSWERS($tokens) }. Списано { STARS($stars) }.
renewal-failed = Не хватило { STARS($stars) }. Доступ ещё { DURATION($grace_s) }
# Человек давно заблокировал бота, и мы сами остановили продление; говорится, когда он вернулся
renewal-stopped = С возвращением! Пока бот был заблокирован, мы остановили продление «{ $plan }»: { DAY($since) }, чтобы не списывать { payment-sum } зря. Подключить снова: /plans
button-renew = Продлить
button-to-free = На бесплатный

## Планы и покупка

plans = Планы на 30 дней
# $tokens - в месяц, $in_flight - ответов одновременно, $per_minute - вопросов в минуту
plans-row =
    { $plan } · { STARS($stars) }
    { ANSWERS($tokens) }, { $per_minute ->
        [one] { $per_minute } вопрос
        [few] { $per_minute } вопроса
        [many] { $per_minute } вопросов
       *[other] { $per_minute } вопроса
    } в минуту, { $in_flight ->
        [one] { $in_flight } ответ
        [few] { $in_flight } ответа
        [many] { $in_flight } ответов
       *[other] { $in_flight } ответа
    } одновременно
# $tokens - в день
plans-row-free =
    { $plan } · { STARS(0) }
    { ANSWERS($tokens) } каждый день
plans-row-pack =
    { $plan } · { STARS($stars) }
    { ANSWERS($tokens) } на { DURATION($lasts_s) }, без подписки
plans-current = Сейчас у вас: { $plan }
plans-current-until = Сейчас у вас: { $plan }, до { DATE($until) }
plans-answers-note = Один обычный ответ — около 1000 токенов; длинный стоит больше, короткий меньше.
# Правило возврата, до оплаты
plans-refund = Отмена в любой момент. Вернём деньги, если прошло не больше { $refund_hours } ч и потрачено не больше { $refund_percent } %.
button-plans = Планы
button-buy-plan = { $plan } · { STARS($stars) }
button-buy-pack = Пакет { STARS($stars) }
button-connected = ✓ Подключено
button-paid = ✓ Оплачено
button-pay = Оплатить { STARS($stars) }
button-stars-where = Где взять звёзды
buy = Что подключить?
# $stars - цена
pay-ready = { $plan }: { STARS($stars) }. Оплата внутри Telegram.
plan-already = «{ $plan }» у вас уже есть, до { DAY($until) }.
buying-off = Сейчас покупки закрыты. Бесплатные токены приходят каждый день.
stars-where =
    Звёзды — это внутренняя валюта Telegram.

    Купить: Настройки → Мои звёзды → Купить звёзды. Ещё их продаёт официальный бот @PremiumBot.

    Когда звёзды на счету, вернитесь к /plans: цена та же.

## Лист оплаты: название до 32 знаков, описание до 255

invoice-title-subscription = { $plan }, 30 дней
invoice-description-subscription = { TOKENS($tokens) } на 30 дней. Продлевается само, отмена в любой момент: /subscription. Возврат: { $refund_hours } ч, если потрачено не больше { $refund_percent } %.
invoice-title-pack = Пакет токенов
invoice-description-pack = { TOKENS($tokens) } на { DURATION($lasts_s) }. Разовая покупка, сама не продлевается. Возврат: { $refund_hours } ч, если потрачено не больше { $refund_percent } %.
invoice-label = { $plan }

## Отказ перед оплатой: Telegram покажет его человеку

error-order-expired = Этот счёт устарел. Новый — в /plans
error-order-of-another = Этот счёт выставлен другому человеку. Ваш — в /plans.
error-order-price-differs = Цена изменилась. Новая — в /plans.
error-order-paid = Это уже оплачено, второй раз платить не нужно.
error-not-for-sale = Это больше не продаётся. Что есть: /plans
error-second-subscription = Подписка у вас уже есть, второй не нужно: /subscription
error-order-unknown = Такого счёта нет. Откройте новый: /plans
error-not-refundable = По этой оплате возвращать нечего: её уже вернули, или она не приходила.
error-refund-more-than-left = Столько не вернуть: по этой оплате осталось меньше.
error-refund-whole-only = Звёзды возвращаются только целиком.
checkout-failed = Не получилось проверить счёт, ничего не списано. Попробуйте ещё раз.

## После оплаты

paid-subscription = { $plan } до { DAY($until) }, { ANSWERS($tokens) }. Отмена: /subscription
paid-pack = Пакет ваш: { TOKENS($tokens) }, до { DATE($until) }.
paid-unclear = Оплата пришла, сверяем её с Telegram. Ничего делать не нужно, ответим за 48 ч. Код { $code }
# Говорится тому, кто заплатил
paid-other-person = Этот счёт выставлен другому человеку, поэтому возвращаем вам { STARS($stars) }. Ваши счета — в /plans
paid-twice = Эта подписка у вас уже оплачена, поэтому возвращаем { STARS($stars) }. Что у вас есть: /subscription
refunded = Вернули { STARS($stars) }. Токены этой покупки сняты.
# Платёж отозван через банк или магазин приложений; $owed - потраченные токены
charged-back = { payment-sum } за вашу покупку отозвали у нас. { $owed ->
    [0] Её токены и доступ сняты.
   *[other] Её токены и доступ сняты, а { TOKENS($owed) } уже были потрачены. Их вернёт следующая покупка.
} Если это ошибка, напишите: /paysupport
# $left - сколько долга осталось
debt-repaid = Из этой покупки { TOKENS($tokens) } ушли в счёт отозванной оплаты. { $left ->
    [0] Долга больше нет.
   *[other] Осталось вернуть { TOKENS($left) }.
}
paysupport =
    Вопрос об оплате: { $contact }
    Укажите день и сумму. Ответим за 48 ч.

    Отмена подписки: /subscription. Возврат без вопросов: { $refund_hours } ч после покупки, если потрачено не больше { $refund_percent } %.

    Поддержка Telegram такие вопросы не решает, отвечаем мы.
paysupport-here =
    Вопросы об оплате решает оператор Forma и отвечает за 48 ч.

    Отмена подписки: /subscription. Возврат без вопросов: { $refund_hours } ч после покупки, если потрачено не больше { $refund_percent } %.

    Поддержка Telegram такие вопросы не решает, отвечаем мы.
