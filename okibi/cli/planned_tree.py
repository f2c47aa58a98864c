"""`okibi tree`: print the supervision tree of a function that does not run."""

from collections.abc import Iterator

import attrs
import msgspec

from ..local import FunctionSettings
from ..observer.tree_text import draw
from ..project.probe.load_function import load_function
from ..project.probe.static_tree import TreeNode
from ..project.start_errors import describe_load_error
from .output import write_err, write_text

GOOD, FUNCTION_ERROR = 0, 1
OUTPUT = "the tree"


async def print_tree(settings: FunctionSettings, *, json: bool = False) -> int:
    """Print the supervision tree of a function.

    Args:
        settings: the settings of the function.
        json: whether to print JSON in place of text.

    Returns:
        The exit code: 0, 1 if the function does not load.
    """
    report, _ = await load_function(settings)
    if report.error is not None or report.tree is None:
        assert report.error is not None
        write_err(f"okibi: {describe_load_error(settings, report.error)}")
        return FUNCTION_ERROR
    if json:
        text = msgspec.json.format(msgspec.json.encode(attrs.asdict(report.tree))).decode()
    else:
        text = draw_tree(report.tree)
    write_text(f"{text}\n", OUTPUT)
    return GOOD


def draw_tree(tree: TreeNode) -> str:
    """Draw a tree, one line for each actor and at most 20 children of each supervisor."""
    return "\n".join(draw(tree, _describe))


def _describe(node: TreeNode) -> Iterator[str]:
    kind = f" ({node.actor})" if node.actor != "Supervisor" else ""
    yield f"{node.id}{kind}"
    if node.kind == "supervisor":
        if node.strategy == "dynamic":
            yield "children start while it runs"
        elif node.strategy:
            yield node.strategy
        if node.intensity is not None:
            times = "restart" if node.intensity == 1 else "restarts"
            yield f"at most {node.intensity} {times} in {node.period:g} s"
        if node.backoff is not None:
            times = f"{node.backoff.immediate} x at once, then " if node.backoff.immediate else ""
            delays = f"{node.backoff.first:g} to {node.backoff.maximum:g} s"
            yield f"restarts {times}after delays of {delays}"
    if node.restart and (node.kind == "worker" or node.restart != "permanent"):
        yield node.restart
    if node.name and node.name != node.id:
        yield f"name {node.name!r}"
