"""The default of every hook of a local Lambda."""

__all__ = ["ignore"]


def ignore(*_: object) -> None:
    """Do nothing."""
