"""A function with OpenTelemetry, as docs/telemetry.md sets it up."""

import time

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from okibi.telemetry.opentelemetry import lambda_resource, trace_events

provider = TracerProvider(resource=lambda_resource())
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
trace_events()


async def handler(event, context):
    if event.get("do") == "hold the loop":
        time.sleep(60)  # noqa: ASYNC251, the subject
