"""Find the deployed function that `okibi invoke --remote` and `okibi logs` mean.

A function of this project is found by its stack, and only by a stack of this project: another
project may have a function of the same name.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..project.bad_input import BadInput
from ..project.settings import ProjectFunction, ProjectSettings, choose_function
from .aws import Aws, AwsError
from .change_sets import describe_stack
from .stacks import EMPTY, MANAGED, PROJECT, list_outputs, read_tags
from .template.lambda_function import find_alias

# Lambda's code for a function that does not exist.
MISSING = "ResourceNotFoundException"
DENIED = ("AccessDenied", "AccessDeniedException")


def find_function(
    aws: Aws, project: ProjectSettings, asked: str | None, stack: str | None = None
) -> str:
    """Find a function on Lambda, with its alias if triggers invoke that.

    Args:
        aws: the account.
        project: the project of the current folder.
        asked: the name of one of its functions, a handler, or any function's name or ARN on
            Lambda; None for the only function of the project.
        stack: the stack that `okibi deploy --stack` has named; None for the function's own.

    Returns:
        The function's name or ARN.

    Raises:
        BadInput: the stack does not exist, or is not of this project.
    """
    function = _find_in_project(project, asked)
    if function is None:
        if stack is not None:
            raise BadInput(
                f"--stack {stack}: {asked} is no function of this project; name one, or leave"
                " --stack out to use any function's name on Lambda"
            )
        return str(asked)
    name = stack or function.name
    found = _describe(aws, name)
    if found is None or found["StackStatus"] == EMPTY:
        raise BadInput(
            f"there is no stack {name} in {aws.region}; {_advise(aws, project, function)}"
        )
    _check_owner(found, name, project, is_asked=stack is not None)
    _check_handler(found, name, project, function)
    deployed = dict(list_outputs(found)).get("FunctionName")
    if deployed is None:
        raise BadInput(
            f"stack {name} is {found['StackStatus']} and has no function (no output FunctionName);"
            f" run okibi deploy {function.name} first"
        )
    alias = find_alias(function)
    return f"{deployed}:{alias.name}" if alias else deployed


def describe_missing(aws: Aws, function: str) -> BadInput:
    """Describe a function that Lambda does not have."""
    return BadInput(
        f"function {function} does not exist in {aws.region}; run okibi deploy first, or give"
        " another name or --region"
    )


def _find_in_project(project: ProjectSettings, asked: str | None) -> ProjectFunction | None:
    """Find a function of the project; None if the name can only be Lambda's."""
    handlers = {function.handler for function in project.functions.values()}
    if asked is None or asked in project.functions or asked in handlers:
        return choose_function(project, asked)
    # A handler without a table is deployed under the project's name. Lambda's names have no dot.
    if "." in asked and not asked.startswith("arn:"):
        return choose_function(project, asked)
    return None


def _describe(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        return describe_stack(aws, name)
    except AwsError as error:
        if error.code not in DENIED:
            raise
        raise BadInput(
            f"stack {name} cannot be read ({error.message}); get the right"
            " cloudformation:DescribeStacks, or give the function's ARN"
        ) from error


def _check_owner(
    found: Mapping[str, Any], name: str, project: ProjectSettings, *, is_asked: bool
) -> None:
    """Check that a stack is of this project; one that okibi has not made only if asked for."""
    tags = read_tags(found)
    owner = tags.get(PROJECT, project.name)
    if owner != project.name:
        raise BadInput(
            f"stack {name} belongs to project {owner}, not to {project.name}; add --stack NAME, or"
            " run the command in that project's folder"
        )
    if MANAGED not in tags and not is_asked:
        raise BadInput(
            f"stack {name} was not made by okibi deploy; if it has this project's function, add"
            f" --stack {name}"
        )


def _check_handler(
    found: Mapping[str, Any], name: str, project: ProjectSettings, function: ProjectFunction
) -> None:
    """Check that the stack of functions without a table has this one: they share a name."""
    handler, _, rest = str(found.get("Description", "")).partition(" on ")
    if function.name in project.functions or rest != "okibi" or handler == function.handler:
        return
    raise BadInput(
        f"stack {name} has the function {handler}, not {function.handler}; name that one, or add"
        " --stack NAME"
    )


def _advise(aws: Aws, project: ProjectSettings, function: ProjectFunction) -> str:
    """Say where the function could be."""
    asked = function.name if function.name in project.functions else function.handler
    stacks = list[str]()
    # Without the right to list stacks, the advice names none.
    with suppress(AwsError, BadInput):
        stacks += _list_stacks(aws, project)
    others = {*project.functions} - {function.name}
    stacks = [name for name in stacks if name not in others]
    if stacks:
        return f"project {project.name} has {', '.join(stacks)}: add --stack {stacks[0]}"
    return (
        f"run okibi deploy {asked} first, give another --region, or the ARN of a function that"
        " okibi deploy has not made"
    )


def _list_stacks(aws: Aws, project: ProjectSettings) -> Sequence[str]:
    """List the stacks that okibi has made for a project."""
    names = list[str]()
    for page in aws.pages("cloudformation", "describe_stacks"):
        for stack in page["Stacks"]:
            tags = read_tags(stack)
            is_there = stack["StackStatus"] not in (EMPTY, "DELETE_COMPLETE")
            if is_there and MANAGED in tags and tags.get(PROJECT) == project.name:
                names.append(stack["StackName"])
    return sorted(names)
