"""Parse the function name of an invoke: a name or a (partial) ARN, with or without a qualifier.

The formats are those of `FunctionName` and `Qualifier` (Lambda Invoke).
"""

import re

import attrs

_PREFIX = (
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:)?(?:(?P<region>[a-z]+(?:-[a-z]+)+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?"
)
_NAME = r"[a-zA-Z0-9_.-]+"
_QUALIFIER = r"(?::(?P<qualifier>[a-zA-Z0-9$_.-]+))?"
_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9_-]+")


@attrs.frozen
class InvokeTarget:
    """The function that an invoke names.

    Args:
        name: the function's name.
        arn: the function's ARN without a qualifier.
        qualifier: a version or an alias, or "".
    """

    name: str
    arn: str
    qualifier: str


def parse_function_name(text: str, own_arn: str) -> InvokeTarget | None:
    """Parse `FunctionName`; return None if it has none of the formats.

    Args:
        text: the name, URL-decoded.
        own_arn: the ARN of the served function. It completes a partial `text`.
    """
    _, partition, _, region, account, _, own_name = own_arn.split(":")
    found = re.fullmatch(f"{_PREFIX}(?P<name>{_NAME}){_QUALIFIER}", text)
    if found is None:
        return None
    name, qualifier = found["name"], found["qualifier"] or ""
    if name != own_name and text == f"{own_name}:{name}":
        # `function:live` may also be the alias `live` of a function called `function`.
        name, qualifier = own_name, name
    partition, region = found["partition"] or partition, found["region"] or region
    account = found["account"] or account
    arn = f"arn:{partition}:lambda:{region}:{account}:function:{name}"
    return InvokeTarget(name, arn, qualifier)


def is_served(qualifier: str) -> bool:
    """Return whether a qualifier leads to the served code: `$LATEST` or any alias.

    An alias points at a version, and here all versions are the same code. A number names a
    published version, and nothing is published here.
    """
    return qualifier in ("", "$LATEST", "$LATEST.PUBLISHED") or bool(_ALIAS.fullmatch(qualifier))
