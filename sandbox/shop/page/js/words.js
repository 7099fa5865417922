// Every word of the page, in Russian and English: ?lang= says which, else the browser.

const asked = new URLSearchParams(location.search).get("lang");
export const LANG = ["ru", "en"].includes(asked) ? asked : /^(ru|be|uk|kk)/i.test(navigator.language) ? "ru" : "en";

/** key: [ru, en]; {name} stands for an argument. */
const WORDS = {
  pageTitle: ["Оплата · симуляция", "Checkout · simulation"],
  simulation: ["Это симуляция.", "This is a simulation."],
  simulationMore: [
    "Деньги не списываются, подойдут только тестовые карты. Данные настоящей карты не вводите.",
    "No money is taken, and only test cards work. Do not type a real card.",
  ],
  shop: ["Тестовый магазин", "Test shop"],
  shopNumber: ["№ {id}", "No. {id}"],
  binding: ["Привязка карты", "Link a card"],
  bindingSbp: ["Привязка счёта СБП", "Link an SBP account"],
  bindingText: ["Деньги сейчас не спишутся.", "No money is taken now."],
  leftMinutes: ["На оплату {time}", "{time} left to pay"],
  leftToLink: ["Страница живёт ещё {time}", "This page lives for {time}"],
  payTitle: ["Как оплатить", "How to pay"],
  linkTitle: ["Какая карта", "Which card"],
  linkSbpTitle: ["Счёт для списаний", "Account to charge"],
  card: ["Карта", "Card"],
  sbp: ["СБП", "SBP"],
  number: ["Номер карты", "Card number"],
  expiry: ["Срок", "Expiry"],
  expiryShape: ["ММ/ГГ", "MM/YY"],
  csc: ["Код на обороте", "Security code"],
  pay: ["Оплатить {amount}", "Pay {amount}"],
  link: ["Привязать карту", "Link the card"],
  back: ["Вернуться в магазин", "Back to the shop"],
  keep: ["Запомнить карту для автоплатежей", "Save the card for automatic payments"],
  keepSbp: ["Запомнить счёт для автоплатежей", "Save the account for automatic payments"],
  keepText: [
    "Магазин сможет списывать плату за подписку сам, пока вы её не отмените.",
    "The shop can renew your subscription by itself until you cancel it.",
  ],
  testCards: ["Тестовые карты", "Test cards"],
  cardPays: ["Оплата пройдёт", "Pays"],
  cardAsks: ["Пройдёт после 3-D Secure", "Pays after 3-D Secure"],
  cardLater: ["Сейчас пройдёт, автоплатежи нет", "Pays now, later charges decline"],
  badCard: [
    "Это не тестовая карта: выберите номер из списка ниже",
    "Not a test card: pick a number from the list below",
  ],
  badExpiry: ["Нужна дата в будущем, например 12/{year}", "Needs a date in the future, such as 12/{year}"],
  badCsc: ["Три цифры, подойдут любые", "Three digits, any will do"],
  badMethod: ["Так оплатить нельзя", "This way to pay is not offered"],
  sbpText: [
    "В жизни здесь был бы QR-код, и вы подтвердили бы оплату в приложении банка. В симуляции решаете за банк вы.",
    "In real life there would be a QR code here and you would confirm in your bank’s app. In the simulation you decide for the bank.",
  ],
  sbpPay: ["Банк подтверждает", "The bank confirms"],
  sbpDecline: ["Банку не хватает денег на счёте", "The bank finds too little money"],
  secureTitle: ["Подтвердите оплату", "Confirm the payment"],
  secureText: [
    "Банк спрашивает, вы ли платите. Обычно он присылает код; здесь хватит кнопки.",
    "Your bank asks whether it is you. It usually sends a code; here a button is enough.",
  ],
  sandboxBank: ["Учебный банк", "Sandbox Bank"],
  cardEnding: ["Карта •• {last4}", "Card •• {last4}"],
  confirm: ["Это я, подтвердить", "It is me, confirm"],
  refuse: ["Отказаться", "Refuse"],
  paid: ["Оплачено", "Paid"],
  held: ["Деньги зарезервированы", "The money is held"],
  heldText: ["Магазин спишет их, когда подтвердит заказ.", "The shop takes them when it confirms the order."],
  linked: ["Карта привязана", "The card is linked"],
  linkedSbp: ["Счёт привязан", "The account is linked"],
  paidText: ["{amount} ушли магазину. Сейчас вернёмся к нему.", "{amount} went to the shop. Taking you back."],
  linkedText: ["Сейчас вернёмся в магазин.", "Taking you back to the shop."],
  savedChip: ["Запомнили для автоплатежей", "Saved for automatic payments"],
  notLinked: ["Карту привязать не вышло", "The card was not linked"],
  notLinkedText: ["Банк не разрешил. Попробуйте другую карту.", "The bank did not allow it. Try another card."],
  notTaken: [
    "Деньги не списаны. Начать заново можно в магазине.",
    "No money was taken. You can start again in the shop.",
  ],
  nothingHere: ["Здесь нечего оплачивать", "There is nothing to pay here"],
  nothingHereText: ["Ссылка неполная или магазин начали заново.", "The link is incomplete, or the shop was emptied."],
  unreachable: ["Магазин не отвечает", "The shop does not answer"],
  unreachableText: [
    "Платёж мог и пройти. Обновите страницу чуть позже.",
    "The payment may have gone through. Reload in a moment.",
  ],
  again: ["Обновить", "Reload"],
};

