### Настройки, язык, описания бота и его команд.

## Настройки

settings =
    Настройки

    Вид: таблицы и формулы или простой текст.
    Предпросмотр: как ответ появляется, пока пишется.
    Длина: коротко или подробно. Короткий ответ стоит меньше токенов.
# Кнопки первого экрана; $value - что выбрано сейчас
button-settings-text = Вид: { $value ->
    [rich] таблицы и формулы
   *[plain] простой текст
}
button-settings-preview = Предпросмотр: { $value ->
    [draft] черновик
    [edit] правкой
   *[off] выключен
}
button-settings-length = Длина: { $value ->
    [short] коротко
   *[detailed] подробно
}
button-settings-language = Язык: русский

settings-text =
    Как показывать таблицы и формулы?

    Простой текст виден на любом устройстве. Таблицы и формулы удобнее, но старые приложения Telegram могут показать их пустыми.
button-text-plain = Простой текст
button-text-rich = Таблицы и формулы
settings-preview =
    Как показывать ответ, пока он пишется?

    Черновик: текст бежит сразу, есть кнопка «Стоп». Правкой: сообщение дополняется на месте. Без предпросмотра: ответ придёт целиком.
button-preview-draft = Черновик
button-preview-edit = Правкой
button-preview-off = Без предпросмотра
settings-length = Какие ответы вам удобнее?
button-length-short = Коротко
button-length-detailed = Подробно
# $label - подпись выбранной кнопки
button-chosen = ✓ { $label }
toast-saved = Сохранено

## Язык

language = Выберите язык. Choose your language.
button-language-ru = Русский
button-language-en = English
language-set = Теперь говорим по-русски.

## Команды: описания в меню Telegram, до 256 знаков

command-new = Новый разговор
command-dialogs = Все разговоры
command-context = Что я помню из разговора
command-stop = Остановить ответ
command-think = Подумать глубже над вопросом
command-balance = Сколько осталось
command-subscription = Подписка и отмена
command-plans = Планы и цены
command-buy = Купить план или пакет
command-help = Что я умею
command-language = Язык · Language
command-settings = Вид и длина ответов
command-terms = Условия
command-privacy = Ваши данные
command-support = Вопросы и сбои
command-paysupport = Вопросы об оплате
command-payments = Ваши оплаты и возврат
command-payments-admin = Оплаты человека
command-refund = Вернуть деньги, в два шага
command-quarantine = Платежи, которые не сошлись с заказом
command-cases = Обращения об оплате
command-receipts = Недостающие чеки
command-stats = Сводка за сутки и за 30 дней
command-user = Карточка: номер, @имя или код ошибки
command-grant = Начислить токены
command-queue = Кто ждёт и кому отвечаем
command-models = Модели и их серверы
command-health = Все ли части работают
command-slow = Медленная полоса
command-maintenance = Технические работы
command-service = Что включено: полосы и работы
command-reconcile = Сверить звёзды с Telegram
command-export = Звёзды и рубли за период таблицей
command-chargeback = Отметить отозванную оплату

## Бот: описание пустого чата (до 512 знаков) и строка профиля (до 120)

bot-description =
    Forma — ИИ-тренер по спорту, телу и личным целям.

    Спросите про тренировки, питание, сон или восстановление: ответ начнёт появляться сразу. Разговор запоминается, начать новый можно в любой момент.

    Каждый день есть бесплатные ответы. Нужно больше — подписка или пакет за звёзды, отмена в одно касание.

    Forma не врач и не заменяет его. 18+
bot-short-description = ИИ-тренер по спорту, телу и целям. Спросите о чём угодно: бесплатные ответы каждый день. Не врач. 18+
