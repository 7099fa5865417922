"""The words of the simulated model: coach-like, harmless, plainly a simulation, in Russian and English."""

from typing import Final

LINE: Final = {"ru": "Симуляция: {text}", "en": "Simulated: {text}"}
SIMULATED: Final = {
    "ru": "Симуляция модели / Simulated model · сообщений в запросе: {count}",
    "en": "Симуляция модели / Simulated model · messages in the prompt: {count}",
}
QUOTED: Final = {"ru": "Вы написали: «{text}»", "en": "You wrote: “{text}”"}
REASONING: Final = {
    "ru": "Сначала уточню цель и нагрузку за неделю, затем подберу один простой шаг. Это симуляция рассуждения.",
    "en": "First the goal and this week's load, then one simple step. This is simulated reasoning.",
}
OPENINGS: Final = {
    "ru": (
        "**Коротко:** начните с малого и держите ритм.",
        "**Хороший вопрос.** Вот с чего я бы начал:",
        "**Главное — регулярность.** По шагам:",
        "**Давайте разберём спокойно.** Что поможет:",
    ),
    "en": (
        "**In short:** start small and keep the rhythm.",
        "**Good question.** This is where I would start:",
        "**Regularity comes first.** Step by step:",
        "**Let us take it calmly.** What helps:",
    ),
}
CLOSINGS: Final = {
    "ru": (
        "Сколько дней в неделю вам удобно тренироваться?",
        "Что из этого проще всего начать сегодня?",
        "Расскажите, как вы спали на этой неделе?",
        "Хотите, соберу из этого план на семь дней?",
    ),
    "en": (
        "How many days a week suit you?",
        "Which of these is easiest to start today?",
        "How did you sleep this week?",
        "Shall I turn this into a seven-day plan?",
    ),
}
ADVICE: Final = {
    "ru": (
        "**Разминка** — 8 минут ходьбы и суставной гимнастики перед каждой тренировкой.",
        "**Сила** — приседания, отжимания и тяга: по 3 подхода на 8–12 повторений.",
        "**Сон** — ложитесь в одно и то же время, цель 7–9 часов.",
        "**Шаги** — прибавляйте по 500 шагов в неделю, пока не выйдете на 8 000.",
        "**Белок** — источник белка в каждый приём пищи, порция размером с ладонь.",
        "**Вода** — стакан утром и по стакану к каждой еде.",
        "**Пульс** — лёгкий бег в темпе, при котором можно разговаривать.",
        "**Отдых** — хотя бы один день в неделю без нагрузки.",
        "**Дневник** — три строки вечером: что сделал, как спал, сколько сил осталось.",
        "**Прогресс** — увеличивайте нагрузку не больше чем на 10 % за неделю.",
        "**Растяжка** — 5 минут после тренировки, без боли и рывков.",
        "**Цель** — запишите её числом и датой, так её проще проверить.",
        "**Самочувствие** — если появилась боль, остановитесь и покажитесь врачу.",
        "**Привычка** — привяжите тренировку к тому, что уже делаете каждый день.",
    ),
    "en": (
        "**Warm-up** — 8 minutes of walking and joint mobility before each session.",
        "**Strength** — squats, push-ups and rows: 3 sets of 8–12 repetitions.",
        "**Sleep** — go to bed at the same time and aim for 7–9 hours.",
        "**Steps** — add 500 steps a week until you reach 8,000.",
        "**Protein** — a palm-sized source of protein with every meal.",
        "**Water** — a glass in the morning and one with each meal.",
        "**Pace** — run easily enough to hold a conversation.",
        "**Rest** — at least one day a week without training.",
        "**Diary** — three lines each evening: what you did, how you slept, how you feel.",
        "**Progress** — raise the load by no more than 10 % a week.",
        "**Stretching** — 5 minutes afterwards, without pain or jerks.",
        "**Goal** — write it down as a number and a date, so that it can be checked.",
        "**Body** — if something hurts, stop and let a doctor look at it.",
        "**Habit** — tie the session to something that you do every day anyway.",
    ),
}
_TABLE_RU = """| День | Тренировка | Минуты |
|---|---|---:|
| Пн | Силовая: ноги и спина | 40 |
| Ср | Лёгкий бег | 30 |
| Пт | Силовая: грудь и плечи | 40 |
| Вс | Прогулка | 60 |"""
_TABLE_EN = """| Day | Session | Minutes |
|---|---|---:|
| Mon | Strength: legs and back | 40 |
| Wed | Easy run | 30 |
| Fri | Strength: chest and shoulders | 40 |
| Sun | Walk | 60 |"""
_FORMULA = r"""$$\mathrm{BMI} = \frac{m}{h^2}$$"""
_CODE = """```python
def bmi(mass_kg: float, height_m: float) -> float:
    return mass_kg / height_m**2
```"""
_MARKDOWN_RU = f"""# План на неделю

**Жирный**, _курсив_, ~~зачёркнутый~~, `код` и [ссылка](https://example.org/).

1. Разминка
2. Основная часть
   - приседания
   - отжимания
3. Заминка

> Регулярность важнее рекорда.

{_TABLE_RU}

{_CODE}

---

Спецсимволы: 5 < 7 & 9 > 2, 2 * 3 * 4, snake_case_name."""
_MARKDOWN_EN = f"""# A plan for the week

**Bold**, _italic_, ~~struck~~, `code` and a [link](https://example.org/).

1. Warm-up
2. Main part
   - squats
   - push-ups
3. Cool-down

> Regularity beats records.

{_TABLE_EN}

{_CODE}

---

Special characters: 5 < 7 & 9 > 2, 2 * 3 * 4, snake_case_name."""
DEMOS: Final = {
    "table": {"ru": f"План на неделю:\n\n{_TABLE_RU}", "en": f"A plan for the week:\n\n{_TABLE_EN}"},
    "formula": {
        "ru": f"Индекс массы тела:\n\n{_FORMULA}\n\nгде $m$ — масса в килограммах, $h$ — рост в метрах.",
        "en": f"The body mass index:\n\n{_FORMULA}\n\nwhere $m$ is the mass in kilograms and $h$ the height in metres.",
    },
    "code": {"ru": f"Вот код:\n\n{_CODE}", "en": f"Here is the code:\n\n{_CODE}"},
    "markdown": {"ru": _MARKDOWN_RU, "en": _MARKDOWN_EN},
}
