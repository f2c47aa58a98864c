"""Make reStructuredText of the Markdown in docstrings: tables, indented code, stars."""

import re
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from contextlib import suppress
from functools import partial
from itertools import takewhile
from textwrap import dedent

ROW = re.compile(r"^\s*\|.*\|\s*$")
RULE = re.compile(r"^\s*\|(\s*:?-+:?\s*\|)+\s*$")


def convert(lines: list[str]) -> list[str]:
    """Convert a docstring's lines."""
    lines = _mark_code(lines)
    out: list[str] = []
    at = 0
    while at < len(lines):
        if ROW.match(lines[at]) and at + 1 < len(lines) and RULE.match(lines[at + 1]):
            end = at
            while end < len(lines) and ROW.match(lines[end]):
                end += 1
            out += ["", *_list_table([lines[at], *lines[at + 2 : end]]), ""]
            at = end
        else:
            out.append(_escape(lines[at]))
            at += 1
    return out


def _list_table(rows: list[str]) -> list[str]:
    table = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        cells = [cell.strip().replace("\\|", "|") for cell in row.strip()[1:-1].split(" |")]
        for n, cell in enumerate(cells):
            table.append(f"   {'*' if n == 0 else ' '} - {_escape(cell)}".rstrip())
    return table


def _escape(line: str) -> str:
    return re.sub(
        r"(?<![\\`*\w])(\*{1,2})(args|kwargs)\b", lambda m: "\\*" * len(m[1]) + m[2], line
    )


def _mark_code(lines: list[str]) -> list[str]:
    """Mark each block that is indented by 4 after a paragraph and a blank line as code."""
    out: list[str] = []
    paragraph, in_code = 0, False
    for at, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip():
            after_blank = at > 0 and not lines[at - 1].strip()
            if indent < paragraph + 4 or (not in_code and not after_blank):
                paragraph, in_code = indent if indent < paragraph + 4 else paragraph, False
            elif not in_code:
                prefix = " " * (paragraph + 4)
                block = list(takewhile(partial(_is_in_block, prefix), lines[at:]))
                kind = "python" if _is_python(block) else "text"
                out += [f"{' ' * paragraph}.. code-block:: {kind}", ""]
                in_code = True
        out.append(line)
    return out


def _is_in_block(prefix: str, line: str) -> bool:
    return not line.strip() or line.startswith(prefix)


def _is_python(block: list[str]) -> bool:
    with suppress(SyntaxError):
        compile(dedent("\n".join(block)), "block", "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return True
    return False
