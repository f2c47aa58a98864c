"""Test the compiled encoder in its current source: `python -m tests.endurance.encoders`.

Random values are encoded by it and by `codec.reference_json`, which defines the rules.
`--sanitized`
uses the compiler's sanitizers (addresses, undefined behaviour), if available.
"""

import argparse
import importlib.util
import math
import os
import random
import subprocess
import sys
import tempfile
from functools import cache
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

from okibi.runtime.codec import reference_json

ROOT = Path(__file__).parents[2]
SANITIZED = (
    "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-U_FORTIFY_SOURCE",
)  # fmt: skip
EDGES = [0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**30, 1e16, 1e22, 1e-4, 1e-5,
         -0.0, 5e-324, 1.7976931348623157e308, 0.1, math.inf, -math.inf, math.nan]  # fmt: skip
ODD = [b"b", {1}, {None: 1}, {1.5: 1}, {True: 1}, "\ud800", "\udfff", 1j, (), [], {}]


def _load(name: str, path: Path) -> Any:
    loader = ExtensionFileLoader(name, str(path)) if path.suffix == ".so" else None
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def hook() -> Any:
    """Return the build hook that compiles the encoder at installation."""
    return _load("hatch_build", ROOT / "hatch_build.py")


def made(folder: Path, *flags: str) -> Any:
    """Return the encoder, compiled into a folder; or the reason why it cannot be compiled."""
    path = folder / "native.abi3.so"
    return hook().compiled(ROOT / hook().SOURCE, path, *flags) or _load("native", path)


def value(chance: random.Random, deep: int) -> Any:
    """Return a value that a handler may return, mostly JSON types."""
    kind = chance.randrange(9 if deep else 7)
    match kind:
        case 0 | 1 | 2:
            return text(chance)
        case 3:
            return chance.choice([None, True, False])
        case 4:
            return chance.choice(EDGES) if chance.random() < 0.3 else chance.randrange(-1000, 1000)
        case 5:
            return chance.uniform(-1, 1) * 10 ** chance.randrange(-30, 30)
        case 6:
            return chance.choice(ODD) if chance.random() < 0.05 else chance.randrange(2**64) - 2**63
        case 7:
            inner = [value(chance, deep - 1) for _ in range(chance.randrange(6))]
            return tuple(inner) if chance.random() < 0.3 else inner
        case _:
            return {text(chance): value(chance, deep - 1) for _ in range(chance.randrange(6))}


def text(chance: random.Random) -> str:
    """Return a text of any length, with unusual characters anywhere."""
    length = chance.choice([0, 1, 3, 7, 8, 9, 15, 16, 17, 40, 500, 5000])
    plain = "".join(chance.choices("abc xyz019/-_", k=length))
    for _ in range(chance.choice([0, 0, 0, 1, 3, 20])):
        at = chance.randrange(len(plain) + 1)
        odd = chr(
            chance.choice([chance.randrange(0x80), chance.randrange(0xD800), 0x1F600, 0xFFFF])
        )
        plain = plain[:at] + odd + plain[at:]
    return plain


def compare(encoder: Any, count: int, seed: int) -> tuple[int, int]:
    """Compare encoded values; return how many were encoded and how many left. Raise on a
    difference.
    """
    said = left = 0
    for number in range(count):
        each = value(random.Random(seed + number), 4)
        for encode, escaped in ((encoder.encode_escaped, True), (encoder.encode_unescaped, False)):
            body = encode(each)
            if body is None:
                left += 1
                continue
            said += 1
            right = reference_json.encode(each, escaped=escaped)
            assert body == right, f"seed {seed + number}: {each!r}: {body!r}, expected {right!r}"
    return said, left


def watched(count: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Compare in a process with sanitizers; its output says why if there are none."""
    found = subprocess.run(
        [*(hook().compiler() or ["cc"]), "-print-file-name=libasan.so"], capture_output=True,
        text=True, check=False,
    ).stdout.strip()  # fmt: skip
    variables = {"LD_PRELOAD": found, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-m", "tests.endurance.encoders", str(count), "--seed", str(seed)]
    return subprocess.run(
        [*command, "--watched"], cwd=ROOT, env={**os.environ, **variables}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def main() -> int:
    """Compare; return 1 if something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sanitized and hook().compiler():
        done = watched(given.count, given.seed)
        print(done.stdout + done.stderr, end="")
        return done.returncode
    with tempfile.TemporaryDirectory() as folder:
        encoder = made(Path(folder), *(SANITIZED if given.watched else ()))
        if isinstance(encoder, str):
            print(f"the encoder cannot be compiled here: {encoder}")
            return 0
        said, left = compare(encoder, given.count, given.seed)
    how = ", watched by the compiler" if given.watched else ""
    print(f"encoder, seed {given.seed}: {said:,} encoded, {left:,} left to others, 0 wrong{how}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
