"""The command `okibi`."""

import sys

__all__ = ["main"]

PACKAGE_MISSING = "okibi: {} is not installed; run: pip install 'okibi[cli]'"


def main() -> int:
    """Run the command line and return the exit code."""
    try:
        return _run()
    except KeyboardInterrupt:
        return 130


def _run() -> int:
    try:
        from .commands import app
    except ImportError as error:
        print(PACKAGE_MISSING.format(error.name), file=sys.stderr)
        return 1
    app(prog_name="okibi")
    return 0


if __name__ == "__main__":
    sys.exit(main())
