"""Rows in DynamoDB: one item an entity, and one conditional UpdateItem an operation.

    k  key                     s  state              v  version
                               b  [slot, version, fence] of a large state, in place of s
    o  owner, l  lease         f  fence              g  settled, q  suspects
    m  mail: list of [sender, number, body, until]
    p:SENDER  posted           d:SENDER  reply: [number, body, until]
    z  dead                    x  outbox: list of [key, body]

AWS applies every action of an update to the item as it was before. Emulators remove the indexes of
a list one after the other, so they are named from the last to the first here.

A state of more than LARGE bytes is in another item, so that a post does not write it again. An
entity has two slots for it, the items `/0/KEY` and `/1/KEY`: no key of an entity begins with a
slash, since its kind is not empty. A slot has k, s, and the v and f of the Settle that wrote it.

A Settle writes the slot that the row does not name, then the row, which names the slot with its v
and f. No two runs have the same v and f, and each run that writes later has greater ones, at which
a late request of an older run is refused. So a slot that the row names keeps its state:

    a late request for this slot    comes of a run that began before the row named it; the v that
                                    it would write is at most the slot's, and its f is smaller
    the owner                       writes the other slot

Who removes an entity removes its slots as well: a new entity counts from 1 again.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, assert_never

from .operations import (
    Commit,
    HandOver,
    Move,
    Operation,
    Ownership,
    Post,
    Renew,
    Settle,
    TakeOver,
)
from .rows import MOST_MAIL, Apart, Mail, Outgoing, Reply, Row

Item: TypeAlias = dict[str, Any]

# Bytes of a state above which it is in an item of its own.
LARGE = 4000


class Update:
    """An UpdateItem in the making."""

    def __init__(self) -> None:
        self.sets = list[str]()
        self.removes = list[str]()
        self.conditions = list[str]()
        self.names = dict[str, str]()
        self.values = Item()

    def value(self, value: Item) -> str:
        """Return the placeholder of a value."""
        name = f":{len(self.values)}"
        self.values[name] = value
        return name

    def name(self, name: str) -> str:
        """Return the placeholder of an attribute's name."""
        placeholder = f"#{len(self.names)}"
        self.names[placeholder] = name
        return placeholder

    def parameters(self, table: str, key: str) -> Item:
        """Return the parameters of UpdateItem."""
        return {
            **self.in_transaction(table, key),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def in_transaction(self, table: str, key: str) -> Item:
        """Return the parameters of an Update of TransactWriteItems."""
        change = "SET " + ", ".join(self.sets) if self.sets else ""
        if self.removes:
            change += " REMOVE " + ", ".join(self.removes)
        found: Item = {
            "TableName": table,
            "Key": {"k": _text(key)},
            "UpdateExpression": change.strip(),
            "ConditionExpression": " AND ".join(self.conditions),
            "ExpressionAttributeValues": self.values,
        }
        if self.names:
            found["ExpressionAttributeNames"] = self.names
        return found


def is_large(state: str) -> bool:
    """Return whether a state is kept in an item of its own."""
    return len(state.encode()) > LARGE


def place_state(settle: Settle) -> Apart | None:
    """Return where the state of a Settle is to be; None for the row."""
    seen, own = settle.seen, settle.own
    if not is_large(settle.state):
        return None
    if seen.apart is None:
        return Apart(0, own.version + 1, own.fence)
    if settle.state == seen.state:
        return seen.apart
    return Apart(1 - seen.apart.slot, own.version + 1, own.fence)


def slot_key(key: str, slot: int) -> str:
    """Return the key of an item that has a large state."""
    return f"/{slot}/{key}"


def slot_update(state: str, apart: Apart) -> Update:
    """Return the update of a slot, which refuses a state that is older than the one it has."""
    update = Update()
    version, fence = update.value(_number(apart.version)), update.value(_number(apart.fence))
    update.sets += [f"s = {update.value(_text(state))}", f"v = {version}", f"f = {fence}"]
    update.conditions.append(
        f"(attribute_not_exists(v) OR v < {version} OR (v = {version} AND f <= {fence}))"
    )
    return update


def read_slot(item: Mapping[str, Any], apart: Apart) -> str | None:
    """Return the state in a slot; None if it is not the one that a row has named."""
    if not item or (int(item["v"]["N"]), int(item["f"]["N"])) != (apart.version, apart.fence):
        return None
    state: str = item["s"]["S"]
    return state


def update_of(operation: Operation) -> Update:
    """Return the update that does an operation. A large state must be in its slot before."""
    update = Update()
    match operation:
        case Post():
            _post(update, operation)
        case TakeOver():
            _take_over(update, operation)
        case Settle():
            _settle(update, operation)
        case HandOver(own):
            _hold(update, own)
            update.removes += ["o", "l"]
            one, zero = _one(update), update.value(_number(0))
            update.sets += [f"f = f + {one}", f"g = if_not_exists(g, {zero}) + {one}"]
        case Renew(own, lease):
            _hold(update, own)
            update.sets.append(f"l = {update.value(_number(lease))}")
        case Commit():
            _commit(update, operation)
        case _:
            assert_never(operation)
    return update


def _post(update: Update, post: Post) -> None:
    posted, number = update.name(f"p:{post.mail.sender}"), update.value(_number(post.mail.number))
    update.sets.append(f"{posted} = {number}")
    if post.run is not None:
        update.sets += [
            f"o = if_not_exists(o, {update.value(_text(post.run))})",
            f"l = if_not_exists(l, {update.value(_number(post.lease))})",
        ]
    update.conditions.append(f"(attribute_not_exists({posted}) OR {posted} < {number})")
    _put(update, post.mail)


def _take_over(update: Update, taking: TakeOver) -> None:
    seen = taking.seen
    update.sets += [
        f"o = {update.value(_text(taking.run))}",
        f"l = {update.value(_number(taking.lease))}",
    ]
    if seen.owner is None:
        nothing = update.value({"L": []})
        update.sets.append(f"m = if_not_exists(m, {nothing})")
        update.conditions.append("attribute_not_exists(o)")
    else:
        suspects = update.value(_number(len(seen.mail)))
        update.sets += [f"f = f + {_one(update)}", f"q = {suspects}"]
        update.conditions += [
            f"o = {update.value(_text(seen.owner))}",
            f"l = {update.value(_number(seen.lease))}",
        ]
    update.conditions += [
        f"f = {update.value(_number(seen.fence))}",
        f"v = {update.value(_number(seen.version))}",
    ]


def _settle(update: Update, settle: Settle) -> None:
    _state(update, settle.state, place_state(settle))
    update.sets.append(f"v = v + {_one(update)}")
    if settle.lease is None:
        _hold(update, settle.own)
        update.removes += ["o", "l", "m"]
        update.sets += [f"f = f + {_one(update)}", f"g = f + {_one(update)}"]
        update.conditions.append(f"size(m) = {update.value(_number(settle.count))}")
    else:
        _hold(update, settle.own)
        update.sets += ["g = f", f"l = {update.value(_number(settle.lease))}"]
        update.removes += [f"m[{index}]" for index in reversed(range(settle.count))]
    suspects = settle.seen.suspects - settle.count
    if suspects > 0:
        update.sets.append(f"q = {update.value(_number(suspects))}")
    else:
        update.removes.append("q")
    for sender, reply in settle.replies.items():
        _reply(update, sender, reply)
    _prune(update, settle.pruned)
    if settle.dead is not None:
        dead = update.value({"L": [_mail(each) for each in settle.dead]})
        update.sets.append(f"z = {dead}")
    _send(update, settle.outgoing)


def _commit(update: Update, commit: Commit) -> None:
    number = update.value(_number(commit.reply.number))
    posted = update.name(f"p:{commit.sender}")
    _state(update, commit.state, None)
    update.sets += [
        f"v = {update.value(_number((commit.version or 0) + 1))}",
        f"f = if_not_exists(f, {update.value(_number(0))})",
        f"{posted} = {number}",
    ]
    _reply(update, commit.sender, commit.reply)
    update.conditions += [
        "attribute_not_exists(v)"
        if commit.version is None
        else f"v = {update.value(_number(commit.version))}",
        "attribute_not_exists(o)",
        f"(attribute_not_exists(m) OR size(m) = {update.value(_number(0))})",
        f"(attribute_not_exists({posted}) OR {posted} < {number})",
    ]
    _prune(update, commit.pruned)
    _send(update, commit.outgoing)


def updates_of(move: Move) -> tuple[Update, Update]:
    """Return the update of the sender and that of the receiver; one of both if it is the same."""
    taking = Update()
    _take(taking, move)
    if move.source == move.message.key:
        _put(taking, move.mail)
        return taking, taking
    putting = Update()
    _put(putting, move.mail)
    return taking, putting


def _take(update: Update, move: Move) -> None:
    update.removes.append("x[0]")
    update.conditions.append(f"x[0] = {update.value(_outgoing(move.message))}")


def _put(update: Update, mail: Mail) -> None:
    zero, most = update.value(_number(0)), update.value(_number(MOST_MAIL))
    _append(update, "m", [_mail(mail)])
    update.sets += [f"f = if_not_exists(f, {zero})", f"v = if_not_exists(v, {zero})"]
    update.conditions.append(f"(attribute_not_exists(m) OR size(m) < {most})")


def _send(update: Update, outgoing: tuple[Outgoing, ...]) -> None:
    if outgoing:
        _append(update, "x", [_outgoing(each) for each in outgoing])


def _append(update: Update, name: str, items: list[Item]) -> None:
    nothing, added = update.value({"L": []}), update.value({"L": items})
    update.sets.append(f"{name} = list_append(if_not_exists({name}, {nothing}), {added})")


def _state(update: Update, state: str, apart: Apart | None) -> None:
    if apart is None:
        update.sets.append(f"s = {update.value(_text(state))}")
        update.removes.append("b")
    else:
        numbers = [_number(each) for each in (apart.slot, apart.version, apart.fence)]
        update.sets.append(f"b = {update.value({'L': numbers})}")
        update.removes.append("s")


def _hold(update: Update, own: Ownership) -> None:
    update.conditions += [
        f"o = {update.value(_text(own.run))}",
        f"f = {update.value(_number(own.fence))}",
        f"v = {update.value(_number(own.version))}",
    ]


def _reply(update: Update, sender: str, reply: Reply) -> None:
    value: Item = {"L": [_number(reply.number), _text(reply.body), _number(reply.until)]}
    update.sets.append(f"{update.name(f'd:{sender}')} = {update.value(value)}")


def _prune(update: Update, pruned: tuple[tuple[str, int], ...]) -> None:
    for sender, number in pruned:
        posted = update.name(f"p:{sender}")
        update.removes += [update.name(f"d:{sender}"), posted]
        # It has posted nothing since, or its message could come twice.
        update.conditions.append(f"{posted} = {update.value(_number(number))}")


def _one(update: Update) -> str:
    return update.value(_number(1))


# -- items


def _text(value: str) -> Item:
    return {"S": value}


def _number(value: int) -> Item:
    return {"N": str(value)}


def _mail(mail: Mail) -> Item:
    return {"L": [_text(mail.sender), _number(mail.number), _text(mail.body), _number(mail.until)]}


def _outgoing(message: Outgoing) -> Item:
    return {"L": [_text(message.key), _text(message.body)]}


def _read_outgoing(value: Item) -> Outgoing:
    key, body = value["L"]
    return Outgoing(key["S"], body["S"])


def _read_mail(value: Item) -> Mail:
    sender, number, body, until = value["L"]
    return Mail(sender["S"], int(number["N"]), body["S"], int(until["N"]))


def _read_reply(value: Item) -> Reply:
    number, body, until = value["L"]
    return Reply(int(number["N"]), body["S"], int(until["N"]))


def row_of(item: Mapping[str, Any]) -> Row | None:
    """Read an item; None for an item that has never been written."""
    if "v" not in item:
        return None
    posted, replies = dict[str, int](), dict[str, Reply]()
    for name, value in item.items():
        if name.startswith("p:"):
            posted[name[2:]] = int(value["N"])
        elif name.startswith("d:"):
            replies[name[2:]] = _read_reply(value)

    def number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    def mail(name: str) -> tuple[Mail, ...]:
        return tuple(_read_mail(each) for each in item[name]["L"]) if name in item else ()

    apart = Apart(*(int(each["N"]) for each in item["b"]["L"])) if "b" in item else None
    return Row(
        state=item["s"]["S"] if "s" in item else "",
        version=number("v"),
        fence=number("f"),
        settled=number("g"),
        suspects=number("q"),
        owner=item["o"]["S"] if "o" in item else None,
        lease=number("l"),
        mail=mail("m"),
        posted=posted,
        replies=replies,
        dead=mail("z"),
        outbox=tuple(_read_outgoing(each) for each in item["x"]["L"]) if "x" in item else (),
        apart=apart,
    )


def get_parameters(table: str, key: str, sender: str, *, consistent: bool) -> Item:
    """Return the parameters of GetItem; see `Store.read`."""
    found: Item = {"TableName": table, "Key": {"k": _text(key)}, "ConsistentRead": consistent}
    if sender:
        found["ProjectionExpression"] = "s, b, v, o, l, f, g, q, m, x, #p, #d"
        found["ExpressionAttributeNames"] = {"#p": f"p:{sender}", "#d": f"d:{sender}"}
    return found
