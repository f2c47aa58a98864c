"""Read a SAM or CloudFormation template: YAML with CloudFormation's short forms, or JSON.

Each scalar of a YAML template stays the text that is written there, as in CloudFormation: `1.10` is
no number, and `yes` no truth value.
"""

import json
from pathlib import Path
from typing import Any, cast

import yaml

from ..arguments import BadInput

__all__ = ["FUNCTIONS", "as_mapping", "as_text", "parse_template", "read_template"]

FUNCTIONS = frozenset({"AWS::Serverless::Function", "AWS::Lambda::Function"})
"""The types of resources that okibi dev serves."""
WITHOUT_PREFIX = ("Ref", "Condition")


class _TemplateLoader(yaml.BaseLoader):
    """Reads `!Sub text` as `{"Fn::Sub": text}`."""


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


def read_template(path: Path) -> dict[str, Any]:
    """Read a template.

    Raises:
        BadInput: the file cannot be read, or is no template.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadInput(f"--template {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"--template {path}: is not UTF-8; save the file as UTF-8") from error
    try:
        return parse_template(text)
    except ValueError as error:
        raise BadInput(f"--template {path}: {error}") from error


def parse_template(text: str) -> dict[str, Any]:
    """Parse a template.

    Raises:
        ValueError: the text is no template; the message says where.

    >>> parse_template("Resources: {A: {Type: T, Properties: {Name: !Sub '${B}-1'}}}")
    {'Resources': {'A': {'Type': 'T', 'Properties': {'Name': {'Fn::Sub': '${B}-1'}}}}}
    """
    try:
        if text.lstrip().startswith("{"):
            content = json.loads(text)
        else:
            content = yaml.load(text, _TemplateLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"not YAML ({error.problem}{place}); correct the file there") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML ({error}); correct the file there") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}); correct the file there") from error
    template = as_mapping(content)
    if not as_mapping(template.get("Resources")):
        raise ValueError("has no Resources; give a SAM or CloudFormation template")
    return template


def as_mapping(value: object) -> dict[str, Any]:
    """Return a mapping of a template; empty in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_text(value: object) -> str:
    """Write a scalar as CloudFormation does.

    >>> as_text(True), as_text(3)
    ('true', '3')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
