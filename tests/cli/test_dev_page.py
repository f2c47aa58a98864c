"""The page on okibi dev: its commands are accepted, and do what the page says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main

from okibi.cli.commands import app
from tests.limits import HANG
from tests.support.okibi_dev import OkibiDev, run_okibi_dev

PAGE = (Path(__file__).parents[2] / "docs" / "dev.md").read_text("utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
SERVED = [
    section for section in PAGE.split("\n## ") if re.search(r"^\$ (curl|python)", section, re.M)
]


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("okibi dev")])
def test_each_command_of_the_page_is_accepted(command: str) -> None:
    dev = cast("Any", typer.main.get_command(app)).commands["dev"]

    dev.make_context("okibi dev", shlex.split(command)[2:])


def test_the_page_runs_only_commands_that_a_test_knows() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"okibi", "pip", "curl", "python", "aws"}


@pytest.mark.slow
def test_the_commands_of_the_page_print_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    folder.mkdir()
    for section in SERVED:
        blocks = BLOCK.findall(section)
        for _, text in blocks:
            # A block that begins with the name of a file is this file.
            if named := re.match(r"# ([\w.]+)\n", text):
                (folder / named[1]).write_text(text)
        # A section without a command of its own goes on with the functions before it.
        command = "".join(re.findall(r"^\$ okibi dev(.*)$", section, re.MULTILINE)[:1])
        with run_okibi_dev(folder, *shlex.split(command)) as dev:
            for commands in (text for kind, text in blocks if kind == "console"):
                check_commands(dev, folder, commands)
            for expected in (text for kind, text in blocks if kind == "text"):
                check_output(dev, expected)
            assert dev.end() == 130


def check_commands(dev: OkibiDev, folder: Path, commands: str) -> None:
    """Run the commands that call the server, and compare what they print."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", commands, re.MULTILINE):
        program, *arguments = shlex.split(command)
        if program not in ("curl", "python"):
            continue
        if program == "python":
            script = folder / arguments[0]
            script.write_text(at_port(script.read_text(), dev))
            program = sys.executable
        done = subprocess.run(
            [program, *(at_port(each, dev) for each in arguments)],
            cwd=folder, capture_output=True, text=True, timeout=HANG,
        )  # fmt: skip
        assert done.stdout.rstrip("\n") == expected.rstrip("\n"), done.stderr


def check_output(dev: OkibiDev, expected: str) -> None:
    """Wait for each line of a sample of the log; the figures may be others."""
    lines = [line for line in expected.splitlines() if line]
    missing = [line for line in lines if normalize(line) not in map(normalize, dev.output)]
    for line in missing:
        dev.wait_for(
            re.escape(normalize(line)).replace("N", r"[\d.]+").replace("ID", r"[0-9a-f-]+")
        )


def at_port(text: str, dev: OkibiDev) -> str:
    return text.replace("http://localhost:9000", dev.url)


def normalize(line: str) -> str:
    """Replace ids and figures."""
    return re.sub(r"\d[\d.]*", "N", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line))
