"""`okibi deploy`: package, compare, ask, upload, execute, and print where the function is."""

import hashlib
import sys
from typing import TypedDict, cast

import attrs

from ..deployment.aws import (
    Aws,
    AwsError,
    call_in_thread,
    connect,
    is_emulator,
    parse_endpoint,
    wait_for_emulator,
)
from ..deployment.change_sets import ChangeSet, create_change_set, describe_stack, execute, remove
from ..deployment.package_bucket import Bucket, create_bucket, find_bucket, upload
from ..deployment.packages import Package, choose_architecture, explain_stop, make_package
from ..deployment.stacks import (
    MANAGED,
    PROJECT,
    choose_kind,
    format_changes,
    list_outputs,
    read_changes,
)
from ..deployment.template.exposure import describe_exposure
from ..deployment.template.sam import build_template
from ..project.arguments import find_current_folder
from ..project.bad_input import BadInput
from ..project.reader import read_project
from ..project.settings import (
    PYTHONS,
    ProjectFunction,
    ProjectSettings,
    as_stack_name,
    choose_function,
)
from .output import write_err, write_text
from .until_signal import run_command
from .write_template import choose_runtime

OUTPUT = "the outputs"
GOOD, FAILED = 0, 1
# Of a function, which has its stack's name.
LONGEST_NAME = 64


class DeployOptions(TypedDict):
    """The options of `okibi deploy`; see `okibi deploy --help`."""

    stack: str | None
    region: str | None
    endpoint_url: str | None
    bucket: str | None
    runtime: str | None
    python: str | None
    arch: str | None
    package: str | None
    record: bool
    dry_run: bool
    yes: bool


@attrs.frozen
class _Plan:
    """The function to deploy, its package, and the stack, bucket and account."""

    project: ProjectSettings
    function: ProjectFunction
    stack: str
    aws: Aws
    account: str
    kind: str
    bucket: Bucket
    package: Package
    options: DeployOptions

    @property
    def key(self) -> str:
        return f"{self.stack}/{hashlib.sha256(self.package.content).hexdigest()}.zip"


def deploy(asked: str | None, options: DeployOptions) -> int:
    """Deploy a function.

    Args:
        asked: a function's name or handler; None for the only function of the project.
        options: the options of `okibi deploy`, explained by --help.

    Returns:
        The exit code: 0 if the function is deployed or nothing has changed, 1 if the deployment
        failed, the function does not start or the user said no, 2 for bad input.
    """
    return run_command(OUTPUT, lambda: call_in_thread(lambda: _deploy(asked, options)))


def _deploy(asked: str | None, options: DeployOptions) -> int:
    plan = _make_plan(asked, options)
    content = plan.package.content
    size = f"{len(content) / 1e6:,.1f} MB" if content else plan.function.runtime.image
    write_err(f"account {plan.account}, region {plan.aws.region}, stack {plan.stack}, {size}")
    asks = options["dry_run"] or not options["yes"]
    if stop := explain_stop(plan.function, plan.package, asks=asks):
        _print_warnings(plan)
        write_err(f"okibi: nothing was deployed: {stop}")
        return FAILED
    change_set = _compare(plan)
    if change_set.is_empty:
        remove(plan.aws, change_set)
        _print_warnings(plan)
        write_err("nothing to change")
        _print_outputs(plan)
        return GOOD
    if not plan.bucket.exists:
        write_err(f"  + add     bucket {plan.bucket.name} for packages (stack okibi-bootstrap)")
    for line in format_changes(read_changes(change_set.content)):
        write_err(line)
    for line in describe_exposure(plan.function):
        write_err(line)
    _print_warnings(plan)
    if options["dry_run"]:
        remove(plan.aws, change_set)
        write_err("dry run: nothing was changed")
        return GOOD
    if not options["yes"] and not _ask(f"Deploy to account {plan.account}, {plan.aws.region}?"):
        remove(plan.aws, change_set)
        write_err("nothing was changed")
        return FAILED
    return _execute(plan, change_set)


