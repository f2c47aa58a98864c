"""The supervised actors that serve events. `in_flight.handover` describes how they cooperate.

poller       reads events and statuses from one lane
dispatcher   assigns events to idle workers; settles them for dead and late workers
worker       owns a handler instance and runs it
responder    writes responses and the next GET on one lane
"""
