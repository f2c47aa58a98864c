"""The command `okibi`."""

import sys

PACKAGE_MISSING = "okibi: {} is not installed; run: pip install 'okibi[cli]'"


def main() -> None:
    """Run the command line. Typer raises SystemExit with the exit code.

    Raises:
        SystemExit: also if a package of the extra `cli` is missing, and after Ctrl-C during the
            import (130).
    """
    try:
        try:
            from .commands import app
        except ImportError as error:
            sys.exit(PACKAGE_MISSING.format(error.name))
        app(prog_name="okibi")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
