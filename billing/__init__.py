"""Money and tokens: ledger, holds, lots, catalog, orders, payments, subscriptions."""
