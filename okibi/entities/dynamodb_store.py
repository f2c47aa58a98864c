"""The store in a DynamoDB table, whose partition key is `k`, a string."""

import time
from typing import Any, Final

from ..aws import CallFailed, Client
from ..aws.retries import THROTTLED_CODES
from .dynamodb import get_parameters, row_of, update_of, updates_of
from .operations import Move, Moved, Operation
from .rows import Row
from .stores import OperationRefused, StoreThrottled, StoreUnavailable

# Nothing was written. A TransactionConflict is another request in the same moment.
_THROTTLED: Final = {*THROTTLED_CODES, "TransactionConflictException"}
# Codes of the transport. The service may have written or not.
_UNAVAILABLE: Final = ("Disconnected", "TimedOut", "Unreachable")


class DynamoDBStore:
    """Keeps the rows in a table of DynamoDB, one item each.

    Args:
        table: the name of the table.
        client: the client to call DynamoDB with. It sends each request once: a Caller knows better
            when to send again.
    """

    def __init__(self, table: str, client: Client | None = None) -> None:
        self.table = table
        self._client = client or Client(attempts=1)

    def now(self) -> int:
        """Return the milliseconds since 1970."""
        return int(time.time() * 1000)

    async def read(self, key: str, sender: str = "", *, consistent: bool) -> Row | None:
        """Read an item; see Store."""
        parameters = get_parameters(self.table, key, sender, consistent=consistent)
        answer = await self._ask("GetItem", parameters)
        return row_of(answer.get("Item", {}))

    async def apply(self, operation: Operation) -> Row:
        """Update an item; see Store."""
        parameters = update_of(operation).parameters(self.table, operation.key)
        try:
            answer = await self._ask("UpdateItem", parameters)
        except CallFailed as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            item = error.answer.get("Item")
            # Some emulators do not return the item. A later state of it does as well.
            row = row_of(item) if item else await self.read(operation.key, consistent=True)
            raise OperationRefused(row) from None
        row = row_of(answer["Attributes"])
        assert row is not None
        return row

    async def move(self, move: Move) -> Moved:
        """Move a message in a transaction; see Store."""
        taking, putting = updates_of(move)
        source, target = move.source, move.message.key
        try:
            if taking is putting:
                await self._ask("UpdateItem", taking.parameters(self.table, source))
            else:
                updates = (
                    taking.in_transaction(self.table, source),
                    putting.in_transaction(self.table, target),
                )
                await self._ask(
                    "TransactWriteItems", {"TransactItems": [{"Update": each} for each in updates]}
                )
        except CallFailed as error:
            if error.code == "ConditionalCheckFailedException":
                # It is of no consequence which of both.
                return Moved.GONE
            reasons = [each["Code"] for each in error.answer.get("CancellationReasons", [])]
            if not reasons:
                raise
            first, second = reasons
            if first == "ConditionalCheckFailed":
                return Moved.GONE
            if second == "ConditionalCheckFailed":
                return Moved.FULL
            # Another request to one of both rows, in the same moment.
            raise StoreThrottled(str(error)) from error
        return Moved.DONE

    async def _ask(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._client.call("dynamodb", operation, parameters)
        except CallFailed as error:
            if error.code in _THROTTLED:
                raise StoreThrottled(str(error)) from error
            if error.code in _UNAVAILABLE or (error.status or 0) >= 500:
                raise StoreUnavailable(str(error)) from error
            raise
