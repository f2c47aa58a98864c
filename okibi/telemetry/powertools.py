"""Powertools for AWS Lambda around every kind of handler: its logger, tracer and metrics.

    from aws_lambda_powertools import Logger, Metrics, Tracer
    from okibi.telemetry import powertools

    logger, tracer, metrics = Logger(), Tracer(), Metrics(namespace="shop")
    powertools.observe(logger=logger, tracer=tracer, metrics=metrics)

    async def handler(event, context):
        logger.info("in the handler")

It takes the place of the decorators `inject_lambda_context`, `capture_lambda_handler` and
`log_metrics`, which are for a plain `def`. The package `aws-lambda-powertools` is the user's: okibi
does not install it.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from . import ObservedEvent, around_events

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics, Tracer

__all__ = ["observe"]


def observe(
    *,
    logger: "Logger | None" = None,
    tracer: "Tracer | None" = None,
    metrics: "Metrics | None" = None,
    log_event: bool | None = None,
    correlation_id_path: str | None = None,
    clear_state: bool = False,
    flush_buffer_on_uncaught_error: bool = False,
    capture_response: bool | None = None,
    capture_error: bool | None = None,
    capture_cold_start_metric: bool = False,
) -> None:
    """Do for each event what the decorators of Powertools do around a plain `def`.

    The logger's lines get the keys of the Lambda context. The tracer makes a subsegment `## <name>`
    of each event, with the name in the handler setting, the time that the event takes, the
    response or the error, and the annotations `ColdStart` and `Service`. The metrics of an event
    are flushed at its end. All of it also happens at a deadline and for a killed worker.

    Call it while the function's module is imported, once, and leave the decorators out.

    Args:
        logger: a Logger.
        tracer: a Tracer on the X-Ray SDK.
        metrics: a Metrics object; for one event at a time.
        log_event, correlation_id_path, clear_state, flush_buffer_on_uncaught_error: as for
            `logger.inject_lambda_context`.
        capture_response, capture_error: as for `tracer.capture_lambda_handler`.
        capture_cold_start_metric: as for `metrics.log_metrics`.

    Raises:
        RuntimeError: there are metrics, and the function takes many events at once
            (`AWS_LAMBDA_MAX_CONCURRENCY`).
    """
    many = os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1") not in ("", "1")
    if metrics is not None and many:
        raise RuntimeError(
            "Powertools' Metrics keeps metrics and dimensions in globals, which would mix the "
            "events of a function with AWS_LAMBDA_MAX_CONCURRENCY: leave metrics= out, and use "
            "single_metric, or an EphemeralMetrics object for each event"
        )
    if logger is not None:
        _log(
            logger,
            many,
            flush_buffer_on_uncaught_error,
            log_event=log_event,
            correlation_id_path=correlation_id_path,
            clear_state=clear_state,
        )
    if tracer is not None:
        _trace(tracer, capture_response, capture_error)
    if metrics is not None:
        _flush_metrics(metrics, capture_cold_start_metric)


def _do_nothing(event: Any, context: Any) -> None:
    """A handler for Powertools' decorators: they do their part before and after this call."""


def _log(logger: "Logger", many: bool, flush_on_error: bool, **options: Any) -> None:
    inject = logger.inject_lambda_context(_do_nothing, **options)
    correlates = bool(options["correlation_id_path"])

    @around_events
    @contextmanager
    def observe_logger(observed: ObservedEvent) -> Generator[None]:
        inject(observed.event, observed.context)
        if many:
            # Events side by side share the keys that the decorator has set.
            logger.thread_safe_append_keys(
                cold_start=observed.first,
                function_request_id=observed.context.aws_request_id,
                correlation_id=logger.get_correlation_id() if correlates else None,
            )
        yield
        if flush_on_error and observed.error_type is not None:
            logger.flush_buffer()


def _trace(tracer: "Tracer", response: bool | None, error: bool | None) -> None:
    from aws_lambda_powertools.shared.functions import resolve_truthy_env_var_choice

    from .xray_entities import TaskContext

    def choose(choice: bool | None, name: str) -> bool:
        variable = os.environ.get(f"POWERTOOLS_TRACER_CAPTURE_{name}", "true")
        return resolve_truthy_env_var_choice(variable, choice)

    captures_response, captures_error = choose(response, "RESPONSE"), choose(error, "ERROR")
    recorder: Any = tracer.provider
    entities = TaskContext()
    recorder.configure(context=entities)
    name, service = os.environ.get("_HANDLER", "handler").rpartition(".")[2], tracer.service
    on_demand = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "provisioned-concurrency"

    @around_events
    @contextmanager
    def observe_tracer(observed: ObservedEvent) -> Generator[None]:
        header = observed.context.xray_trace_id
        subsegment = entities.begin_event(recorder, header, f"## {name}")
        yield
        if subsegment.sampled:
            subsegment.put_annotation("ColdStart", observed.first and on_demand)
            if service:
                subsegment.put_annotation("Service", service)
            raised = observed.error
            if raised is None and observed.error_type is not None:
                # X-Ray takes the type from the class.
                raised = type(observed.error_type, (Exception,), {})(observed.error_message)
            if raised is not None:
                subsegment.add_exception(raised, extract_tb(raised.__traceback__))
                if captures_error:
                    subsegment.put_metadata(f"{name} error", raised, service)
            elif captures_response and observed.result is not None:
                subsegment.put_metadata(f"{name} response", observed.result, service)
        entities.end_event(recorder, header, subsegment)


def _flush_metrics(metrics: "Metrics", capture_cold_start_metric: bool) -> None:
    flush = metrics.log_metrics(_do_nothing, capture_cold_start_metric)

    @around_events
    @contextmanager
    def observe_metrics(observed: ObservedEvent) -> Generator[None]:
        yield
        flush(None, observed.context)
