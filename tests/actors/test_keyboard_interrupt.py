"""KeyboardInterrupt: a real SIGINT to a real process."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from okibi.actors import ActorExited, Name, Server, start
from okibi.supervisors import Child, SupervisorSpec, supervise
from tests.limits import HANG

TREE = """
    import signal, trio
    from okibi.actors import Actor, Server, start
    from okibi.supervisors import Child, SupervisorSpec, supervise

    # A shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def say(*words):
        print(*words, flush=True)

    class Leaf(Server):
        async def init(self):
            say("start", self.path)
        async def terminate(self, reason):
            await trio.sleep(0.01)
            say("stop", self.path, reason)

    class Busy(Leaf):
        async def handle_info(self, message):
            while True:
                await trio.lowlevel.checkpoint()

    class Holding(Leaf):
        async def handle_info(self, message):
            say("ready")
            while True:
                pass

    class Parent(Leaf):
        async def live(self, started):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.spin)
                await super().live(started)
        async def spin(self):
            while True:
                await trio.lowlevel.checkpoint()

    async def main():
        children = [Child(Leaf, id="a"), Child({kind}, id="b"), Child(Leaf, id="c")]
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, SupervisorSpec(children), path="/top")
            if {kind} is not Parent:
                for child in [p for p in top.process().actor.places if p.spec.id == "b"]:
                    child.process.mailbox.post("work")
            if {kind} is not Holding:
                say("ready")
            await trio.sleep_forever()

    try:
        trio.run(main)
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        say("ended by", type(error).__name__)
"""


# The same for an idle tree: tests/conformance/test_faults.py.
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("Busy", marks=pytest.mark.slow),
        "Holding",
        pytest.param("Parent", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_leaves_the_actor_and_stops_the_tree_in_order(kind: str) -> None:
    code = textwrap.dedent(TREE).replace("{kind}", kind)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(b"ready"):
                break
        child.send_signal(signal.SIGINT)
        try:
            out, _ = child.communicate(timeout=HANG)
        finally:
            child.kill()

    said = out.decode().splitlines()
    again = [line for line in said if "start" in line or "crashed" in line]
    assert [line for line in said if line not in again] in (
        [*(f"stop /top/{name} shutdown" for name in "cba"), "ended by KeyboardInterrupt"],
        [*(f"stop /top/{name} shutdown" for name in "ca"), "ended by KeyboardInterrupt"],
    )


def test_ctrl_c_in_a_task_of_an_actor_is_passed_to_the_main_task() -> None:
    class Parent(Server):
        async def work(self) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.interrupted)

        async def interrupted(self) -> None:
            raise KeyboardInterrupt

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            parent = await start(nursery, Parent)
            parent.cast_nowait(Parent.work)
            await trio.sleep_forever()

    # A shell starts background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.RaisesGroup(KeyboardInterrupt):
            trio.run(main)
    finally:
        signal.signal(signal.SIGINT, before)


class Raises(Server):
    async def work(self) -> None:
        raise KeyboardInterrupt


RAISES = Name("raises", Raises)


async def test_with_a_users_sigint_handler_keyboard_interrupt_is_a_crash() -> None:
    taken = list[int]()
    before = signal.signal(signal.SIGINT, lambda number, _: taken.append(number))
    try:
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, SupervisorSpec([Child(Raises, name=RAISES)]))
            with pytest.raises(ActorExited, match="KeyboardInterrupt"):
                await RAISES.call(Raises.work)
            with trio.fail_after(HANG):
                while RAISES.whereis() is None:
                    await trio.lowlevel.checkpoint()
            assert top.alive
            nursery.cancel_scope.cancel()
    finally:
        signal.signal(signal.SIGINT, before)

    assert taken == []
