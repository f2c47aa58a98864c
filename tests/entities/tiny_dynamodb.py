"""As much of DynamoDB as entities use, on a dict: it reads the expressions that okibi sends.

Each action of an update sees the item as it was before the update, as AWS documents. The test of
the services compares it with emulators.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from okibi.aws import CallFailed, Client

Item = dict[str, Any]

# Of an item.
MOST_BYTES = 400 * 1024

_TOKEN = re.compile(
    r"\s*(list_append|if_not_exists|attribute_not_exists|size|AND|OR|SET|REMOVE"
    r"|[#:]?\w+|<=|[()\[\],=<+])"
)


@attrs.frozen
class Context:
    """An item before a request, and what the request's placeholders stand for."""

    item: Item
    values: Mapping[str, Item]
    names: Mapping[str, str]

    def name(self, word: str) -> str:
        return self.names[word] if word.startswith("#") else word

    def attribute(self, word: str) -> Item | None:
        return self.item.get(self.name(word))


Value = Callable[[Context], Item | None]
Condition = Callable[[Context], bool]


class Parser:
    """Reads one expression."""

    def __init__(self, expression: str) -> None:
        self.words = _TOKEN.findall(expression)
        assert "".join(self.words) == expression.replace(" ", ""), expression
        self.words.reverse()

    def peek(self) -> str:
        return self.words[-1] if self.words else ""

    def take(self, *expected: str) -> str:
        word = self.words.pop()
        assert not expected or word in expected, (word, expected)
        return str(word)

    def arguments(self, count: int) -> list[Value]:
        self.take("(")
        found = [self.value()]
        for _ in range(count - 1):
            self.take(",")
            found.append(self.value())
        self.take(")")
        return found

    # -- conditions

    def condition(self) -> Condition:
        parts = [self.conjunction()]
        while self.peek() == "OR":
            self.take()
            parts.append(self.conjunction())
        return lambda c: any(part(c) for part in parts)

    def conjunction(self) -> Condition:
        parts = [self.comparison()]
        while self.peek() == "AND":
            self.take()
            parts.append(self.comparison())
        return lambda c: all(part(c) for part in parts)

    def comparison(self) -> Condition:
        if self.peek() == "(":
            self.take()
            inner = self.condition()
            self.take(")")
            return inner
        if self.peek() == "attribute_not_exists":
            self.take()
            self.take("(")
            name = self.take()
            self.take(")")
            return lambda c: c.attribute(name) is None
        left, sign, right = self.value(), self.take("=", "<", "<="), self.value()

        def compare(c: Context) -> bool:
            first, second = left(c), right(c)
            if first is None or second is None:
                return False
            if sign == "=":
                return first == second
            difference = int(first["N"]) - int(second["N"])
            return difference < 0 if sign == "<" else difference <= 0

        return compare

    # -- values

    def value(self) -> Value:
        left = self.operand()
        if self.peek() != "+":
            return left
        self.take()
        right = self.operand()

        def add(c: Context) -> Item:
            first, second = left(c), right(c)
            assert first is not None
            assert second is not None
            return {"N": str(int(first["N"]) + int(second["N"]))}

        return add

    def operand(self) -> Value:
        word = self.take()
        if word == "size":
            (measured,) = self.arguments(1)

            def size(c: Context) -> Item | None:
                value = measured(c)
                return None if value is None else {"N": str(len(value["L"]))}

            return size
        if word == "list_append":
            first, second = self.arguments(2)

            def append(c: Context) -> Item:
                head, tail = first(c), second(c)
                assert head is not None
                assert tail is not None
                return {"L": [*head["L"], *tail["L"]]}

            return append
        if word == "if_not_exists":
            attribute, otherwise = self.arguments(2)
            return lambda c: attribute(c) or otherwise(c)
        if word.startswith(":"):
            return lambda c: c.values[word]
        if self.peek() == "[":
            self.take()
            index = int(self.take())
            self.take("]")
            return lambda c: dict(enumerate((c.attribute(word) or {"L": []})["L"])).get(index)
        return lambda c: c.attribute(word)

    # -- updates

    def update(self) -> Callable[[Context], Item]:
        sets, removes = list[tuple[str, Value]](), list[tuple[str, int | None]]()
        while self.words:
            action = self.take("SET", "REMOVE")
            while True:
                name = self.take()
                if action == "SET":
                    self.take("=")
                    sets.append((name, self.value()))
                elif self.peek() == "[":
                    self.take()
                    removes.append((name, int(self.take())))
                    self.take("]")
                else:
                    removes.append((name, None))
                if self.peek() != ",":
                    break
                self.take()

        def apply(c: Context) -> Item:
            changed = [c.name(name) for name, _ in sets]
            changed += {c.name(name) for name, _ in removes}
            assert len({*changed}) == len(changed), f"overlapping paths: {changed}"
            after = dict(c.item)
            for name, value in sets:
                found = value(c)
                assert found is not None, name
                after[c.name(name)] = found
            for name in {name for name, _ in removes}:
                gone = {index for each, index in removes if each == name}
                if None in gone:
                    after.pop(c.name(name), None)
                elif c.name(name) in after:
                    rest = enumerate(after[c.name(name)]["L"])
                    after[c.name(name)] = {"L": [e for index, e in rest if index not in gone]}
            return after

        return apply


