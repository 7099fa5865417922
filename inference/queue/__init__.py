"""The fair queue of one model group: who is served next, and what it holds meanwhile (docs/decisions/fair-queue.md)."""
