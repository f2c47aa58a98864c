"""Results into JSON, compiled (`encoder.c`); it is there where a compiler was."""

def encode_escaped(value: object, /) -> bytes | None:
    """A value as JSON, what is beyond ASCII as `\\u` and four digits.

    Returns:
        None for what this leaves to others.
    """

def encode_unescaped(value: object, /) -> bytes | None:
    """The same in UTF-8."""
