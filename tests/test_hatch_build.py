"""The encoder is compiled with hardening and with the user's flags."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endurance.encoders import hook
from tests.test_wheel import ROOT, needs_both

HARDENING = (
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-D_FORTIFY_SOURCE=2",
    "-Wl,-z,relro",
    "-Wl,-z,now",
    "-Wl,-z,noexecstack",
)

pytestmark = [
    needs_both,
    pytest.mark.skipif(sys.platform != "linux", reason="not an ELF file"),
    pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils is not installed"),
]


@pytest.fixture(autouse=True)
def no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS"):
        monkeypatch.delenv(name, raising=False)


def said(of: str, made: Path) -> str:
    """Return the output of `readelf` for a file."""
    return subprocess.run(
        ["readelf", "--wide", of, str(made)], capture_output=True, text=True, check=True
    ).stdout


def a_compiler(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set `CC` to a script that compiles nothing; return the file with its commands."""
    program, commands = folder / "compiler", folder / "commands"
    program.write_text(
        f'#!/bin/sh\n{script}\necho "$@" >> {commands}\nfor made; do :; done; : > $made'
    )
    program.chmod(0o755)
    monkeypatch.setenv("CC", str(program))
    return commands


@pytest.mark.slow
def test_the_encoder_is_hardened_and_contains_no_path_of_the_build(
    tmp_path: Path,
) -> None:
    made = tmp_path / "native.abi3.so"
    assert hook().compiled(ROOT / hook().SOURCE, made) == ""

    segments, dynamic = said("--program-headers", made), said("--dynamic", made)
    assert "GNU_RELRO" in segments
    (stack,) = (line for line in segments.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack
    assert "BIND_NOW" in dynamic or "Flags: NOW" in dynamic
    # It detects a stack overflow.
    assert "__stack_chk_fail" in said("--dyn-syms", made)
    assert "PATH" not in dynamic
    assert sys.base_prefix.encode() not in made.read_bytes()


def test_flags_of_the_environment_come_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = a_compiler(tmp_path, "", monkeypatch)
    monkeypatch.setenv("CPPFLAGS", "-DONE='1 2'")
    monkeypatch.setenv("CFLAGS", "-O1 -fno-stack-protector")
    monkeypatch.setenv("LDFLAGS", "-Wl,-z,lazy")

    assert hook().compiled(ROOT / hook().SOURCE, tmp_path / "native.abi3.so") == ""

    (command,) = commands.read_text().splitlines()
    flags = "-DONE=1 2 -O1 -fno-stack-protector -Wl,-z,lazy"
    assert command.index(HARDENING[-1]) < command.index(f" {flags} ")


@pytest.mark.parametrize("refused", [HARDENING[1], HARDENING[-1]])
def test_a_flag_that_the_compiler_refuses_is_omitted(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = f'case " $* " in *" {refused} "*) echo unknown >&2; exit 1;; esac'
    commands = a_compiler(tmp_path, refuse, monkeypatch)

    assert hook().compiled(ROOT / hook().SOURCE, tmp_path / "native.abi3.so") == ""

    *_, last = commands.read_text().splitlines()
    assert [flag for flag in HARDENING if flag not in last.split()] == [refused]


def test_the_interpreters_folders_and_processor_flags_are_omitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = "-Wall -O3 -march=native -isystem /its/own -fwrapv -I/its/own -fno-plt"
    monkeypatch.setattr("sysconfig.get_config_var", {"CFLAGS": flags}.get)

    assert hook().optional_flags() == ["-fwrapv", "-fno-plt", *hook().HARDENED, *HARDENING[-3:]]


@pytest.mark.parametrize(
    ("flags", "why"),
    [("-fnot-a-flag", "-fnot-a-flag"), ("'-O2", """CFLAGS="'-O2" cannot be read: No closing""")],
)
def test_wrong_flags_of_the_environment_are_reported(
    flags: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", flags)

    assert why in hook().compiled(ROOT / hook().SOURCE, tmp_path / "native.abi3.so")
    assert [*tmp_path.iterdir()] == []
