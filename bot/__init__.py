"""Telegram: updates, rendering, the sender, keyboards, the admin room."""
