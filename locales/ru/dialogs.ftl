### Разговоры: список, название, файл, удаление; что помнится из разговора.

# $count - сколько разговоров, $page и $pages - страница и сколько их
dialogs =
    { $count ->
        [one] { $count } разговор
        [few] { $count } разговора
        [many] { $count } разговоров
       *[other] { $count } разговора
    }{ $pages ->
        [1] {""}
       *[other] , страница { $page } из { $pages }
    }

    ✓ стоит у того, что идёт сейчас. Нажмите на любой: его можно продолжить, переименовать, сохранить файлом или удалить.
dialogs-none = Разговоров нет. Напишите что-нибудь, и начнётся первый.
# Разговор, в котором ещё нет слов
dialog-untitled = Без названия
button-dialogs = Все разговоры
button-dialog-new = Новый
button-dialogs-delete = Удалить все
# $title - название, $messages - сколько в нём сообщений, $last_at - когда было последнее, $state - active или closed
dialog-card =
    { $title }

    { $messages ->
        [one] { $messages } сообщение
        [few] { $messages } сообщения
        [many] { $messages } сообщений
       *[other] { $messages } сообщения
    }, последнее { MOMENT($last_at) }{ $state ->
        [active] {""}. Идёт сейчас.
       *[closed] {""}
    }
button-dialog-open = Продолжить
button-dialog-rename = Переименовать
button-dialog-export = Файлом
button-dialog-delete = Удалить
# $title - название
dialog-opened = Продолжаем «{ $title }». Пишите, я помню, о чём шла речь.

## Название

# Первая строка вопроса о названии: по ней ответ находит разговор
dialog-mark = ✏️ Разговор #{ $id }
dialog-rename-ask = Сейчас он называется «{ $title }». Как назвать? Ответьте на это сообщение.
dialog-rename-hint = Новое название
dialog-rename-empty = В этом названии нет ни одной буквы. Ответьте на вопрос ещё раз.
dialog-renamed = Готово: «{ $title }».

## Файл

toast-dialog-export = Собираю файл
dialog-file = Разговор «{ $title }»
dialog-file-person = Вы
dialog-file-forma = Forma
# Разговор длиннее, чем помещается в файл
dialog-file-cut = Начало разговора не поместилось.

## Удаление

dialog-delete-sure =
    Удалить «{ $title }»?

    Вопросы, ответы и всё, что я из них запомнил, сотрутся сразу. Вернуть их нельзя. В чате Telegram сообщения останутся.
dialogs-delete-sure =
    { $count ->
        [one] Удалить { $count } разговор?
        [few] Удалить { $count } разговора?
        [many] Удалить все { $count } разговоров?
       *[other] Удалить { $count } разговора?
    }

    Вопросы, ответы и всё, что я из них запомнил, сотрутся сразу. Вернуть их нельзя. В чате Telegram сообщения останутся.
button-dialog-erase = Удалить навсегда
button-dialogs-erase = Удалить все навсегда
button-dialog-keep = Оставить
toast-dialog-deleted = Стёрто.

## Что помнится

# $model - модель, $tokens и $budget - сколько токенов занято и сколько помещается, $turns - сколько вопросов с ответами
context =
    Этот разговор

    Занято { $tokens } из { $budget ->
        [one] { $budget } токена
        [few] { $budget } токенов
        [many] { $budget } токенов
       *[other] { $budget } токена
    }: столько текста я читаю перед ответом. { $turns ->
        [one] Дословно помню { $turns } вопрос с ответом.
        [few] Дословно помню { $turns } вопроса с ответами.
        [many] Дословно помню { $turns } вопросов с ответами.
       *[other] Дословно помню { $turns } вопроса с ответами.
    }
    Отвечает { $model }.
# Разговора сейчас нет
context-none =
    Сейчас разговора нет: следующее сообщение начнёт новый.

    Помещается { $budget ->
        [one] { $budget } токен
        [few] { $budget } токена
        [many] { $budget } токенов
       *[other] { $budget } токена
    }, отвечает { $model }. Вернуться к прежнему: /dialogs
# $turns - сколько вопросов с ответами заменяет пересказ; сам он стоит ниже
context-summary = { $turns ->
    [one] Ещё { $turns } вопрос с ответом помню в пересказе:
    [few] Ещё { $turns } вопроса с ответами помню в пересказе:
    [many] Ещё { $turns } вопросов с ответами помню в пересказе:
   *[other] Ещё { $turns } вопроса с ответами помню в пересказе:
}
# Пересказ забыт по просьбе человека
context-forgotten = { $turns ->
    [one] Ещё { $turns } вопрос с ответом забыт.
    [few] Ещё { $turns } вопроса с ответами забыты.
    [many] Ещё { $turns } вопросов с ответами забыты.
   *[other] Ещё { $turns } вопроса с ответами забыты.
}
button-summary-forget = Забыть пересказ
toast-summary-forgotten = Забыто.
