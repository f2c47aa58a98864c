"""The ledger: which events are in flight, on which connection, and how each ends."""
