### Числа, сроки и суммы, из которых собраны остальные тексты, и то, что общего у всех кнопок.
### Тексты простые: без Markdown и HTML. Как пишутся числа и даты, решает kit/words.py.

## Суммы

# $n - сколько обычных ответов (целое), $some - есть ли токены вообще (yes, no)
amount-answers = { $n ->
    [0] { $some ->
        [yes] меньше одного ответа
       *[no] 0 ответов
    }
    [one] ≈ { $n } ответ
    [few] ≈ { $n } ответа
    [many] ≈ { $n } ответов
   *[other] ≈ { $n } ответа
}
# $n - токены, $answers - готовая строка «≈ 300 ответов»
amount-tokens = { $n ->
    [one] { $n } токен
    [few] { $n } токена
    [many] { $n } токенов
   *[other] { $n } токена
}, { $answers }

## Сроки

duration-seconds = { $n } с
duration-minutes = { $n } мин
duration-hours = { $n } ч
duration-days = { $n ->
    [one] { $n } день
    [few] { $n } дня
    [many] { $n } дней
   *[other] { $n } дня
}
# $low, $high - границы оценки
duration-seconds-span = { $low }–{ $high } с
duration-minutes-span = { $low }–{ $high } мин
# $day - готовая дата, «23 дек.»
until = до { $day }
# $duration - готовый срок, «5 ч»
after = через { $duration }

## Кнопки

button-back = ← Назад
# Подсказка при нажатии: кнопка из старого сообщения
toast-expired = Эта кнопка устарела. Отправьте команду ещё раз.
toast-other-person = Эта кнопка для другого человека.
toast-already = Уже сделано.
# Нажали кнопку, пока её ответ ещё пишется
toast-wait = Ещё отвечаю. Нажмите, когда закончу.
