"""Batches of records from queues and streams.

from okibi import Function
from okibi.batch import Batch, Record

async def handle(record: Record[Order]) -> None: ...

function = Function(handler=Batch(handle))
"""

from .runtime.adapters.batch import Batch
from .runtime.adapters.batch_event import NoBatch
from .runtime.adapters.batch_record import Record
from .runtime.adapters.batch_run import BatchFailed

__all__ = ["Batch", "BatchFailed", "NoBatch", "Record"]
