"""Make reStructuredText of the Markdown in docstrings: tables, indented code, stars."""

import re

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
    """Put `::` before each block that is indented by 4 and follows a paragraph and a blank line."""
    out: list[str] = []
    paragraph = 0
    for at, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip():
            code = indent >= paragraph + 4
            if code and at > 1 and not lines[at - 1].strip() and not out[-2].endswith("::"):
                out += [f"{' ' * paragraph}::", ""]
            if not code or (at and lines[at - 1].strip()):
                paragraph = indent if not code else paragraph
        out.append(line)
    return out
