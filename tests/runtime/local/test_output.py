"""Where the lines of a function's process go."""

from pathlib import Path

import pytest

from runtime.local import FunctionSettings, open_local_lambda

SAYS = """
def handler(event, context):
    print("Jürgen → 熾火")
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
async def test_the_lines_are_whole_whatever_characters_the_shell_says_its_terminal_has(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(SAYS, "utf-8")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    settings, lines = FunctionSettings("app.handler", task_root=tmp_path), list[str]()

    async with open_local_lambda(settings, output=lines.append) as function:
        result = await function.invoke(b"{}")

    assert result.function_error is None
    assert "Jürgen → 熾火" in lines


async def test_the_function_s_own_setting_of_its_characters_is_kept(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SAYS, "utf-8")
    own = {"PYTHONIOENCODING": "ascii:backslashreplace"}
    settings = FunctionSettings("app.handler", task_root=tmp_path, environment=own)
    lines = list[str]()

    async with open_local_lambda(settings, output=lines.append) as function:
        await function.invoke(b"{}")

    assert r"J\xfcrgen \u2192 \u71be\u706b" in lines
