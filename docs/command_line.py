"""Write the help of each command into docs/command-line.md: `python docs/command_line.py`.

A section `## okibi NAME` has the help in its first text block.
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("command-line.md")
SECTION = re.compile(r"^(## okibi ([\w-]+)\n.*?```text\n)(.*?)(?=```)", re.DOTALL | re.MULTILINE)


def read_help(command: str) -> str:
    """Return the help of a command, or of `okibi` for an empty text."""
    return subprocess.run(
        [sys.executable, "-m", "okibi.cli", *filter(None, [command]), "--help"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def main() -> None:
    """Write the page."""
    page = PAGE.read_text("utf-8")
    written = SECTION.sub(lambda section: section[1] + read_help(section[2]), page)
    PAGE.write_text(written, "utf-8")


if __name__ == "__main__":
    main()
