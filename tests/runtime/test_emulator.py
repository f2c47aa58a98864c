"""`python -P -m okibi.runtime` under AWS's own emulator."""

import json
import time
from pathlib import Path

import pytest

from tests.support.emulator import NoEmulatorError, emulated, emulator
from tests.support.sandbox import WIDE_MARGIN

FUNCTIONS = Path(__file__).parents[1] / "support" / "functions"
PAYLOADS = (
    [b'{"message": "hello!"}'] * 178
    + [
        json.dumps({"text": "x" * 3000}).encode(),
        json.dumps({"text": "é" * 1500, "list": [1.5, None, True]}).encode(),
    ]
    * 10
    + [json.dumps({"text": "x" * 1_000_000}).encode()] * 2
)


@pytest.fixture(scope="session")
def executable() -> Path:
    try:
        return emulator()
    except NoEmulatorError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(
    "handler", ["app.asynchronous", pytest.param("app.plain", marks=pytest.mark.slow)]
)
def test_one_process_serves_200_invocations_and_three_failures(
    executable: Path, handler: str, tmp_path: Path
) -> None:
    limit = {"AWS_LAMBDA_FUNCTION_TIMEOUT": "2", **WIDE_MARGIN}
    with emulated(executable, handler, FUNCTIONS, tmp_path / "log", limit) as function:
        pids = set[int]()
        for payload in PAYLOADS:
            answer = json.loads(function.invoke(payload))
            assert answer["event"] == json.loads(payload)
            pids.add(answer["pid"])
        failures = [
            json.loads(function.invoke(json.dumps({"do": what, "text": "no"}).encode()))
            for what in ("raise", "exit", "sleep")
        ]
        for what, failure in zip(("raise", "exit", "sleep"), failures, strict=True):
            assert failure["requestId"], what
        pids.add(json.loads(function.invoke(b"{}"))["pid"])

    assert len(PAYLOADS) == 200
    assert [failure["errorType"] for failure in failures] == [
        "ValueError",
        "SystemExit",
        "Runtime.DeadlineExceeded",
    ]
    assert failures[0]["errorMessage"] == "no"
    assert len(pids) == 1
    assert "no longer sends the next request with a response" not in function.log.read_text()


@pytest.mark.slow
def test_the_client_context_reaches_the_handler(executable: Path, tmp_path: Path) -> None:
    context = "eyJjdXN0b20iOiB7ImNvbG91ciI6ICJyZWQifX0="
    with emulated(executable, "context.told", FUNCTIONS, tmp_path / "log", {}) as function:
        context_seen = json.loads(function.invoke(b"{}", **{"X-Amz-Client-Context": context}))

    assert context_seen["custom"] == {"colour": "red"}
    assert 0 < context_seen["remaining"] <= 300_000
    assert context_seen["arn"].startswith("arn:aws:lambda:")


@pytest.mark.parametrize("graceful", ["1", pytest.param("0", marks=pytest.mark.slow)])
def test_a_registered_extension_gets_sigterm(
    executable: Path, tmp_path: Path, graceful: str
) -> None:
    log = tmp_path / "log"
    variables = {"OKIBI_GRACEFUL_SHUTDOWN": graceful}
    with emulated(executable, "ends.orderly", FUNCTIONS, log, variables) as function:
        assert function.invoke(b"{}") == b'"xx"'

    # The emulator may end before the runtime.
    for _ in range(100 if graceful == "1" else 20):
        if "member 0\n" in log.read_text():
            break
        time.sleep(0.02)
    ends = [line for line in log.read_text().splitlines() if line.startswith(("handler", "member"))]
    if graceful == "1":
        assert ends == ["handler", "handler", "member 2", "member 1", "member 0"]
        assert "Internal agent okibi" in log.read_text()
    else:
        assert not ends


@pytest.mark.slow
def test_an_init_error_is_the_response_to_the_first_event(executable: Path, tmp_path: Path) -> None:
    with emulated(executable, "app.nobody", FUNCTIONS, tmp_path / "log", {}) as function:
        answer = json.loads(function.invoke(b"{}"))

    assert answer["errorType"] == "Runtime.HandlerNotFound"
    assert answer["errorMessage"] == (
        "Handler 'nobody' missing on module 'app'; the module defines "
        "act, asynchronous, plain, answer, waits, leave, works"
    )


# The emulator passes a stream to the invoker in one piece and ignores trailers.
@pytest.mark.slow
def test_one_process_serves_streams_that_succeed_fail_or_are_too_long(
    executable: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with emulated(executable, "streams.yields", FUNCTIONS, log, {}) as function:
        whole = function.invoke(b"{}")
        assert [line.split()[0] for line in whole.splitlines()] == [b"0", b"1", b"2"]
        prelude, _, body = function.invoke(b'{"do": "http"}').partition(b"\0" * 8)
        assert (json.loads(prelude)["statusCode"], body) == (201, whole)
        assert function.invoke(b'{"do": "bytes", "size": 1048576}') == bytes(1 << 20)
        assert json.loads(function.invoke(b'{"do": "early"}'))["errorType"] == "ValueError"
        # With a trailer of over 4 KB, the emulator would refuse the whole response.
        for length in (1, 100_000):
            event = json.dumps({"do": "late", "text": "x" * length}).encode()
            assert function.invoke(event) == whole
        too_long = json.loads(function.invoke(b'{"do": "bytes", "size": 8388608}'))
        assert too_long["errorType"] == "Function.ResponseSizeTooLarge"
        assert function.invoke(b"{}") == whole

    assert log.read_text().count("the Runtime API refused") == 1
