"""The gate: the process of a party that has sockets, keys and the ledger, and never the data."""
