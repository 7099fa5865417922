"""Use cases where the domains meet. Knows neither Telegram nor HTTP."""
