"""The filter of the alarm on deadlines finds okibi's line of a late event, and no other line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from okibi.deployment.template.alarms import DEADLINE_PATTERNS
from okibi.local import FunctionSettings, open_local_lambda

HANDLER = """
import time

def handler(event, context):
    if event == "late":
        time.sleep(10)
    raise ValueError("not late")
"""


def parse_pattern(pattern: str) -> Callable[[str], bool]:
    """The two forms of CloudWatch's filters that the templates use."""
    if text := re.fullmatch(r'"([^"]+)"', pattern):
        return lambda line: text[1] in line
    field = re.fullmatch(r'\{ \$\.(\w+) = "(.*)" \}', pattern)
    assert field is not None
    name, value = field.groups()
    return lambda line: line.startswith("{") and json.loads(line).get(name) == value


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_late_event_is_counted_once_and_another_error_is_not(
    log_format: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    settings = FunctionSettings(
        "app.handler", task_root=tmp_path, timeout=0.8,
        environment={"AWS_LAMBDA_LOG_FORMAT": {"text": "Text", "json": "JSON"}[log_format]},
    )  # fmt: skip
    lines, counts = list[str](), list[int]()

    async with open_local_lambda(settings, output=lines.append) as function:
        for event in (b'"failing"', b'"late"'):
            await function.invoke(event)
            await function.wait_for_report()
            counts.append(sum(map(parse_pattern(DEADLINE_PATTERNS[log_format]), lines)))

    assert counts == [0, 1]
