"""A forgotten `await` is answered with the cure and the user's line, in a real process."""

from pathlib import Path

import pytest

from tests.support.sandbox import running

APP = """
from okibi import Context, Handler


async def fetch(name):
    return name


async def handler(event, context):
    return {"visit": fetch("bob")}


def plain(event, context):
    return {"visit": fetch("bob")}


class Greeter(Handler[dict]):
    async def handle(self, event, context):
        return {"visit": fetch("bob")}
"""


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
@pytest.mark.parametrize("handler", ["handler", "Greeter", "plain"])
async def test_a_coroutine_as_result_is_answered_with_the_cure(
    handler: str, loop: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    cure = (
        'result["visit"] is a coroutine: write `await` before fetch(...), defined in File '
        f'"{tmp_path / "app.py"}", line 5'
    )
    message = "Object of type coroutine is not JSON serializable" if handler == "plain" else cure

    environment = {"OKIBI_LOOP": loop}
    async with running(f"app.{handler}", task_root=tmp_path, environment=environment) as sandbox:
        told = await sandbox.ask()
        assert sandbox.said("was never awaited") == 0
        assert sandbox.said(cure) == 1

    assert told["errorType"] == "Runtime.MarshalError"
    assert told["errorMessage"] == f"Unable to marshal response: {message}"


ASKS = """
from okibi import Child, Function, Name, Server


class Visits(Server):
    async def visit(self):
        return 1


VISITS = Name("visits", Visits)


async def handler(event, context):
    return {"visit": VISITS.call(Visits.visit)}


function = Function(handler=handler, children=[Child(Visits, name=VISITS)])
"""


async def test_a_forgotten_await_of_an_actor_names_from_sync_too(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ASKS)

    async with running("app.function", task_root=tmp_path) as sandbox:
        told = await sandbox.ask()

    assert told["errorMessage"] == (
        'Unable to marshal response: result["visit"] is a coroutine: write `await` before the '
        "call(...) of an actor (in a plain `def`, write from_sync.call(...))"
    )
