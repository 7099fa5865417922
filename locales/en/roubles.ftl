### Paying in roubles: what is said in the chat and on the payment page. Amounts come in kopecks.

# YooKassa refused the payment: nothing was charged
error-payment-refused = The payment was not accepted, nothing was charged. Open a new link: /plans
