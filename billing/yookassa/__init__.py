"""YooKassa API v3: the adapter (client), what it sends (requests) and what it reads (objects)."""
