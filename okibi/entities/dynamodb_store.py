"""The store in a DynamoDB table, whose partition key is `k`, a string."""

import time
from typing import Any, Final

from msgspec.structs import replace

from ..aws import CallFailed, Client
from ..aws.retries import THROTTLED_CODES
from .dynamodb import (
    Item,
    Update,
    get_parameters,
    is_large,
    place_state,
    read_slot,
    row_of,
    slot_key,
    slot_update,
    update_of,
    updates_of,
)
from .operations import Commit, Move, Moved, Operation, Post, Settle, TakeOver
from .rows import Row
from .stores import EntityFull, OperationRefused, StoreThrottled, StoreUnavailable

# Nothing was written. A TransactionConflict is another request in the same moment.
_THROTTLED: Final = {*THROTTLED_CODES, "TransactionConflictException"}
# Codes of the transport. The service may have written or not.
_UNAVAILABLE: Final = ("Disconnected", "TimedOut", "Unreachable")
# Reads of a large state whose slot was written again meanwhile.
_SLOT_READS: Final = 5


def _is_full(error: CallFailed) -> bool:
    return error.code == "ValidationException" and "item size" in error.message.lower()


class DynamoDBStore:
    """Keeps the rows in a table of DynamoDB, one item each, and large states in further items.

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
        """Update an item, and before it the item of a large state; see Store."""
        key = operation.key
        run: str | None = None
        match operation:
            case Commit(state=state) if is_large(state):
                raise OperationRefused(None)
            case Post(run=run) | TakeOver(run=run):
                pass
            case Settle(own):
                run = own.run
            case _:
                # The run has the state, or ends.
                pass
        try:
            if isinstance(operation, Settle):
                await self._save_apart(operation)
            row = row_of(await self._update(key, update_of(operation)))
        except OperationRefused as refused:
            row = await self._load(key, run, refused.row)
            raise OperationRefused(row) from None
        assert row is not None
        if isinstance(operation, Settle):
            return replace(row, state=operation.state)
        row = await self._load(key, run, row)
        assert row is not None
        return row

    async def _save_apart(self, settle: Settle) -> None:
        """Save a large state that has changed, in the slot that the row does not name."""
        apart = place_state(settle)
        if apart is None or apart == settle.seen.apart:
            return
        slot = slot_key(settle.key, apart.slot)
        try:
            await self._update(slot, slot_update(settle.state, apart))
        except OperationRefused:
            row = await self.read(settle.key, consistent=True)
            if settle.own.holds(row):
                raise RuntimeError(
                    f"{settle.key}: the item {slot} belongs to an entity of this key that was "
                    "removed: remove it, too"
                ) from None
            raise OperationRefused(row) from None

    async def _load(self, key: str, run: str | None, row: Row | None) -> Row | None:
        """Read the large state of a row that a run owns."""
        for _ in range(_SLOT_READS):
            if row is None or row.apart is None or run is None or row.owner != run:
                return row
            parameters = get_parameters(
                self.table, slot_key(key, row.apart.slot), "", consistent=True
            )
            answer = await self._ask("GetItem", parameters)
            state = read_slot(answer.get("Item", {}), row.apart)
            if state is not None:
                return replace(row, state=state)
            # The run has lost the entity since, and its state has changed.
            row = await self.read(key, consistent=True)
        raise StoreUnavailable(f"{key}: its state is not in the slot that its item names")

    async def _update(self, key: str, update: Update) -> Item:
        try:
            answer = await self._ask("UpdateItem", update.parameters(self.table, key))
        except CallFailed as error:
            if _is_full(error):
                raise EntityFull(
                    f"{key}: its item would have more than 400 KB of mail and replies; the "
                    "replies are removed a minute after their deadlines, those of `once` later"
                ) from None
            if error.code != "ConditionalCheckFailedException":
                raise
            item = error.answer.get("Item")
            # Some emulators do not return the item. A later state of it does as well.
            row = row_of(item) if item else await self.read(key, consistent=True)
            raise OperationRefused(row) from None
        attributes: Item = answer["Attributes"]
        return attributes

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
                # A cast of an entity to itself: it was moved, or the next caller moves it.
                return Moved.GONE
            if _is_full(error):
                return Moved.FULL
            reasons = [each["Code"] for each in error.answer.get("CancellationReasons", [])]
            if not reasons:
                raise
            first, second = reasons
            if first == "ConditionalCheckFailed":
                return Moved.GONE
            if second in ("ConditionalCheckFailed", "ValidationError"):
                # Too many messages, or too many bytes.
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
            if error.code == "ResourceNotFoundException":
                raise RuntimeError(
                    f"DynamoDB has no table {self.table} in this account and region, or it is not "
                    "ready yet: create it (`entities = true` in the function's table of "
                    "pyproject.toml declares one), or correct OKIBI_ENTITIES"
                ) from error
            raise
