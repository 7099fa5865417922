"""Which server a request goes to, and what all workers know of the servers: docs/decisions/replicas.md."""
