"""What every layer stands on: settings, database, Redis, clock, errors, words, observability."""
