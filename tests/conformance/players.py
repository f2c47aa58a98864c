"""The children of a scenario: what `otp/erlang/child.erl` and `witness.erl` are to OTP."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from okibi.actors import Exit, ExitReason, Ignore, Name, Ref, Server, start
from okibi.actors.process import Process
from okibi.supervisors import (
    AutoShutdown,
    Child,
    DynamicSupervisorSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.conformance.words import Crash, of_reason, to_reason

TOP = "/top"


def nth(starts: list[str], number: int) -> str:
    """How the n-th start goes."""
    if starts[-1:] == ["..."]:
        return starts[min(number - 1, len(starts) - 2)]
    return starts[number - 1] if number <= len(starts) else "ok"


@attrs.define(eq=False)
class Stage:
    """Who plays, and what has been seen.

    Attributes:
        log: what happened since it was last taken, in order.
        starts: how often each id has been started.
        refs: who was last started under each id.
        labels: what each process is called.
        last: each process's own last word.
        waiting: who goes on when somebody needs what they hold up.
        top: the top supervisor's path.
    """

    log: list[str] = attrs.Factory(list)
    starts: dict[str, int] = attrs.Factory(dict)
    refs: dict[str, Ref[Any]] = attrs.Factory(dict)
    labels: dict[Process, str] = attrs.Factory(dict)
    last: dict[Process, str] = attrs.Factory(dict)
    waiting: list[trio.Event] = attrs.Factory(list)
    top: str = TOP

    def take(self) -> list[str]:
        log, self.log = self.log, []
        return log

    def next(self, id: str) -> int:  # noqa: A002
        self.starts[id] = number = self.starts.get(id, 0) + 1
        return number

    async def wait(self) -> None:
        event = trio.Event()
        self.waiting.append(event)
        await event.wait()

    def release(self) -> bool:
        """Let everybody go on who waits; whether there was somebody."""
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            event.set()
        return bool(waiting)

    def watch(self, ref: Ref[Any], label: str) -> None:
        """It is called so, and its end is of interest if it says more than its own last word."""
        process = ref.process()
        if process in self.labels:
            return
        self.labels[process] = label
        self.refs[label.rstrip("0123456789")] = ref

        def tell(_: Process) -> None:
            assert process.reason is not None
            if process.start_failed:
                return  # it had not got ready; whoever started it is told
            end = f"{label} {of_reason(process.reason)}"
            if self.last.get(process) != f"term {end}":
                self.log.append(f"down {end}")

        process.watchers[tell] = tell

    def watch_supervisor(self, process: Process | None) -> None:
        """Supervisors say nothing of themselves: they are seen when a child of theirs starts."""
        if process is not None and process.path == self.top:
            self.watch(Ref(process), "top")
        elif process is not None:
            name = process.path.rpartition("/")[2]
            self.watch(Ref(process), f"{name}{process.incarnation}")
            self.watch_supervisor(process.parent)

    def name_supervisor(self, ref: Ref[Any], id: str) -> None:  # noqa: A002
        """It was started on request, and may have no children to be seen by."""
        if ref.process() not in self.labels:
            self.watch(ref, f"{id}{ref.incarnation}")

    def label(self, ref: Ref[Any]) -> str:
        return self.labels[ref.process()]

    def leave(self, who: str, reason: ExitReason) -> None:
        self.refs[who].cast_nowait(Player.leave, reason)

    def whereis(self, name: str) -> str:
        ref = Name(name, Player).whereis()
        return "undefined" if ref is None else self.label(ref)

    async def stranger(self, nursery: trio.Nursery, name: str) -> None:
        """Somebody from elsewhere who bears a name."""
        spec = {"id": "stranger"}
        ref = await start(nursery, lambda: Player(self, spec, 1), name=Name(name, Player))
        self.log.clear()
        self.labels[ref.process()] = "stranger"


@attrs.define(eq=False)
class Player(Server):
    stage: Stage
    spec: Mapping[str, Any]
    number: int

    @property
    def label(self) -> str:
        return f"{self.spec['id']}{self.number}"

    async def init(self) -> None:
        how = nth(self.spec.get("starts", []), self.number)
        # Where OTP may be interrupted, so may this be.
        await trio.lowlevel.checkpoint()
        if how.startswith("slow "):
            self.stage.log.append(f"init {self.label}")
            await self.stage.wait()
        match how.removeprefix("slow "):
            case "fail":
                self.stage.log.append(f"fail {self.label}")
                raise Crash("failed")
            case "ignore":
                self.stage.log.append(f"ignore {self.label}")
                raise Ignore
            case _:
                self.stage.watch_supervisor(self._process.parent)
                self.stage.watch(self.ref, self.label)
                self.stage.log.append(f"start {self.label}")

    async def leave(self, reason: ExitReason) -> None:
        raise reason.error or Exit(reason)

    async def terminate(self, reason: ExitReason) -> None:
        await trio.lowlevel.checkpoint()
        self.stage.log.append(f"term {self.label} {of_reason(reason)}")
        self.stage.last[self._process] = self.stage.log[-1]
        match self.spec.get("terminate", "ok").split(" "):
            case ["hang"]:
                await trio.sleep_forever()
            case ["wait"]:
                await self.stage.wait()
                self.stage.log.append(f"done {self.label}")
            case ["sleep", milliseconds]:
                await trio.sleep(int(milliseconds) / 1000)
                self.stage.log.append(f"done {self.label}")
            case ["exit", word]:
                await self.leave(to_reason(word))


# -- from the data of a scenario to okibi's values


def either(kind: Callable[[str], Any], word: Any) -> Any:
    """The value of that name; what is none is handed on, to be refused."""
    try:
        return kind(word)
    except ValueError:
        return word


def seconds(shutdown: Any) -> Any:
    if shutdown == "infinity":
        return float("inf")
    return shutdown / 1000 if isinstance(shutdown, int) else shutdown


def flags_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Flags with OTP's defaults, of which okibi's intensity is another."""
    kinds: dict[str, Callable[[str], Any]] = {"strategy": Strategy, "auto_shutdown": AutoShutdown}
    made = {key: either(kinds.get(key, lambda same: same), value) for key, value in given.items()}
    return {"intensity": 1, **made}


