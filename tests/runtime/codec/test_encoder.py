"""The compiled encoder writes the bytes of `codec.reference_json`, or returns None."""

import collections
import enum
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okibi.runtime.codec import reference_json
from okibi.runtime.codec.json import MarshalError, _encode_nothing, _official_encoder
from okibi.runtime.protocol.outcome import Outcome
from tests.endurance.encoders import ODD, ROOT, compare, made, watched

Encode = Callable[[object], bytes | None]
DEEPEST = 100
# Examples per property; `make fuzz` runs many.
EXAMPLES = 30

KNOWN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(st.text(), inner)
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    compiled = made(tmp_path_factory.mktemp("encoder"))
    if isinstance(compiled, str):
        pytest.skip(compiled)
    return compiled


@pytest.fixture(params=["encode_escaped", "encode_unescaped"])
def encode(request: pytest.FixtureRequest, encoder: Any) -> Any:
    return getattr(encoder, request.param)


def right(encode: Any, value: object) -> bytes:
    return reference_json.encode(value, escaped=encode.__name__ == "encode_escaped")


@settings(deadline=None, max_examples=EXAMPLES)
@given(value=KNOWN)
def test_json_types_are_encoded_to_the_reference_s_bytes(encoder: Any, value: object) -> None:
    for encode in (encoder.encode_escaped, encoder.encode_unescaped):
        assert encode(value) == right(encode, value)


def test_any_value_is_encoded_to_the_reference_s_bytes_or_left(encoder: Any) -> None:
    seed = random.randrange(2**32)

    said, left = compare(encoder, 2000, seed)

    assert said > left > 0, f"seed {seed}"


def test_each_character_is_encoded_alike_at_every_offset(encode: Any) -> None:
    for before in range(18):
        for character in map(chr, [*range(0x100), 0x7FF, 0x800, 0x2028, 0xFFFF, 0x10000, 0x10FFFF]):
            text = "a" * before + character + "b" * 9
            assert encode(text) == right(encode, text)


