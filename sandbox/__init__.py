"""Simulated Telegram, model and shop servers on loopback: for a first run without credentials and for tests."""
