"""The children of a scenario, and the log of what they do.

`otp/erlang/child.erl` and `otp/erlang/witness.erl` are the same for OTP.
"""

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
from tests.conformance.otp_terms import Crash, format_reason, parse_reason

TOP = "/top"


def start_outcome(starts: list[str], number: int) -> str:
    """Return how the n-th start goes: a word of the scenario's `starts`."""
    if starts[-1:] == ["..."]:
        return starts[min(number - 1, len(starts) - 2)]
    return starts[number - 1] if number <= len(starts) else "ok"


@attrs.define(eq=False)
class ScenarioRecord:
    """The log of one run, and the processes in the run.

    Attributes:
        log: lines since the last `take_log`, in order.
        starts: number of starts of each id.
        refs: the last actor started under each id.
        labels: name of each process in the log, `a2` for the second start of a.
        last_lines: the line that each process logged in its `terminate`.
        waiting: events of children that wait for `release`.
        top: path of the top supervisor.
    """

    log: list[str] = attrs.Factory(list)
    starts: dict[str, int] = attrs.Factory(dict)
    refs: dict[str, Ref[Any]] = attrs.Factory(dict)
    labels: dict[Process, str] = attrs.Factory(dict)
    last_lines: dict[Process, str] = attrs.Factory(dict)
    waiting: list[trio.Event] = attrs.Factory(list)
    top: str = TOP

    def take_log(self) -> list[str]:
        log, self.log = self.log, []
        return log

    def count_start(self, id: str) -> int:  # noqa: A002
        self.starts[id] = number = self.starts.get(id, 0) + 1
        return number

    async def wait_for_release(self) -> None:
        event = trio.Event()
        self.waiting.append(event)
        await event.wait()

    def release(self) -> bool:
        """Let all waiting children continue. Return whether any child waited."""
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            event.set()
        return bool(waiting)

    def watch(self, ref: Ref[Any], label: str) -> None:
        """Label the process and log its end, unless `terminate` has logged the same reason."""
        process = ref.process()
        if process in self.labels:
            return
        self.labels[process] = label
        self.refs[label.rstrip("0123456789")] = ref

        def log_end(_: Process) -> None:
            assert process.life.reason is not None
            if process.life.start_failed:
                return  # the starter gets the error
            end = f"{label} {format_reason(process.life.reason)}"
            if self.last_lines.get(process) != f"term {end}":
                self.log.append(f"down {end}")

        process.watch(log_end, log_end)

    def watch_supervisor(self, process: Process | None) -> None:
        """Watch a supervisor and its parents, when a child of the supervisor starts.

        Supervisors log nothing themselves.
        """
        if process is not None and process.path == self.top:
            self.watch(Ref(process), "top")
        elif process is not None:
            name = process.path.rpartition("/")[2]
            self.watch(Ref(process), f"{name}{process.incarnation}")
            self.watch_supervisor(process.parent)

    def watch_started_supervisor(self, ref: Ref[Any], id: str) -> None:  # noqa: A002
        """Watch a supervisor that was started on request: it may have no children."""
        if ref.process() not in self.labels:
            self.watch(ref, f"{id}{ref.incarnation}")

    def label(self, ref: Ref[Any]) -> str:
        return self.labels[ref.process()]

    def cast_exit(self, id: str, reason: ExitReason) -> None:  # noqa: A002
        self.refs[id].cast_nowait(ScenarioChild.exit, reason)

    def whereis(self, name: str) -> str:
        ref = Name(name, ScenarioChild).whereis()
        return "undefined" if ref is None else self.label(ref)

    async def start_unrelated(self, nursery: trio.Nursery, name: str) -> None:
        """Start an actor outside the tree under a registered name."""
        spec = {"id": "stranger"}
        ref = await start(
            nursery, lambda: ScenarioChild(self, spec, 1), name=Name(name, ScenarioChild)
        )
        self.log.clear()
        self.labels[ref.process()] = "stranger"


@attrs.define(eq=False)
class ScenarioChild(Server):
    """A child that starts and terminates as its spec in the scenario says."""

    record: ScenarioRecord
    spec: Mapping[str, Any]
    number: int

    @property
    def label(self) -> str:
        return f"{self.spec['id']}{self.number}"

    async def init(self) -> None:
        how = start_outcome(self.spec.get("starts", []), self.number)
        # OTP can interrupt an init here, so init needs a checkpoint.
        await trio.lowlevel.checkpoint()
        if how.startswith("slow "):
            self.record.log.append(f"init {self.label}")
            await self.record.wait_for_release()
        match how.removeprefix("slow "):
            case "fail":
                self.record.log.append(f"fail {self.label}")
                raise Crash("failed")
            case "ignore":
                self.record.log.append(f"ignore {self.label}")
                raise Ignore
            case _:
                self.record.watch_supervisor(self._process.parent)
                self.record.watch(self.ref, self.label)
                self.record.log.append(f"start {self.label}")

    async def exit(self, reason: ExitReason) -> None:
        raise reason.error or Exit(reason)

    async def terminate(self, reason: ExitReason) -> None:
        await trio.lowlevel.checkpoint()
        self.record.log.append(f"term {self.label} {format_reason(reason)}")
        self.record.last_lines[self._process] = self.record.log[-1]
        match self.spec.get("terminate", "ok").split(" "):
            case ["hang"]:
                await trio.sleep_forever()
            case ["wait"]:
                await self.record.wait_for_release()
                self.record.log.append(f"done {self.label}")
            case ["sleep", milliseconds]:
                await trio.sleep(int(milliseconds) / 1000)
                self.record.log.append(f"done {self.label}")
            case ["exit", word]:
                await self.exit(parse_reason(word))


