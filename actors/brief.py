"""Values as logs and errors show them: cut short, and whatever a user's `__repr__` does.

One of them may be an event of 6 MB. Another refuses to be shown at all: a whole number of more
than 4,300 digits raises ValueError. The news of an end must not fail for it, since callers wait
for that news.
"""

import reprlib


class _Brief(reprlib.Repr):
    """The standard library's, which passes on what some values raise when they are shown."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxstring = self.maxother = most

    def repr1(self, x: object, level: int) -> str:
        try:
            return super().repr1(x, level)
        except (Exception, SystemExit) as error:
            return f"<{type(x).__name__}, its repr raised {type(error).__name__}>"

    def repr_int(self, x: int, level: int) -> str:
        # Since 3.14 one that cannot be shown has its address for that, which is no two runs' same.
        repr(x)
        return super().repr_int(x, level)


brief = _Brief(100).repr


def said(error: BaseException) -> str:
    """What an exception says; its `__str__` is a user's."""
    try:
        return str(error)
    except (Exception, SystemExit):
        return "its __str__ failed"
