"""HTTP: webhooks, health and metrics."""
