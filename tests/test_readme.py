"""The README's sample runs as it stands there."""

import re
import sys
from pathlib import Path

import pytest

from runtime.local import FunctionSettings, open_local_lambda

README = Path(__file__).parent.parent / "README.md"


async def test_the_sample_of_the_readme_is_served(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    if found is None:
        pytest.fail("the README has no sample")
    (tmp_path / "app.py").write_text(found[1])
    settings = FunctionSettings(
        handler="app.function", command=(sys.executable, "-P", "-m", "runtime"), task_root=tmp_path
    )

    async with open_local_lambda(settings) as function:
        await function.invoke(b'{"name": "bob"}')
        answer = await function.invoke(b'{"name": "bob"}')
        refused = await function.invoke(b'{"nome": "bob"}')

    assert answer.payload == b'{"message":"hello bob","visit":2}'
    assert refused.error_type == "Runtime.UnmarshalError"
    assert b"`name`" in refused.payload