@functools.lru_cache(5000)
def _condition(expression: str) -> Condition:
    return Parser(expression).condition()


@functools.lru_cache(5000)
def _update(expression: str) -> Callable[[Context], Item]:
    return Parser(expression).update()


def size_of(value: Item) -> int:
    """Return the bytes of a value, as AWS documents them."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            # A byte for two digits, and one.
            return (len(content.lstrip("-")) + 1) // 2 + 1
        case "L":
            return 3 + sum(1 + size_of(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name) + size_of(each) for name, each in content.items())
        case _:
            raise ValueError(f"no size of {kind} is known")


def bytes_of(item: Item | None) -> int:
    """Return the bytes of an item."""
    return sum(len(name.encode()) + size_of(value) for name, value in (item or {}).items())


def _refusal(operation: str, code: str, message: str, item: Item | None = None) -> CallFailed:
    answer = {} if item is None else {"Item": item}
    return CallFailed("dynamodb", operation, code, message, status=400, answer=answer)


@attrs.define(eq=False)
class TinyDynamoDB:
    """The table. `ask` is one atomic step."""

    items: dict[str, Item] = attrs.Factory(dict[str, Item])

    def ask(self, operation: str, parameters: Mapping[str, Any]) -> Item:
        if operation == "TransactWriteItems":
            return self._transact([each["Update"] for each in parameters["TransactItems"]])
        key = parameters["Key"]["k"]["S"]
        item = self.items.get(key)
        if operation == "GetItem":
            return {} if item is None else {"Item": item}
        context = Context(
            item or {},
            parameters["ExpressionAttributeValues"],
            parameters.get("ExpressionAttributeNames", {}),
        )
        if not _condition(parameters["ConditionExpression"])(context):
            raise _refusal(operation, "ConditionalCheckFailedException", "", item)
        after = _update(parameters["UpdateExpression"])(context)
        after["k"] = {"S": key}
        if bytes_of(after) > MOST_BYTES:
            text = "Item size to update has exceeded the maximum allowed size"
            raise _refusal(operation, "ValidationException", text)
        self.items[key] = after
        return {"Attributes": after}

    def _transact(self, updates: list[Item]) -> Item:
        keys = [each["Key"]["k"]["S"] for each in updates]
        assert len({*keys}) == len(keys), "one item twice in a transaction"
        before, reasons = dict(self.items), list[Item]()
        for each in updates:
            try:
                self.ask("UpdateItem", each)
            except CallFailed as error:
                code = {"ValidationException": "ValidationError"}.get(error.code)
                reasons.append({"Code": code or error.code.removesuffix("Exception")})
            else:
                reasons.append({"Code": "None"})
        if any(reason["Code"] != "None" for reason in reasons):
            self.items = before
            answer = {"CancellationReasons": reasons}
            raise CallFailed(
                "dynamodb", "TransactWriteItems", "TransactionCanceledException", "",
                status=400, answer=answer,
            )  # fmt: skip
        return {}


class TinyClient(Client):
    """A client of a table in this process."""

    def __init__(self, table: TinyDynamoDB) -> None:
        super().__init__()
        self.table = table

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> Item:
        await trio.lowlevel.checkpoint()
        return self.table.ask(operation, parameters or {})