def _print_warnings(plan: _Plan) -> None:
    """Print the package's warnings where their reader looks: above the question, or last."""
    for line in plan.package.warnings:
        write_err(line)


def _make_plan(asked: str | None, options: DeployOptions) -> _Plan:
    project = read_project(find_current_folder())
    function = choose_function(project, asked)
    endpoint = options["endpoint_url"]
    if endpoint is not None:
        parse_endpoint(endpoint)
    emulated = is_emulator(endpoint)
    runtime = choose_runtime(function.runtime, options["runtime"])
    python = _choose_python(function.python, options["python"])
    function = attrs.evolve(function, runtime=runtime, python=python)
    architecture = choose_architecture(function, options["arch"], emulated=emulated)
    function = attrs.evolve(function, architecture=architecture)
    stack = _choose_stack(options["stack"] or function.name)
    if not options["yes"] and not options["dry_run"]:
        _check_terminal()
    if endpoint is not None:
        wait_for_emulator(endpoint, write_err)
    aws = connect(options["region"] or project.region or None, endpoint)
    account = str(aws.call("sts", "get_caller_identity")["Account"])
    # Before seconds of packaging: a stack that okibi may not change.
    kind = choose_kind(stack, describe_stack(aws, stack), project.name)
    bucket = find_bucket(aws, account, options["bucket"] or project.bucket)
    package = Package()
    if function.runtime.image:
        bucket = attrs.evolve(bucket, exists=True)
    else:
        package = make_package(
            function, options["package"], write_err, emulated=emulated, record=options["record"]
        )
    return _Plan(project, function, stack, aws, account, kind, bucket, package, options)


def _compare(plan: _Plan) -> ChangeSet:
    """Let CloudFormation compare the template with the stack."""
    # No parameters: SAM publishes a version when it reads another key.
    code = {"Bucket": plan.bucket.name, "Key": plan.key}
    return create_change_set(
        plan.aws,
        plan.stack,
        plan.kind,
        build_template(plan.function, code),
        tags={MANAGED: "true", PROJECT: plan.project.name},
    )


def _execute(plan: _Plan, change_set: ChangeSet) -> int:
    """Upload the package and execute the change set."""
    try:
        _upload(plan)
    except (AwsError, BadInput):
        remove(plan.aws, change_set)
        raise
    outcome = execute(plan.aws, change_set, write_err)
    if not outcome.good:
        write_err(f"okibi: the deployment failed; stack {plan.stack} is {outcome.status}")
        return FAILED
    write_err(f"stack {plan.stack} is {outcome.status}")
    _print_outputs(plan)
    return GOOD


def _upload(plan: _Plan) -> None:
    if not plan.bucket.exists and not create_bucket(plan.aws, write_err):
        raise BadInput("the bucket for packages could not be made; nothing else was changed")
    content = plan.package.content
    if content and upload(plan.aws, plan.bucket, plan.key, content):
        write_err(f"uploaded s3://{plan.bucket.name}/{plan.key}")


def _print_outputs(plan: _Plan) -> None:
    stack = describe_stack(plan.aws, plan.stack)
    for name, value in list_outputs(stack) if stack else ():
        write_text(f"{name}: {value}\n", OUTPUT)


def _choose_stack(name: str) -> str:
    if name != as_stack_name(name) or len(name) > LONGEST_NAME:
        raise BadInput(
            f"--stack {name}: a stack's name has at most {LONGEST_NAME} letters, digits and"
            " hyphens, a letter first"
        )
    return name


def _choose_python(own: str, asked: str | None) -> str:
    if asked is not None and asked not in PYTHONS:
        raise BadInput(f"--python {asked}: must be one of {', '.join(PYTHONS)}")
    return asked or own


def _check_terminal() -> None:
    if cast("object", sys.stdin) is None or not sys.stdin.isatty():
        raise BadInput(
            "stdin is not a terminal, and okibi deploy asks before it changes anything; add --yes"
            " to deploy without the question, or --dry-run"
        )


def _ask(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
