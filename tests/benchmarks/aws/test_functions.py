"""The functions of `make aws`, invoked by its own code on the local Lambda."""

from pathlib import Path

import pytest
import trio

from benchmarks.aws import checks, judgements, packages
from benchmarks.aws.cloud import Answer, Cloud
from benchmarks.aws.judgements import Finding, Verdict
from benchmarks.aws.routes import MANAGED
from benchmarks.aws.templates import function_name
from okibi.local import FunctionSettings, open_local_lambda

RUN = "okibi-aws-1a2b"

pytest.importorskip("boto3")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    packages.write_project(tmp_path / "project")
    return tmp_path / "project"


def settings(project: Path, handler: str, timeout: float = 1.0) -> FunctionSettings:
    return FunctionSettings(
        handler, name=function_name(RUN, MANAGED, handler), task_root=project, timeout=timeout
    )


@pytest.mark.slow
async def test_the_demo_passes_each_check_and_says_that_it_was_terminated(project: Path) -> None:
    lines: list[str] = []
    async with open_local_lambda(
        settings(project, "check.function"), output=lines.append
    ) as function:
        cloud = Cloud("us-east-1", function.invoke_url.partition("/2015")[0])

        def check() -> list[Finding]:
            return [*checks.check_route(cloud, RUN, MANAGED, url="")]

        findings = await trio.to_thread.run_sync(check)

    assert [finding.verdict for finding in findings] == [Verdict.PASSED] * 4, findings
    assert judgements.judge_shutdown(lines, emulated=False).verdict is Verdict.PASSED
    assert judgements.judge_init_phases(lines).verdict is Verdict.PASSED


async def test_report_lines_tell_a_cold_start_from_warm_answers(project: Path) -> None:
    async with open_local_lambda(settings(project, "plain.handler")) as function:
        cloud = Cloud("us-east-1", function.invoke_url.partition("/2015")[0])
        name = function_name(RUN, MANAGED, "plain.handler")

        def invoke_thrice() -> list[Answer]:
            return [cloud.invoke(name, {"name": "bob"}) for _ in range(3)]

        answers = await trio.to_thread.run_sync(invoke_thrice)

    samples = checks.as_samples(MANAGED, [answers])
    assert [answer.payload for answer in answers] == [{"hello": "bob"}] * 3
    assert (len(samples.cold), len(samples.warm)) == (1, 2)


@pytest.mark.slow
async def test_the_stream_arrives_in_five_pieces(project: Path) -> None:
    async with (
        open_local_lambda(settings(project, "stream.handler", timeout=5.0)) as function,
        function.stream(b"{}") as answer,
    ):
        times: list[float] = []
        text = b""
        async for piece in answer:
            times.append(trio.current_time())
            text += piece

    _, _, body = text.partition(b"\0" * 8)
    assert judgements.judge_stream(times, body.decode(), buffered=False).verdict is Verdict.PASSED
