"""Simulated Telegram and model servers on loopback: for a first run without credentials and for tests."""
