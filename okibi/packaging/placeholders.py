"""Placeholders: values that stand for the values of environment variables in a recorded start."""

import re

# The beginning of the placeholder of a variable that is not set.
PLACEHOLDER = "placeholder"

LETTER = re.compile(r"[^\W\d_]|[^\x00-\x7f]")
DIGIT = re.compile(r"[0-9]")
ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
LOOPBACK = "127.0.0.2"
# By digit, another one: a number stays positive, and a port stays a port.
OTHER_DIGIT = "1212345678"


def make_placeholder(value: str) -> str:
    """Return a value of the same shape as another value.

    A number stays a number, a list a list, and a URL keeps its scheme. Each letter becomes `q`: no
    domain of the internet has such a name. An IPv4 address becomes an address of this machine.

    Args:
        value: the value of a variable.

    Returns:
        The placeholder. It differs from the value, unless the value is "".
    """
    scheme, colon, rest = value.rpartition("://")
    made = DIGIT.sub(lambda digit: OTHER_DIGIT[int(digit[0])], LETTER.sub("q", rest))
    made = scheme + colon + ADDRESS.sub(LOOPBACK, made)
    return f"{made}q" if made == value != "" else made
