"""Telemetry: observe every event of a function, and send what was observed after the response.

    from okibi import telemetry

    @telemetry.around_events
    @contextmanager
    def observe(observed: telemetry.ObservedEvent) -> Iterator[None]:
        span = start_span(observed.context.function_name)
        yield
        span.end(error=observed.error_type)

    @telemetry.after_events
    def flush(seconds: float) -> None:
        exporter.flush(seconds)

A function registers globally, while its module is imported: tracers are global too, and a handler
that is not part of a `Function` is observed in the same way. A function whose module does not
import this one pays nothing.

`okibi.telemetry` has a module each for OpenTelemetry, Datadog, Powertools and Sentry.
"""

from ..runtime.handlers.observed_event import (
    ObservedEvent,
    after_events,
    around_events,
    around_records,
)

__all__ = ["ObservedEvent", "after_events", "around_events", "around_records"]
