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

    Call it while the function's module is imported, once, and leave the decorators away.

    Args:
        logger: a Logger.
        tracer: a Tracer on the X-Ray SDK.
        metrics: a Metrics object; for one event at a time.
        log_event, correlation_id_path, clear_state, flush_buffer_on_uncaught_error: as for
            `logger.inject_lambda_context`. The last is for one event at a time.
        capture_response, capture_error: as for `tracer.capture_lambda_handler`.
        capture_cold_start_metric: as for `metrics.log_metrics`.

    Raises:
        TypeError: there is no logger, tracer or metrics, or the tracer is not on the X-Ray SDK.
        RuntimeError: the function takes many events at once (`AWS_LAMBDA_MAX_CONCURRENCY`), and an
            argument is for one at a time.
    """
    if logger is None and tracer is None and metrics is None:
        raise TypeError("observe takes a logger, a tracer or metrics, got none of them")
    alone = os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1") in ("", "1")
    if metrics is not None and not alone:
        raise RuntimeError(
            "Powertools' Metrics keeps metrics and dimensions in globals, which would mix events "
            "of a function with AWS_LAMBDA_MAX_CONCURRENCY: leave metrics= away, and use "
            "single_metric, or an EphemeralMetrics object for each event"
        )
    if flush_buffer_on_uncaught_error and not alone:
        raise RuntimeError(
            "Powertools' log buffer would mix events of a function with "
            "AWS_LAMBDA_MAX_CONCURRENCY: leave flush_buffer_on_uncaught_error= away"
        )
    if logger is not None and alone:
        _log_with_context(
            logger, log_event, correlation_id_path, clear_state, flush_buffer_on_uncaught_error
        )
    elif logger is not None:
        _log_with_own_context(logger, log_event, correlation_id_path)
    if tracer is not None:
        _trace(
            tracer,
            _choose(capture_response, "POWERTOOLS_TRACER_CAPTURE_RESPONSE", "true"),
            _choose(capture_error, "POWERTOOLS_TRACER_CAPTURE_ERROR", "true"),
        )
    if metrics is not None:
        _flush_metrics(metrics, capture_cold_start_metric)


def _choose(choice: bool | None, variable: str, default: str) -> bool:
    if choice is not None:
        return choice
    return os.environ.get(variable, default).lower() in ("1", "on", "t", "true", "y", "yes")


def _do_nothing(event: Any, context: Any) -> None:
    """A handler for Powertools' decorators: they do their part before and after this call."""


def _log_with_context(
    logger: "Logger",
    log_event: bool | None,
    correlation_id_path: str | None,
    clear_state: bool,
    flush_on_error: bool,
) -> None:
    inject = logger.inject_lambda_context(
        _do_nothing,
        log_event=log_event,
        correlation_id_path=correlation_id_path,
        clear_state=clear_state,
    )

    @around_events
    @contextmanager
    def observe_logger(observed: ObservedEvent) -> Generator[None]:
        inject(observed.event, observed.context)
        yield
        if flush_on_error and observed.error_type is not None:
            logger.flush_buffer()


def _log_with_own_context(
    logger: "Logger", log_event: bool | None, correlation_id_path: str | None
) -> None:
    """Set the keys in context variables: events side by side share the logger's other keys."""
    from aws_lambda_powertools.utilities.jmespath_utils import (
        query,  # pyright: ignore[reportUnknownVariableType]
    )

    logs_event = _choose(log_event, "POWERTOOLS_LOGGER_LOG_EVENT", "false")

    @around_events
    @contextmanager
    def observe_logger(observed: ObservedEvent) -> Generator[None]:
        context = observed.context
        keys: dict[str, object] = {
            "cold_start": observed.first,
            "function_name": context.function_name,
            "function_memory_size": context.memory_limit_in_mb,
            "function_arn": context.invoked_function_arn,
            "function_request_id": context.aws_request_id,
        }
        if correlation_id_path:
            keys["correlation_id"] = query(observed.event, correlation_id_path)
        logger.thread_safe_append_keys(**keys)
        if logs_event:
            logger.info(observed.event)
        yield


def _trace(tracer: "Tracer", captures_response: bool, captures_error: bool) -> None:
    from aws_xray_sdk.core import AWSXRayRecorder

    from .xray_entities import TaskContext

    recorder: Any = tracer.provider
    if not isinstance(recorder, AWSXRayRecorder):
        raise TypeError(f"observe takes a tracer on the X-Ray SDK, got one on {recorder!r}")
    entities = TaskContext()
    recorder.configure(context=entities)
    name = os.environ.get("_HANDLER", "handler").rpartition(".")[2]
    service = tracer.service
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
            error = observed.error
            if error is None and observed.error_type is not None:
                # X-Ray takes the type from the class.
                error = type(observed.error_type, (Exception,), {})(observed.error_message)
            if error is not None:
                subsegment.add_exception(error, extract_tb(error.__traceback__))
                if captures_error:
                    subsegment.put_metadata(f"{name} error", error, service)
            elif captures_response and observed.result is not None:
                subsegment.put_metadata(f"{name} response", observed.result, service)
        entities.end_event(recorder, header, subsegment)


def _flush_metrics(metrics: "Metrics", capture_cold_start_metric: bool) -> None:
    flush = metrics.log_metrics(_do_nothing, capture_cold_start_metric=capture_cold_start_metric)

    @around_events
    @contextmanager
    def observe_metrics(observed: ObservedEvent) -> Generator[None]:
        yield
        flush(None, observed.context)