/** reason: [title ru, what to do ru, title en, what to do en]. */
export const REASONS = {
  insufficient_funds: [
    "Не хватило денег",
    "Пополните счёт или возьмите другую карту.",
    "Not enough money",
    "Top up, or use another card.",
  ],
  general_decline: [
    "Банк отклонил платёж",
    "Причину он не назвал: спросите в банке или возьмите другую карту.",
    "The bank declined",
    "It gave no reason: ask the bank, or use another card.",
  ],
  call_issuer: [
    "Банк просит с ним связаться",
    "Позвоните по номеру на обороте карты.",
    "The bank wants to talk to you",
    "Call the number on the back of the card.",
  ],
  card_expired: ["Срок карты истёк", "Возьмите другую карту.", "The card has expired", "Use another card."],
  payment_method_limit_exceeded: [
    "Превышен лимит по карте",
    "Измените лимит в приложении банка или попробуйте завтра.",
    "Over the card’s limit",
    "Raise the limit in your bank’s app, or try tomorrow.",
  ],
  payment_method_restricted: [
    "Операции по карте запрещены",
    "Узнайте причину в банке или возьмите другую карту.",
    "The card is restricted",
    "Ask the bank why, or use another card.",
  ],
  fraud_suspected: [
    "Платёж остановила защита",
    "Он показался подозрительным. Возьмите другую карту.",
    "Stopped as suspicious",
    "The payment looked like fraud. Use another card.",
  ],
  country_forbidden: [
    "Карты этой страны не принимаются",
    "Возьмите карту другого банка.",
    "Cards of this country are not taken",
    "Use a card of another bank.",
  ],
  invalid_card_number: ["Номер карты не подошёл", "Проверьте номер.", "The number is wrong", "Check the card number."],
  invalid_csc: [
    "Код с оборота не подошёл",
    "Проверьте три цифры на обороте карты.",
    "The security code is wrong",
    "Check the three digits on the back.",
  ],
  issuer_unavailable: [
    "Банк сейчас не отвечает",
    "Попробуйте чуть позже или возьмите другую карту.",
    "The bank does not answer",
    "Try a little later, or use another card.",
  ],
  internal_timeout: ["Платёж не успел пройти", "Попробуйте ещё раз.", "The payment took too long", "Try again."],
  "3d_secure_failed": [
    "Банк не получил подтверждения",
    "Попробуйте снова и подтвердите оплату или возьмите другую карту.",
    "Not confirmed",
    "Try again and confirm, or use another card.",
  ],
  identification_required: [
    "Нужно подтвердить личность",
    "Пройдите идентификацию в кошельке или банке.",
    "Identification is needed",
    "Identify yourself with your wallet or bank.",
  ],
  permission_revoked: [
    "Списания запрещены владельцем",
    "Возьмите другую карту.",
    "Charges were forbidden by the owner",
    "Use another card.",
  ],
  expired_on_confirmation: [
    "Время на оплату вышло",
    "Страница живёт час.",
    "The time to pay is over",
    "The page lives for an hour.",
  ],
  expired_on_capture: [
    "Магазин не забрал деньги вовремя",
    "Резерв снят.",
    "The shop did not take the money in time",
    "Nothing is held any more.",
  ],
  canceled_by_merchant: [
    "Магазин отменил платёж",
    "Резерв снят.",
    "The shop canceled the payment",
    "Nothing is held any more.",
  ],
};

/** A word or sentence with its arguments. */
export function t(key, values = {}) {
  const words = WORDS[key][LANG === "ru" ? 0 : 1];
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** [title, what to do] of a decline. */
export function reasonWords(reason) {
  const words = REASONS[reason] ?? REASONS.general_decline;
  return LANG === "ru" ? words.slice(0, 2) : words.slice(2);
}

/** "600 ₽" from {value, currency}, the sign behind in English too, as shops in Russia write; kopecks if any. */
export function moneyWords(amount) {
  const value = Number(amount.value);
  const digits = Number.isInteger(value) ? 0 : 2;
  const number = new Intl.NumberFormat(LANG === "ru" ? "ru-RU" : "en-GB", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
  return `${number}\u00a0${amount.currency === "RUB" ? "₽" : amount.currency}`;
}