# -- convert the data of a scenario to okibi's values


def convert(kind: Callable[[str], Any], word: Any) -> Any:
    """Convert the word. Return an unknown word unchanged: okibi has to refuse the word."""
    try:
        return kind(word)
    except ValueError:
        return word


def shutdown_seconds(shutdown: Any) -> Any:
    if shutdown == "infinity":
        return float("inf")
    return shutdown / 1000 if isinstance(shutdown, int) else shutdown


def parse_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the flags. The default intensity is OTP's, not okibi's."""
    kinds: dict[str, Callable[[str], Any]] = {"strategy": Strategy, "auto_shutdown": AutoShutdown}
    made = {key: convert(kinds.get(key, lambda same: same), value) for key, value in given.items()}
    return {"intensity": 1, **made}


def child_data(given: Any) -> Any:
    """Return the data of a child. A child may be given as its id alone."""
    return {"id": given} if isinstance(given, str) else given


def make_dynamic_child(record: ScenarioRecord, common: Any, given: Any) -> Any:
    """Make a Child from the common data and its own data. The id is the common id."""
    made = make_child(record, {**child_data(common), **child_data(given)})
    return attrs.evolve(made, id=child_data(common)["id"])


def make_child(record: ScenarioRecord, given: Any) -> Any:
    """Make a Child. Return other data unchanged: the supervisor has to refuse the data."""
    given = child_data(given)
    if not isinstance(given, dict):
        return given
    keys = {"id", "restart", "shutdown", "significant", "unheard_of"} & given.keys()
    fields = {key: given[key] for key in keys}
    if "restart" in fields:
        fields["restart"] = convert(Restart, fields["restart"])
    if "shutdown" in fields:
        fields["shutdown"] = shutdown_seconds(fields["shutdown"])
    if given.get("registered"):
        fields["name"] = Name(given["id"], ScenarioChild)
    if given.get("start") != "missing":
        fields["start"] = given.get("start") or make_start(record, given)
    return Child(**fields)


def make_start(record: ScenarioRecord, given: Mapping[str, Any]) -> Any:
    """Make the `start` of a Child: a SupervisorSpec, or a factory of a ScenarioChild."""
    if "children" in given:
        children = [make_child(record, each) for each in given["children"]]
        return SupervisorSpec(children, **parse_flags(given.get("flags", {})))

    def make() -> Any:
        number = record.count_start(given["id"])
        how = start_outcome(given.get("starts", []), number)
        if how in {"error", "junk"}:
            record.log.append(f"fail {given['id']}{number}")
        if how == "error":
            raise Crash("failed")
        return "junk" if how == "junk" else ScenarioChild(record, given, number)

    return make


def make_supervisor_spec(
    record: ScenarioRecord, specs: list[Any], auto: list[str]
) -> SupervisorSpec:
    """Make a SupervisorSpec of the specs. `auto` may hold the auto-shutdown mode."""
    flags = {"auto_shutdown": auto[0]} if auto else {}
    return SupervisorSpec([make_child(record, each) for each in specs], **parse_flags(flags))


@attrs.define(eq=False)
class FailingSupervisor(Supervisor):
    """A supervisor that fails or ignores in `init`, before its children start."""

    how: str = "fail"

    async def init(self) -> None:
        raise Ignore if self.how == "ignore" else Crash("failed")


async def start_top(
    nursery: trio.Nursery, record: ScenarioRecord, given: Mapping[str, Any]
) -> Ref[Any]:
    """Start the tree of the scenario, or its DynamicSupervisor."""
    how = given.get("init")
    if how is not None:
        junk: Any = lambda: "junk"  # noqa: E731
        make = junk if how == "junk" else lambda: FailingSupervisor(SupervisorSpec(), how)
        return await start(nursery, make, path=TOP)
    flags = dict(given.get("flags", {}))
    if flags.get("strategy") == "simple_one_for_one":
        del flags["strategy"]
        return await supervise(nursery, DynamicSupervisorSpec(**parse_flags(flags)), path=TOP)
    tree: SupervisorSpec = make_start(record, {"children": [], **given})
    return await supervise(nursery, tree, path=TOP)
