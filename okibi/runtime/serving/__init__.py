"""The supervised actors that serve events: poller, dispatcher, workers, responder."""
