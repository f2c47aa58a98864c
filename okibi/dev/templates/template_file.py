"""Read a SAM or CloudFormation template: YAML with CloudFormation's short forms, or JSON.

Each scalar of a YAML template stays the text that is written there, as in CloudFormation: `1.10` is
no number, and `yes` no truth value.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from ...project.bad_input import BadInput
from ...project.input_files import read_text

# The types of resources that okibi dev serves.
FUNCTIONS = frozenset({"AWS::Serverless::Function", "AWS::Lambda::Function"})
WITHOUT_PREFIX = ("Ref", "Condition")
# Levels of nested mappings and lists. Python's own stack ends at some 300 of them.
MAX_DEPTH = 100
TOO_DEEP = f"has over {MAX_DEPTH} levels of mappings and lists; make it flatter"
# Values of a YAML template, those behind its aliases included. 1 MB of text has about half.
MAX_VALUES = 100_000


class _TemplateLoader(yaml.SafeLoader):
    """Reads each scalar as text, `<<` as a merge key, and `!Sub text` as `{"Fn::Sub": text}`.

    A node counts again for each alias of it, because whoever walks the template meets it again.
    """

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = self._deepest = 0
        self._measures: dict[int, tuple[int, int]] = {}
        """The number of values and the levels of each node that has been composed."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, and count it; refuse too many of them, and a circle."""
        event = cast("Any", self).peek_event()
        line, before, deepest = event.start_mark.line + 1, self._values, self._deepest
        self._deepest = 0
        self._depth += 1
        self._check(line, 1, 0)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._measures:
                raise ValueError(
                    f"*{event.anchor} in line {line} contains itself; write the value without an"
                    " alias"
                )
            values, levels = self._measures[id(node)]
            self._check(line, values - 1, levels)
        else:
            levels = self._deepest + 1
            self._measures[id(node)] = self._values - before, levels
        self._deepest = max(deepest, levels)
        return node

    def _check(self, line: int, values: int, levels: int) -> None:
        self._values += values
        if self._depth + levels > MAX_DEPTH:
            raise ValueError(f"line {line} {TOO_DEEP}")
        if self._values > MAX_VALUES:
            raise ValueError(
                f"has over {MAX_VALUES:,} values with those of its aliases, up to line {line};"
                " use fewer aliases"
            )


def _construct(loader: Any, suffix: str, node: Any) -> dict[str, object]:
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in WITHOUT_PREFIX else f"Fn::{suffix}": value}


yaml.add_multi_constructor("!", _construct, _TemplateLoader)


def read_template(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Read a template.

    Returns:
        The template, and its duplicate keys as `parse_template` returns them.

    Raises:
        BadInput: the file cannot be read, or is no template.
    """
    try:
        return parse_template(read_text(path, f"--template {path}"))
    except ValueError as error:
        raise BadInput(f"--template {path}: {error}") from error


def parse_template(text: str) -> tuple[dict[str, Any], list[str]]:
    """Parse a template.

    Returns:
        The template, and the keys that stand twice in one mapping, with their lines. As in
        CloudFormation, the last one counts.

    Raises:
        ValueError: the text is no template; the message says where.

    >>> parse_template("Resources: {A: {Type: T, Properties: {Name: !Sub '${B}-1'}}}")
    ({'Resources': {'A': {'Type': 'T', 'Properties': {'Name': {'Fn::Sub': '${B}-1'}}}}}, [])
    """
    content, duplicates = parse_document(text)
    template = as_mapping(content)
    if not as_mapping(template.get("Resources")):
        raise ValueError("has no Resources; give a SAM or CloudFormation template")
    return template, duplicates


def parse_document(text: str) -> tuple[object, list[str]]:
    """Parse YAML with CloudFormation's short forms, or JSON.

    Returns:
        The content, and the duplicate keys as `parse_template` returns them.

    Raises:
        ValueError: the text is neither; the message says where.
    """
    duplicates = list[str]()
    try:
        if text.lstrip().startswith("{"):
            content = json.loads(text)
            _check_depth(content)
        else:
            loader: Any = _TemplateLoader(text)
            if (root := loader.get_single_node()) is None:
                content = None
            else:
                duplicates += _find_duplicates(root, set())
                content = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"not YAML ({error.problem}{place}); correct the file there") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML ({error}); correct the file there") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}); correct the file there") from error
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    return content, duplicates


def _check_depth(content: object) -> None:
    """Check that JSON has at most MAX_DEPTH levels, one level after the other."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [below for value in level for below in _list_below(value)]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _list_below(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*cast("dict[str, object]", value).values()]
    return cast("list[object]", value) if isinstance(value, list) else []


def _find_duplicates(node: Any, seen: set[int]) -> Iterator[str]:
    """Find the keys that stand twice in one mapping. An anchor's node is visited once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    match node:
        case yaml.MappingNode():
            keys = set[str]()
            for key, value in node.value:
                if str(key.value) in keys:
                    yield f"{key.value} in line {key.start_mark.line + 1}"
                keys.add(str(key.value))
                yield from _find_duplicates(value, seen)
        case yaml.SequenceNode():
            for value in node.value:
                yield from _find_duplicates(value, seen)
        case _:
            pass


def as_mapping(value: object) -> dict[str, Any]:
    """Return a mapping of a template; empty in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_text(value: object) -> str:
    """Write a scalar as CloudFormation does.

    >>> as_text(True), as_text(3)
    ('true', '3')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
