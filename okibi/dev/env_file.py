"""Read a file of environment variables, as --env-file names it.

The syntax is that of Docker Compose: `NAME=value`, `export` before it, single or double quotes,
comments. `$NAME` in a value is not replaced: a password may contain a dollar sign.

Rejected: python-dotenv. Its `dotenv_values` only logs a line that it cannot read, and it keeps the
backslash of `"\\$"`, which users of Docker Compose write.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..local.settings import RESERVED_VARIABLES
from ..project.bad_input import BadInput
from ..project.input_files import read_text

# A variable, a comment or an empty line. A quoted value may contain line breaks.
ENTRY = re.compile(
    r"""
    [ \t]*
    (?: (?:export[ \t]+)? (?P<name>[A-Za-z_][A-Za-z0-9_.-]*) [ \t]*
        (?: =[ \t]*
            (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<plain>(?![ \t'"])[^\n]*) )
        )?
    )?
    [ \t]* (?:\#[^\n]*)? (?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
MALFORMED = "must be NAME=value; close each quotation, and write only a comment after it"
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
COMMENT = re.compile(r"(^|[ \t])#.*")


def read_env_file(path: str) -> dict[str, str]:
    """Read a file of environment variables.

    Raises:
        BadInput: the file cannot be read, or a line is wrong. The sentence quotes no value.
    """
    text = read_text(Path(path), f"--env-file {path}", pipe=True)
    if text.lstrip().startswith("{"):
        # Such as the file of `sam local --env-vars`.
        raise BadInput(f"--env-file {path}: is JSON; write a line NAME=value for each variable")
    try:
        return parse_variables(text, os.environ)
    except ValueError as error:
        raise BadInput(f"--env-file {path}, {error}") from error


def parse_variables(text: str, shell: Mapping[str, str]) -> dict[str, str]:
    r"""Parse environment variables.

    Args:
        text: the content of a file.
        shell: variables of the shell. A line with a name alone takes the value from them, as in
            `docker run --env-file`.

    Raises:
        ValueError: a line is wrong. The sentence quotes no value.

    >>> parse_variables("# levels\nexport LEVEL=info # of logs\nTITLE='a b'\nEMPTY=\n", {})
    {'LEVEL': 'info', 'TITLE': 'a b', 'EMPTY': ''}
    """
    text = text.replace("\r\n", "\n")
    variables: dict[str, str] = {}
    position = 0
    while position < len(text):
        entry = ENTRY.match(text, position)
        if entry is None or entry["name"] in RESERVED_VARIABLES:
            line = text.count("\n", 0, position) + 1
            why = MALFORMED if entry is None else f"Lambda sets {entry['name']} itself; remove it"
            raise ValueError(f"line {line}: {why}")
        name, value = entry["name"], _read_value(entry)
        if name and value is None:
            value = shell.get(name)
        if value is not None:
            variables[name] = value
        position = entry.end()
    return variables


def _read_value(entry: re.Match[str]) -> str | None:
    """Return the value of an entry; None for a name alone."""
    if entry["plain"] is not None:
        return COMMENT.sub("", entry["plain"]).strip()
    if entry["double"] is not None:
        return ESCAPE.sub(lambda found: ESCAPES.get(found[1], found[1]), entry["double"])
    return entry["single"]