def own(given: Any) -> Any:
    """A child's data, of which its id may be all."""
    return {"id": given} if isinstance(given, str) else given


def dynamic_child(stage: Stage, common: Any, given: Any) -> Any:
    """A Child with what all have in common, their id too, and what it has of its own."""
    made = child_of(stage, {**own(common), **own(given)})
    return attrs.evolve(made, id=own(common)["id"])


def child_of(stage: Stage, given: Any) -> Any:
    """A Child; what is no spec is handed on, to be refused."""
    given = own(given)
    if not isinstance(given, dict):
        return given
    keys = {"id", "restart", "shutdown", "significant", "unheard_of"} & given.keys()
    fields = {key: given[key] for key in keys}
    if "restart" in fields:
        fields["restart"] = either(Restart, fields["restart"])
    if "shutdown" in fields:
        fields["shutdown"] = seconds(fields["shutdown"])
    if given.get("registered"):
        fields["name"] = Name(given["id"], Player)
    if given.get("start") != "missing":
        fields["start"] = given.get("start") or start_of(stage, given)
    return Child(**fields)


def start_of(stage: Stage, given: Mapping[str, Any]) -> Any:
    if "children" in given:
        children = [child_of(stage, each) for each in given["children"]]
        return SupervisorSpec(children, **flags_of(given.get("flags", {})))

    def player() -> Any:
        number = stage.next(given["id"])
        how = nth(given.get("starts", []), number)
        if how in {"error", "junk"}:
            stage.log.append(f"fail {given['id']}{number}")
        if how == "error":
            raise Crash("failed")
        return "junk" if how == "junk" else Player(stage, given, number)

    return player


def supervision_of(stage: Stage, specs: list[Any], auto: list[str]) -> SupervisorSpec:
    """The specs under a supervisor of that mode."""
    flags = {"auto_shutdown": auto[0]} if auto else {}
    return SupervisorSpec([child_of(stage, each) for each in specs], **flags_of(flags))


@attrs.define(eq=False)
class Unready(Supervisor):
    """A supervisor whose `init` does not get as far as its children."""

    how: str = "fail"

    async def init(self) -> None:
        raise Ignore if self.how == "ignore" else Crash("failed")


async def top_of(nursery: trio.Nursery, stage: Stage, given: Mapping[str, Any]) -> Ref[Any]:
    """Start the scenario's tree, or the dynamic supervisor that it needs."""
    how = given.get("init")
    if how is not None:
        junk: Any = lambda: "junk"  # noqa: E731
        make = junk if how == "junk" else lambda: Unready(SupervisorSpec(), how)
        return await start(nursery, make, path=TOP)
    flags = dict(given.get("flags", {}))
    if flags.get("strategy") == "simple_one_for_one":
        del flags["strategy"]
        return await supervise(nursery, DynamicSupervisorSpec(**flags_of(flags)), path=TOP)
    tree: SupervisorSpec = start_of(stage, {"children": [], **given})
    return await supervise(nursery, tree, path=TOP)
