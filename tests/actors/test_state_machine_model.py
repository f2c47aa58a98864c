"""StateMachine against a pure model of gen_statem's rules, over random programs.

A program is a list of steps, each at a whole second: messages that are sent at once, or a kill.
Each message says what its handling does in each state. The durations have fractions, so that no
two things happen at one moment by chance.
"""

import logging
from collections import deque
from collections.abc import Generator, Iterator

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from okibi.actors import ActorExited, Pending, Ref, StateMachine, start
from tests.profiles import examples

STATES = ("closed", "open", "half")
# Messages after which none does anything: some programs would never end.
FUEL = 60


@attrs.frozen
class Act:
    """What the handling of a message does, in this order."""

    sleep: float = 0
    crash: bool = False
    goto: str | None = None
    postpone: bool = False
    more: "Message | None" = None
    timeout: "tuple[float, Message] | None" = None


NOTHING = Act()


@attrs.frozen
class Message:
    """A message: its name, and what its handling does in each state."""

    name: str
    acts: tuple[Act, ...] = (NOTHING, NOTHING, NOTHING)

    def act(self, state: str) -> Act:
        return self.acts[STATES.index(state)]


@attrs.frozen
class Step:
    """Messages that are sent at once; the last one may be a call with a time limit. Or a kill."""

    casts: tuple[Message, ...] = ()
    infos: tuple[Message, ...] = ()
    call: Message | None = None
    limit: float = 0
    kill: bool = False


@attrs.frozen
class Program:
    enters: Message
    steps: tuple[Step, ...]


class Crash(Exception):
    pass


Logs = tuple[list[object], list[tuple[float, int, str]]]


# -- the model


@attrs.define(eq=False)
class Mail:
    """A message on its way. `gives_up`: the moment at which the caller of a call stops waiting."""

    kind: str
    message: Message
    number: int | None = None
    gives_up: float = float("inf")
    cancelled: bool = False
    retried: bool = False


@attrs.define(eq=False)
class Model:
    """One incarnation. Its life is a generator that yields the moment until which it waits."""

    enters: Message
    log: list[object]
    now: float
    state: str = ""
    next: str | None = "closed"
    mailbox: deque[Mail] = attrs.Factory(deque)
    first: deque[Mail] = attrs.Factory(deque)
    postponed: list[Mail] = attrs.Factory(list)
    more: list[Message] = attrs.Factory(list)
    timer: Mail | None = None
    due: float = float("inf")
    data_goes_first: bool = False
    fuel: int = FUEL
    receives: bool = False
    waits_until: float = 0
    in_hand: Mail | None = None
    dead: bool = False

    def life(self) -> Generator[float]:
        while True:
            if self.next is not None:
                old, self.state, self.next = self.state, self.next, None
                # Postponed messages are handled again, before all others, in their order.
                self.first.extendleft(reversed(self.postponed))
                for each in self.postponed:
                    each.retried = True
                self.postponed = []
                yield from self.do("enter", Mail("enter", self.enters), old)
            elif self.more:
                yield from self.do("more", Mail("more", self.more.pop(0)))
            elif (mail := self.take()) is None:
                self.receives = True
                yield self.due
                self.receives = False
            elif not (mail.cancelled or (mail.retried and mail.gives_up <= self.now)):
                self.in_hand = mail
                if mail is self.timer:
                    self.timer = None
                yield from self.do(mail.kind, mail)
                self.in_hand = None

    def take(self) -> Mail | None:
        if self.due <= self.now and not (self.data_goes_first and self.mailbox):
            assert self.timer is not None
            self.first.append(self.timer)
            self.data_goes_first, self.due = True, float("inf")
        if self.first:
            return self.first.popleft()
        if self.mailbox:
            self.data_goes_first = False
            return self.mailbox.popleft()
        return None

    def do(self, kind: str, mail: Mail, old: str = "") -> Generator[float]:
        self.log.append((self.now, kind, mail.message.name, self.state, old))
        self.fuel -= 1
        act = mail.message.act(self.state) if self.fuel > 0 else NOTHING
        if act.sleep:
            yield self.now + act.sleep
        if act.crash:
            raise Crash
        if act.goto is not None and act.goto != self.state and kind != "enter":
            self.next = act.goto
            self.cancel()
        if act.postpone and kind not in ("enter", "more"):
            self.postponed.append(mail)
            return
        if act.more is not None:
            self.more.append(act.more)
        if act.timeout is not None:
            self.cancel()
            seconds, message = act.timeout
            self.timer = Mail("timeout", message)
            if seconds:
                self.due = self.now + seconds
            else:
                self.first.insert(sum(1 for each in self.first if each.retried), self.timer)
        if kind == "call":
            self.log.append((self.now, "reply", mail.number))

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancelled, self.due = True, float("inf")

    def calls_left(self) -> list[Mail]:
        every = [self.in_hand, *self.first, *self.postponed, *self.mailbox]
        return [mail for mail in every if mail is not None and mail.kind == "call"]


