"""The events in flight: the ledger, its lanes and deliveries, and how actors hand events over."""
