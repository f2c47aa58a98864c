"""The search for cycles against a plain model, over random graphs of waits."""

from collections import OrderedDict, deque
from enum import Enum, auto
from itertools import pairwise
from typing import Any, cast
from unittest import mock

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.lowlevel import Task

from okibi.actors import MailboxPolicy, wait_cycles
from okibi.actors.mailbox import Mailbox
from okibi.actors.request import Request
from okibi.actors.wait_cycles import Waits
from tests.profiles import examples


class Where(Enum):
    """The task of the caller that waits."""

    OWN = auto()
    NESTED = auto()  # in a nursery that a method has opened
    BESIDE = auto()  # in a nursery around the loop
    MOVED = auto()  # started in a method's nursery, now beside the loop (`nursery.start`)


class How(Enum):
    """The state of a wait."""

    ASKED = auto()
    ANSWERED = auto()
    ABANDONED = auto()
    PUT_OFF = auto()
    IN_LINE = auto()  # a cast blocked by a full mailbox
    LET_IN = auto()


STANDING = {How.ASKED, How.IN_LINE}
HOLDING = {Where.OWN, Where.NESTED}


@attrs.define
class Wait:
    """A wait, which may or may not be an edge."""

    caller: int
    callee: int
    where: Where
    how: How


@attrs.define(eq=False)
class OneTask:
    """A trio.lowlevel.Task, as far as the search reads it."""

    parent_nursery: "OneNursery | None" = None
    child_nurseries: "list[OneNursery]" = attrs.Factory(list)


@attrs.define(eq=False)
class OneNursery:
    """A trio.Nursery, as far as the search reads it."""

    parent_task: OneTask


def actor(path: str) -> Waits:
    # At twice its capacity, so a blocked cast is an edge like any other wait.
    mailbox = Mailbox(MailboxPolicy(capacity=1))
    mailbox.data = deque(["a message", "another"])
    waits = Waits(path, mailbox)
    task = OneTask()
    task.child_nurseries.append(OneNursery(task))
    waits.begin_loop(cast("Task", task))
    waits.record_outer_nurseries()
    return waits


def begin(wait: Wait, actors: list[Waits]) -> None:
    caller, callee = actors[wait.caller], actors[wait.callee]
    own: Any = caller.task
    around = own.child_nurseries[0]
    inner = {Where.BESIDE: around}.get(wait.where, OneNursery(own))
    task: Any = own if wait.where is Where.OWN else OneTask(inner)
    request = Request("ask", (), {}, None, True, task)
    cast_ = wait.how in (How.IN_LINE, How.LET_IN)
    if caller.held_by(task):
        caller.begin(task, callee, None if cast_ else request)
    if wait.where is Where.MOVED:
        task.parent_nursery = around
    if wait.how is How.ANSWERED:
        request.answer(None)
    elif wait.how is How.ABANDONED:
        request.abandon()
    elif wait.how is How.PUT_OFF:
        callee.end_wait_for(request)
    elif wait.how is How.IN_LINE:
        callee.mailbox.blocked_senders = callee.mailbox.blocked_senders or OrderedDict()
        callee.mailbox.blocked_senders[task] = "cast"


def reached(first: int, edges: set[tuple[int, int]]) -> set[int]:
    found = {first}
    while more := {b for a, b in edges if a in found} - found:
        found |= more
    return found


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Wait]]:
    count = draw(st.integers(2, 6))
    some = st.integers(0, count - 1)
    # Enough edges for cycles, and few enough for a single edge to decide.
    where = st.sampled_from([*Where, *[Where.NESTED] * 6])
    how = st.sampled_from([*How, How.LET_IN, *[How.ASKED] * 4, *[How.IN_LINE] * 4])
    waits = draw(st.lists(st.builds(Wait, some, some, where, how), min_size=count, max_size=14))
    # An actor's own task has at most one wait.
    own = {each.caller: each for each in waits if each.where is Where.OWN}
    return count, [
        each for each in waits if each.where is not Where.OWN or own[each.caller] is each
    ]


@settings(max_examples=examples(300), deadline=None)
@given(graphs(), st.data())
def test_a_cycle_is_found_if_and_only_if_a_path_leads_back(
    graph: tuple[int, list[Wait]], data: st.DataObject
) -> None:
    count, given_waits = graph
    caller, callee = (data.draw(st.integers(0, count - 1)) for _ in range(2))

    async def main() -> None:
        actors = [actor(f"/{number}") for number in range(count)]
        for wait in given_waits:
            begin(wait, actors)
        edges = {
            (wait.caller, wait.callee)
            for wait in given_waits
            if wait.where in HOLDING and wait.how in STANDING
        }
        back = {(b, a) for a, b in edges}
        asking: Any = OneTask(OneNursery(cast("Any", actors[caller].task)))
        with mock.patch.object(wait_cycles, "_is_edge", wraps=wait_cycles._is_edge) as looks:
            paths = wait_cycles.find_cycle(actors[caller], actors[callee], asking)

        assert (paths is not None) == (caller in reached(callee, edges))
        if paths is not None:
            numbers = [int(path[1:]) for path in paths]
            assert (numbers[0], numbers[1], numbers[-1]) == (caller, callee, caller)
            assert set(pairwise(numbers[1:])) <= edges
            assert len(set(numbers)) == len(numbers) - 1
        else:
            ahead = sum(len(actors[each].callees) for each in reached(callee, edges))
            behind = sum(len(actors[each].callers) for each in reached(caller, back))
            assert looks.call_count <= 2 * min(ahead, behind) + 1

    trio.run(main)
