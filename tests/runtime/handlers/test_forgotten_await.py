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
