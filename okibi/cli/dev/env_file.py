"""Read a file of environment variables, as --env-file names it.

The syntax is that of Docker Compose and python-dotenv: `NAME=value`, `export` before it, single or
double quotes, comments. `$NAME` in a value is not replaced: a password may contain a dollar sign.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ...local.settings import RESERVED_VARIABLES
from ..arguments import BadInput
from ..input_files import read_text

__all__ = ["parse_variables", "read_env_file"]

NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*")
# A quoted value may contain line breaks.
SINGLE_QUOTED = re.compile(r"'([^']*)'")
DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
REST = re.compile(r"[ \t]*(#[^\n]*)?(?:\n|$)")
UNQUOTED = re.compile(r"[^\n]*")
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
    variables = dict[str, str]()
    position = counted = 0
    number = 1
    while position < len(text):
        end = text.find("\n", position) % (len(text) + 1)
        line = text[position:end].strip()
        if not line or line.startswith("#"):
            position = end + 1
            continue
        number += text.count("\n", counted, position)
        counted, place = position, f"line {number}"
        position += len(text[position:end]) - len(text[position:end].lstrip())
        name = NAME.match(text, position)
        if name is None:
            raise ValueError(f"{place}: no name of a variable; write NAME=value")
        if name[1] in RESERVED_VARIABLES:
            raise ValueError(f"{place}: Lambda sets {name[1]} itself; remove the line")
        position = name.end()
        if text[position : position + 1] == "=":
            variables[name[1]], position = _read_value(text, position + 1, name[1], place)
        else:
            rest = REST.match(text, position)
            if rest is None:
                raise ValueError(f"{place}: no '=' after {name[1]}; write {name[1]}=value")
            position = rest.end()
            if name[1] in shell:
                variables[name[1]] = shell[name[1]]
    return variables


def _read_value(text: str, position: int, name: str, place: str) -> tuple[str, int]:
    """Read a value; return it, and the position after its line."""
    while text[position : position + 1] in (" ", "\t"):
        position += 1
    quote = text[position : position + 1]
    if quote not in ("'", '"'):
        found = UNQUOTED.match(text, position)
        assert found is not None
        return COMMENT.sub("", found[0]).strip(), found.end() + 1
    quoted = (SINGLE_QUOTED if quote == "'" else DOUBLE_QUOTED).match(text, position)
    if quoted is None:
        raise ValueError(f"{place}: the value of {name} has no closing {quote}")
    rest = REST.match(text, quoted.end())
    if rest is None:
        raise ValueError(f"{place}: text after the closing {quote} of {name}; remove it")
    value = quoted[1]
    if quote == '"':
        value = ESCAPE.sub(lambda found: ESCAPES.get(found[1], found[1]), value)
    return value, rest.end()