def predict(program: Program) -> Logs:
    """Return what `perform` should return."""
    log: list[object] = []
    ended: list[tuple[float, int, str]] = []
    model: Model | None = None
    life: Generator[float] = iter(())  # type: ignore[assignment]

    def end(reason: str) -> None:
        assert model is not None
        model.dead = True
        ended.extend(
            (model.now, mail.number, reason)
            for mail in model.calls_left()
            if mail.number is not None and mail.gives_up > model.now
        )

    def run_until(when: float) -> None:
        assert model is not None
        # A machine that waits for a message is woken by one.
        while not model.dead and (model.waits_until <= when or (model.receives and model.mailbox)):
            model.now = max(model.now, min(model.waits_until, when))
            try:
                model.waits_until = next(life)
            except Crash:
                end("crashed")
        model.now = when

    for second, step in enumerate(program.steps):
        if model is not None:
            run_until(second)
        if model is None or model.dead:
            model = Model(program.enters, log, second)
            life = model.life()
            run_until(second)
        if model.dead:
            continue
        if step.kill:
            end("killed")
            continue
        sent = [Mail("cast", each) for each in step.casts]
        sent += [Mail("info", each) for each in step.infos]
        if step.call is not None:
            sent.append(Mail("call", step.call, second, second + step.limit))
        model.mailbox.extend(sent)
        run_until(second)
    return log, sorted(ended)


# -- the machine


@attrs.define(eq=False)
class Scripted(StateMachine[str]):
    enters: Message
    log: list[object]
    fuel: int = FUEL

    initial = "closed"

    async def enter(self, state: str, previous: str | None) -> None:
        await self._do("enter", self.enters, previous or "")

    async def call(self, message: Message, number: int) -> None:
        await self._do("call", message)
        self.log.append((trio.current_time(), "reply", number))

    async def cast(self, message: Message) -> None:
        await self._do("cast", message)

    async def timeout(self, message: Message) -> None:
        await self._do("timeout", message)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Message)
        await self._do("info", message)

    async def handle_continue(self, continuation: Message) -> None:
        await self._do("more", continuation)

    async def _do(self, kind: str, message: Message, old: str = "") -> None:
        self.log.append((trio.current_time(), kind, message.name, self.state, old))
        self.fuel -= 1
        act = message.act(self.state) if self.fuel > 0 else NOTHING
        if act.sleep:
            await trio.sleep(act.sleep)
        if act.crash:
            raise Crash
        if act.goto is not None and kind != "enter":
            self.change(act.goto)
        if act.postpone and kind not in ("enter", "more"):
            self.postpone()
        if act.more is not None:
            self.continue_with(act.more)
        if act.timeout is not None:
            self.state_timeout(act.timeout[0], Scripted.timeout, act.timeout[1])


async def perform(program: Program) -> Logs:
    """Run a program. Return its log, and the calls that the end of the machine has failed."""
    log: list[object] = []
    ended: list[tuple[float, int, str]] = []
    ref: Ref[Scripted] | None = None

    async def wait(pending: Pending[None], number: int, limit: float) -> None:
        with trio.move_on_after(limit):
            try:
                await pending.result()
            except ActorExited as exited:
                ended.append((trio.current_time(), number, exited.reason.kind))
            return
        pending.abandon()

    async def own(task_status: trio.TaskStatus[Ref[Scripted]]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                machine = await start(nursery, lambda: Scripted(program.enters, log))
                task_status.started(machine)
        except* Crash:
            pass

    async with trio.open_nursery() as nursery:
        for second, step in enumerate(program.steps):
            await trio.sleep_until(second)
            if ref is None or not ref.alive:
                ref = await nursery.start(own)
                await trio.testing.wait_all_tasks_blocked()
            assert ref is not None
            if not ref.alive:
                continue
            if step.kill:
                ref.kill()
                await ref.wait()
                continue
            for each in step.casts:
                ref.cast_nowait(Scripted.cast, each)
            for each in step.infos:
                ref.send_nowait(each)
            if step.call is not None:
                pending = await ref.request(Scripted.call, step.call, second)
                nursery.start_soon(wait, pending, second, step.limit)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return log, sorted(ended)


# -- the programs


def acts(messages: st.SearchStrategy[Message]) -> st.SearchStrategy[Act]:
    return st.builds(
        Act,
        sleep=st.sampled_from([0, 0, 0, 0, 2 + 1 / 32]),
        crash=st.sampled_from([*[False] * 15, True]),
        goto=st.sampled_from([None, *STATES]),
        postpone=st.booleans(),
        more=st.none() | messages,
        timeout=st.none() | st.tuples(st.sampled_from([0, 0.5 + 1 / 1024, 3 + 1 / 1024]), messages),
    )


def messages(depth: int) -> st.SearchStrategy[Message]:
    names = st.sampled_from("abcdefgh")
    if not depth:
        return st.builds(Message, names)
    act = st.just(NOTHING) | acts(messages(depth - 1))
    return st.builds(Message, names, st.tuples(act, act, act))


MESSAGE = messages(2)
STEP = st.builds(
    Step,
    casts=st.lists(MESSAGE, max_size=2).map(tuple),
    infos=st.lists(MESSAGE, max_size=1).map(tuple),
    call=st.none() | MESSAGE,
    limit=st.sampled_from([1.5 + 1 / 4096, 60]),
    kill=st.sampled_from([*[False] * 12, True]),
)
PROGRAMS = st.builds(
    Program, enters=MESSAGE, steps=st.lists(STEP, min_size=1, max_size=8).map(tuple)
)


@pytest.fixture(scope="module", autouse=True)
def _no_crash_reports() -> Iterator[None]:
    """Each crash would log its report, in thousands of programs."""
    logger = logging.getLogger("okibi.actors")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


@settings(max_examples=examples(300), deadline=None)
@given(PROGRAMS)
def test_a_machine_does_what_the_model_predicts(program: Program) -> None:
    clock = MockClock(autojump_threshold=0)
    assert trio.run(perform, program, clock=clock) == predict(program)
