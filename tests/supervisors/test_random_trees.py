"""Supervisors against a model: random trees with random events and requests.

After every event, the log, the order of the specs, the running children and the names must equal
those of the model. The model states OTP's rules and shares no code with the supervisor.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio
from hypothesis import given, note, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import NORMAL, SHUTDOWN, Name, Refusal, StartError
from okibi.actors.names import name_table
from okibi.supervisors import Supervisor, SupervisorGaveUp, supervise
from tests.profiles import examples
from tests.support.child_stage import BOOM, Player, Stage, player
from tests.support.supervisor_model import Model
from tests.support.trees import PERIOD, Kid, Tree, World, child, trees

FULL = os.environ.get("OKIBI_SWEEP") == "full"
REASONS = {"crashed": BOOM, "normal": NORMAL, "shutdown": SHUTDOWN}
REQUESTS = {
    "start_child": Supervisor.start_child,
    "terminate_child": Supervisor.terminate_child,
    "restart_child": Supervisor.restart_child,
    "delete_child": Supervisor.delete_child,
}


@attrs.frozen
class End:
    """A running child ends by itself or is killed, with all children below."""

    pick: int
    how: str


@attrs.frozen
class Wait:
    """Time passes."""

    seconds: float


@attrs.frozen
class Ask:
    """A running supervisor handles a request about one of its children."""

    pick: int
    request: str
    kid: int


Event = End | Wait | Ask


@attrs.frozen
class Case:
    """A tree, the results of its workers' starts, and the events."""

    tree: Tree
    fates: dict[str, str]
    events: list[Event]


AFTERWARDS = ["terminate_child", "restart_child"]
PICKS = st.integers(0, 30)
EVENTS = st.lists(
    st.one_of(
        st.builds(End, PICKS, st.sampled_from(["crashed", "crashed", "killed", *REASONS])),
        st.builds(End, PICKS, st.sampled_from(["crashed", "normal"])),
        st.builds(Ask, PICKS, st.sampled_from(list(REQUESTS)), st.integers(0, 5)),
        st.builds(Ask, PICKS, st.sampled_from(AFTERWARDS), st.integers(0, 5)),
        st.builds(Wait, st.sampled_from([1.0, PERIOD, 3600.0])),
    ),
    min_size=6,
    max_size=20,
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    tree = draw(trees())
    workers = [kid.id for kid in tree.below() if kid.sub is None]
    spares = [key for key in workers if {"x", "y"} & set(key)]
    fail, any_fate = st.just("fail"), st.sampled_from(["fail", "ignore"])
    later = st.builds("{}{}".format, st.sampled_from(workers), st.integers(2, 4))
    fates = draw(st.dictionaries(later, any_fate, max_size=8))
    fates |= draw(st.dictionaries(st.sampled_from([f"{key}1" for key in spares]), fail, max_size=2))
    # Rarely: a failure in the first start ends the case.
    first = st.sampled_from([f"{key}1" for key in workers])
    rarely = st.sampled_from(["ignore"] * 9 + ["fail"])
    fates |= draw(st.dictionaries(first, rarely, max_size=2))
    return Case(tree, fates, draw(EVENTS))


def running_supervisors(model: Model) -> Iterator[tuple[str, Model]]:
    """Yield every running supervisor with its name."""
    yield model.tree.id, model
    for sub in model.live.values():
        if sub is not None:
            yield from running_supervisors(sub)


def end_actor(who: Kid, how: str) -> None:
    """End an actor: a worker by itself, a supervisor on request."""
    process = name_table()[who.id]
    if how == "killed":
        process.kill()
    elif who.sub is None:
        player(who.id).cast_nowait(Player.leave, REASONS[how])
    else:
        process.stop(REASONS[how])


@attrs.define
class Trial:
    """One case, run by a real tree and by the model, side by side."""

    case: Case
    stage: Stage = attrs.field(init=False)
    world: World = attrs.field(init=False)
    model: Model = attrs.field(init=False)
    end: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        fates = self.case.fates
        self.stage = Stage(
            refused={start for start, fate in fates.items() if fate == "fail"},
            needless={start for start, fate in fates.items() if fate == "ignore"},
        )
        self.world = World(fates)
        self.model = Model(self.case.tree, self.world)

    async def play(self) -> None:
        tree = self.case.tree
        failed = self.model.fill([kid.id for kid in tree.kids])
        try:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope(shield=True):
                    name = Name(tree.id, Supervisor)
                    top = await supervise(nursery, tree.spec(self.stage), name=name)
                    assert not failed
                    self.compare()
                    for event in self.case.events:
                        if not self.end:
                            note(str(event))
                            await self.do(event)
                            self.compare()
                top.stop()
            assert self.end != "crashed"
        except* SupervisorGaveUp:
            assert self.end == "crashed"
        except* StartError:
            assert failed
        self.model.stop(list(self.model.live))
        assert self.stage.log == self.world.log
        assert name_table() == {}

    async def do(self, event: Event) -> None:
        match event:
            case Wait(seconds):
                await trio.sleep(seconds)
            case End(pick, how):
                living = dict(running_supervisors(self.model))
                kids = [m.specs[key] for m in living.values() for key in m.live]
                if kids:
                    who = kids[pick % len(kids)]
                    note(f"    {who.id}")
                    self.end = self.model.end(who.id, how, trio.current_time())
                    end_actor(who, how)
                    await wait_all_tasks_blocked()
            case Ask(pick, request, at):
                trees = list(running_supervisors(self.model))
                name, model = trees[pick % len(trees)]
                kids = [*model.tree.kids, *model.tree.spares]
                kid = kids[at % len(kids)]
                note(f"    {name} {kid.id}")
                answer = model.admin(request, kid)
                assert await self.ask(name, request, kid) == answer
        if self.end:
            self.model.stop(list(self.model.live))

    async def ask(self, tree: str, request: str, kid: Kid) -> str:
        asked = child(kid, self.stage) if request == "start_child" else kid.id
        try:
            await Name(tree, Supervisor).call(REQUESTS[request], asked)  # type: ignore[arg-type]
        except Refusal as refusal:
            return type(refusal).__name__
        return "done"

    def compare(self) -> None:
        assert self.stage.log == self.world.log
        living = {} if self.end else dict(running_supervisors(self.model))
        workers = {key for model in living.values() for key in model.live}
        assert set(name_table()) == living.keys() | workers
        for key, model in living.items():
            supervisor = name_table()[key].actor
            assert isinstance(supervisor, Supervisor)
            stands = [(place.id, place.process is not None) for place in supervisor.places]
            assert stands == [(key, key in model.live) for key in model.specs]


@settings(
    derandomize=not FULL,
    max_examples=2000 if FULL else examples(150),
    deadline=None,
    print_blob=True,
)
@given(cases())
def test_a_random_tree_behaves_like_the_model(case: Case) -> None:
    trio.run(Trial(case).play, clock=MockClock(autojump_threshold=0))


def test_the_model_has_at_most_60_lines_and_imports_no_supervisor() -> None:
    """Blank lines, docstrings and imports do not count."""
    lines = (
        (Path(__file__).parents[1] / "support" / "supervisor_model.py")
        .read_text("utf-8")
        .splitlines()
    )
    imports = [line for line in lines if line.startswith(("from ", "import "))]
    code = [line for line in lines if line.strip() and not line.strip().startswith('"""')]

    assert imports == ["from tests.support.trees import PERIOD, Kid, Tree, World"]
    assert len(code) - len(imports) <= 60