@pytest.mark.parametrize("length", [*range(4085, 4100), 8192, 100_000])
def test_a_result_longer_than_the_first_buffer_is_complete(encode: Any, length: int) -> None:
    for value in ("a" * length, "\n" * length, ["é"] * (length // 4), [1] * (length // 3)):
        assert encode(value) == right(encode, value)


class Text(str):
    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


Pair = collections.namedtuple("Pair", "a b")
LEFT: list[Any] = [
    Text("t"), Level.HIGH, type("Real", (float,), {})(1.5), type("Many", (list,), {})(), Pair(1, 2),
    collections.OrderedDict(a=1), {Text("k"): 1}, {1: 1}, {"a": 1, None: 1}, {(): 1},
    float("nan"), float("inf"), 2**63, -(2**63) - 1, "\ud800", {"\udfff": 1}, b"b", {1}, 1j, ...,
    object(),
]  # fmt: skip


@pytest.mark.parametrize("value", LEFT, ids=lambda value: repr(value).partition(" at 0x")[0])
def test_an_unsupported_value_is_left_at_any_depth(encode: Encode, value: object) -> None:
    assert encode(value) is None
    assert encode(["a" * 5000, {"a": ({"b": [1, value]},)}]) is None


def test_too_deep_and_circular_values_are_left(encode: Encode) -> None:
    deep: Any = 1
    for _ in range(DEEPEST):
        deep = [deep]
    endless: dict[str, Any] = {}
    endless["a"] = [endless, endless]

    assert encode(deep) == b"[" * DEEPEST + b"1" + b"]" * DEEPEST
    assert encode([deep]) is None
    assert encode({"a": deep}) is None
    assert encode(endless) is None


def test_encoding_leaks_no_reference(encode: Encode) -> None:
    said, left = ["a" * 5000, {"a": [1.5]}], [["b" * 5000, object()]]
    before = [sys.getrefcount(each) for each in (*said, *left, None, said[1])]
    for _ in range(100):
        encode(said)
        encode(left)

    after = [sys.getrefcount(each) for each in (*said, *left, None, said[1])]
    assert sum(after) - sum(before) < 50


# The headers of Python 3.12, and of 3.13 up to 3.13.4.
HEADERS_WHERE_NONE_IS_IMMORTAL = """
#include_next <Python.h>
#undef Py_RETURN_NONE
#define Py_RETURN_NONE return Py_None
"""


@pytest.mark.slow
def test_built_with_newer_headers_the_encoder_keeps_none_s_references(
    tmp_path: Path,
) -> None:
    (tmp_path / "Python.h").write_text(HEADERS_WHERE_NONE_IS_IMMORTAL)
    encoder = made(tmp_path, f"-I{tmp_path}")
    if isinstance(encoder, str):
        pytest.skip(encoder)
    before = sys.getrefcount(None)
    for _ in range(100):
        encoder.encode_escaped(1j)

    assert sys.getrefcount(None) > before - 50


def test_encoding_leaks_no_memory(encode: Encode) -> None:
    values: list[Any] = [["a" * 20_000], [1.5] * 1000, ["b" * 20_000, object()]]
    tracemalloc.start()
    try:
        for value in values:
            encode(value)
        before, _ = tracemalloc.get_traced_memory()
        for value in values * 20:
            encode(value)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 20_000


def _peak(do: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_circular_value_is_written_at_most_once(encode: Encode) -> None:
    endless: list[Any] = ["a" * 100_000]
    endless.append({"a": (endless,)})
    twice = ["b"]

    assert _peak(lambda: encode(endless)) < 1_000_000
    assert encode(endless) is None
    assert encode([twice, {"a": twice}, twice]) == b'[["b"], {"a": ["b"]}, ["b"]]'


@pytest.mark.parametrize("escaped", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "large", [{"body": "a" * 100_000}, {"a": ["é" * 50_000]}, {"a": [*range(20_000)]}],
    ids=["long text", "nested text", "many values"],
)  # fmt: skip
def test_a_large_circular_result_is_refused_in_little_memory(
    encoder: Any, escaped: bool, large: dict[str, Any]
) -> None:
    endless = {**large}
    endless["self"] = endless

    compiled = encoder.encode_escaped if escaped else encoder.encode_unescaped
    for say in [
        _official_encoder(escaped=escaped, compiled=each) for each in (compiled, _encode_nothing)
    ]:

        def refused(say: Callable[[Any], Outcome] = say) -> None:
            with pytest.raises(MarshalError, match="Circular reference detected"):
                say(endless)

        assert _peak(refused) < 10_000_000


def test_a_failed_allocation_raises_memory_error(encode: Encode) -> None:
    testcapi = pytest.importorskip("_testcapi", reason="this Python has no _testcapi")
    value = [1.5, "a" * 5000, "é" * 100, ["b" * 20_000]]
    bodies = [encode(value)]
    for begin in range(12):
        testcapi.set_nomemory(begin, begin + 1)
        try:
            body = encode(value)
        except MemoryError:
            body = None
        finally:
            testcapi.remove_mem_hooks()
        bodies.append(body)

    assert {*bodies} == {None, right(encode, value)}
    assert bodies.count(None) >= 3


@pytest.mark.slow
@settings(deadline=None, max_examples=EXAMPLES)
@given(values=st.lists(st.one_of(KNOWN, st.sampled_from([*ODD, *LEFT])), max_size=5))
def test_a_result_is_the_same_with_and_without_the_compiled_encoder(
    encoder: Any, values: list[object]
) -> None:
    def said(say: Callable[[Any], Outcome]) -> Outcome | str:
        try:
            return say(values)
        except MarshalError as error:
            return str(error)

    for escaped, compiled in ((True, encoder.encode_escaped), (False, encoder.encode_unescaped)):
        with_it = said(_official_encoder(escaped=escaped, compiled=compiled))
        assert with_it == said(_official_encoder(escaped=escaped, compiled=_encode_nothing))


@pytest.mark.slow
def test_every_rule_of_results_holds_without_the_compiled_encoder() -> None:
    without = "import sys; sys.modules['okibi.runtime.system.native'] = None; import pytest; "
    tests = ["tests/runtime/codec/test_reference_json.py"]
    run = f"sys.exit(pytest.main(['-q', *{tests}]))"
    done = subprocess.run(
        [sys.executable, "-c", without + run],
        cwd=ROOT,
        # In CI Hypothesis sets no time limit per example.
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_sanitizers_find_nothing(tmp_path: Path) -> None:
    if isinstance(why := made(tmp_path), str):
        pytest.skip(why)
    done = watched(300, seed := random.randrange(2**32))

    if "cannot find -l" in done.stdout or "cannot be preloaded" in done.stderr:
        pytest.skip(f"nothing watches here: {done.stdout or done.stderr}")
    assert "0 wrong, watched" in done.stdout, f"seed {seed}: {done}"
    assert done.returncode == 0


@pytest.mark.slow
def test_without_a_compiler_the_comparison_is_skipped() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.endurance.encoders", "1", "--sanitized"],
        cwd=ROOT, env={**os.environ, "CC": "", "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout.startswith("the encoder cannot be compiled here: "), done
    assert done.returncode == 0
