"""Which function an invoke names: by a name, a partial ARN or an ARN, with a qualifier or without.

The forms are those of `FunctionName` and `Qualifier` (Lambda Invoke).
"""

import re

import attrs

__all__ = ["InvokeTarget", "is_served", "parse_function_name"]

_PREFIX = (
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:)?(?:(?P<region>[a-z]+(?:-[a-z]+)+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?"
)
_NAME = r"[a-zA-Z0-9_.-]+"
_QUALIFIER = r"(?::(?P<qualifier>[a-zA-Z0-9$_.-]+))?"
_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9_-]+")


@attrs.frozen
class InvokeTarget:
    """What an invoke names.

    Args:
        name: of the function.
        arn: of the function, without a qualifier.
        qualifier: of a version or an alias, or "".
    """

    name: str
    arn: str
    qualifier: str


def parse_function_name(text: str, own_arn: str) -> InvokeTarget | None:
    """Read `FunctionName`; None where it has none of the forms.

    Args:
        text: the name, decoded.
        own_arn: of the function that is served. What `text` leaves out is taken from it.
    """
    _, partition, _, region, account, _, own_name = own_arn.split(":")
    found = re.fullmatch(f"{_PREFIX}(?P<name>{_NAME}){_QUALIFIER}", text)
    if found is None:
        return None
    name, qualifier = found["name"], found["qualifier"] or ""
    if name != own_name and text == f"{own_name}:{name}":
        # `function:live` is also the alias `live` of a function that is called `function`.
        name, qualifier = own_name, name
    partition, region = found["partition"] or partition, found["region"] or region
    account = found["account"] or account
    arn = f"arn:{partition}:lambda:{region}:{account}:function:{name}"
    return InvokeTarget(name, arn, qualifier)


def is_served(qualifier: str) -> bool:
    """Whether the qualifier leads to code here: `$LATEST`, and every alias.

    An alias is a pointer that a deployment sets, and there is one code that it can point to. A
    number names a published version, and nothing is published here.
    """
    return qualifier in ("", "$LATEST", "$LATEST.PUBLISHED") or bool(_ALIAS.fullmatch(qualifier))
