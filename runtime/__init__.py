"""The AWS Lambda runtime made of actors.

The third floor of okibi. `Function` and `Handler` are what a function is written with;
`python -P -m runtime` serves it.
"""

from .context import Context
from .function import Function, InvalidCount, InvalidHandler, Workers
from .handler import Handler

__all__ = ["Context", "Function", "Handler", "InvalidCount", "InvalidHandler", "Workers"]
