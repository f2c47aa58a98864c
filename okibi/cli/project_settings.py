"""[tool.okibi] of a project as values: its functions, and what is around each.

`project_reader` reads them. The keys have the names of SAM and CloudFormation where those have one.
"""

from collections.abc import Mapping, Sequence

import attrs

from ..local.dev.dev_function import RouteKind
from .bad_input import BadInput

__all__ = [
    "AlarmSettings",
    "AliasSettings",
    "AuthorizerSettings",
    "CapacityProviderSettings",
    "KeySettings",
    "PolicySettings",
    "ProjectFunction",
    "ProjectSettings",
    "QueueSettings",
    "RuntimeSettings",
    "ScheduleSettings",
    "TableSettings",
    "UrlSettings",
    "VpcSettings",
    "as_stack_name",
    "check_handler",
    "choose_function",
    "choose_functions",
    "find_function",
    "is_module_and_name",
]

HANDLER_FORM = "must be module.name, as in app.handler"


@attrs.frozen
class UrlSettings:
    """A function URL.

    Args:
        streaming: responses are streamed instead of buffered.
        auth: `aws_iam`, or `none` for a public URL.
        cors: origins that browsers may call from; `*` for any.
    """

    streaming: bool = False
    auth: str = "aws_iam"
    cors: Sequence[str] = ()


@attrs.frozen
class AuthorizerSettings:
    """Who may call the routes: callers with IAM credentials, or with a token (JWT).

    Args:
        issuer: of the tokens, such as a Cognito user pool's; empty for IAM.
        audience: the audiences or client ids, of which a token needs one.
    """

    issuer: str = ""
    audience: Sequence[str] = ()


@attrs.frozen
class ScheduleSettings:
    """A schedule that invokes the function.

    Args:
        expression: `rate(...)`, `cron(...)` or `at(...)`.
        timezone: of the expression.
        input: the event as JSON.
    """

    expression: str
    timezone: str = "UTC"
    input: str = "{}"


@attrs.frozen
class QueueSettings:
    """An SQS queue that invokes the function, with a dead-letter queue.

    Args:
        batch_size: messages of one event.
        batching_window: seconds to wait for a full batch.
        max_receive_count: failures after which a message goes to the dead-letter queue.
        maximum_concurrency: events of this queue at the same time; 0 for no limit.
        fifo: messages of one group stay in order.
    """

    batch_size: int = 10
    batching_window: int = 0
    max_receive_count: int = 5
    maximum_concurrency: int = 0
    fifo: bool = False


@attrs.frozen
class KeySettings:
    """A key of a DynamoDB table: name, and type S, N or B."""

    name: str
    type: str = "S"


@attrs.frozen
class TableSettings:
    """A DynamoDB table, billed by request. The function has its name in TABLE_NAME.

    Args:
        partition_key, sort_key: the primary key.
        ttl: the attribute with the time at which an item expires; empty for none.
        recovery: point-in-time recovery.
    """

    partition_key: KeySettings
    sort_key: KeySettings | None = None
    ttl: str = ""
    recovery: bool = True


@attrs.frozen
class VpcSettings:
    """The network of the function.

    Args:
        subnets: ids of subnets.
        security_groups: ids; empty: the template makes one.
        id: the VPC; needed where the template makes a security group.
        cache: an ElastiCache Serverless cache (Valkey). The function has its address in
            CACHE_HOST and CACHE_PORT.
    """

    subnets: Sequence[str]
    security_groups: Sequence[str] = ()
    id: str = ""
    cache: bool = False


@attrs.frozen
class CapacityProviderSettings:
    """Lambda Managed Instances.

    Args:
        arn: an existing capacity provider; empty: the template makes one.
        concurrency: events at once in one execution environment.
        memory_gib_per_vcpu: 2, 4 or 8.
        instance_types: allowed EC2 instance types; empty: Lambda chooses.
        max_vcpus: limit of all instances of the provider together.
    """

    arn: str = ""
    concurrency: int = 16
    memory_gib_per_vcpu: int = 2
    instance_types: Sequence[str] = ()
    max_vcpus: int = 12


@attrs.frozen
class AliasSettings:
    """An alias that all triggers invoke.

    Args:
        name: of the alias.
        deployment: how traffic moves to a new version, in SAM's names; `AllAtOnce`: at once.
    """

    name: str = "live"
    deployment: str = "AllAtOnce"

    @property
    def is_gradual(self) -> bool:
        """Whether AWS CodeDeploy moves the traffic."""
        return self.deployment != "AllAtOnce"


@attrs.frozen
class AlarmSettings:
    """CloudWatch alarms, each on the sum of five minutes. 0 leaves an alarm out.

    Args:
        topic: an SNS topic to notify.
        email: an address to notify; the template makes a topic.
        errors: error responses, late ones included.
        deadlines: late events that okibi has answered.
        throttles: refused invocations.
        dead_letters: messages in the dead-letter queue.
    """

    topic: str = ""
    email: str = ""
    errors: int = 1
    deadlines: int = 1
    throttles: int = 1
    dead_letters: int = 1


@attrs.frozen
class PolicySettings:
    """A right of the function: IAM actions on resources."""

    actions: Sequence[str]
    resources: Sequence[str]


@attrs.frozen
class RuntimeSettings:
    """What starts the function.

    Args:
        kind: `managed` (python3.x with okibi as exec wrapper), `provided.al2023`, or `custom` (a
            customer-managed runtime).
        arn, alias: the customer-managed runtime and its alias.
        image: URI of a container image, in place of a zip.
    """

    kind: str = "managed"
    arn: str = ""
    alias: str = ""
    image: str = ""


@attrs.frozen
class ProjectFunction:
    """A function as `okibi template` and `okibi deploy` see it; one stack each.

    Args:
        name: of the table, and of the stack unless --stack names another.
        handler: `module.name`.
        python, architecture: of the function on Lambda.
        memory: MB.
        timeout: seconds.
        environment: variables of the function.
        log_retention: days.
        log_format: `text` or `json`.
        tracing: AWS X-Ray.
        layers: ARNs of layers.
        routes: of an HTTP API, such as `GET /visits/{name}`.
        route_kind: `http-api`; for `okibi dev` also `rest-api` or `alb`.
        authorizer: of the routes; None: everyone may call them.
        in_project: whether [tool.okibi.functions] has a table of this name.
    """

    name: str
    handler: str
    python: str = "3.13"
    architecture: str = "x86_64"
    runtime: RuntimeSettings = RuntimeSettings()
    memory: int = 512
    timeout: int = 10
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    log_retention: int = 30
    log_format: str = "text"
    tracing: bool = False
    layers: Sequence[str] = ()
    policies: Sequence[PolicySettings] = ()
    url: UrlSettings | None = None
    routes: Sequence[str] = ()
    route_kind: RouteKind = "http-api"
    authorizer: AuthorizerSettings | None = None
    schedule: ScheduleSettings | None = None
    queue: QueueSettings | None = None
    table: TableSettings | None = None
    vpc: VpcSettings | None = None
    capacity_provider: CapacityProviderSettings | None = None
    snapstart: bool = False
    alias: AliasSettings | None = None
    alarms: AlarmSettings | None = None
    in_project: bool = False

    @property
    def package_argument(self) -> str:
        """The argument of `okibi package`: two functions may have the same handler."""
        return self.name if self.in_project else self.handler


@attrs.frozen
class ProjectSettings:
    """[tool.okibi] of a project.

    Args:
        name: of the project; of its folder if pyproject.toml has none.
        region: the AWS region to deploy to; empty: as the AWS SDK finds it.
        bucket: the S3 bucket for packages; empty: okibi's own.
        python, architecture: of functions without a table.
        functions: by name.
    """

    name: str
    python: str = "3.13"
    architecture: str = "x86_64"
    region: str = ""
    bucket: str = ""
    functions: Mapping[str, ProjectFunction] = attrs.field(factory=dict[str, ProjectFunction])


def choose_function(project: ProjectSettings, asked: str | None) -> ProjectFunction:
    """Choose a function by its name in [tool.okibi.functions] or by a handler.

    Args:
        project: the project.
        asked: a name, or `module.name` for a function without a table; None: the only one.

    Raises:
        BadInput: there is no such function, or more than one to choose from.
    """
    names = ", ".join(project.functions)
    if asked is None:
        if len(project.functions) == 1:
            return next(iter(project.functions.values()))
        advice = f"name one of: {names}" if names else "name its handler, as in app.handler"
        raise BadInput(f"which function? {advice}")
    if function := find_function(project, asked):
        return function
    if "." in asked:
        handler = check_handler(asked)
        if not is_module_and_name(handler):
            raise BadInput(f"handler {asked!r}: {HANDLER_FORM}")
        return ProjectFunction(
            project.name, handler, python=project.python, architecture=project.architecture
        )
    has = f"pyproject.toml has {names}" if names else "pyproject.toml has no [tool.okibi.functions]"
    raise BadInput(f"no function {asked!r}: {has}; a handler is written as in app.handler")


def find_function(project: ProjectSettings, asked: str) -> ProjectFunction | None:
    """Find the table of a function by its name or its handler; None without one."""
    if asked in project.functions:
        return project.functions[asked]
    return next((each for each in project.functions.values() if each.handler == asked), None)


def check_handler(text: str, option: str = "handler") -> str:
    """Return the handler if its text can name a module.

    A handler with a colon is left to the runtime, whose error names the form with a dot.

    Raises:
        BadInput: the text starts with no module, as `./app.handler`, or contains a backslash.
    """
    if text.strip()[:1] in ("", ".", "/"):
        raise BadInput(
            f"{option} {text!r} starts with no module; write module.name, as in app.handler or"
            " folder/app.handler"
        )
    if "\\" in text:
        raise BadInput(
            f"{option} {text!r} contains a backslash; write module.name, as in app.handler or"
            " folder/app.handler"
        )
    return text


def is_module_and_name(handler: str) -> bool:
    """Whether a handler has a module, a dot and a name.

    >>> is_module_and_name("folder/app.function"), is_module_and_name("app")
    (True, False)
    """
    module, _, name = handler.rpartition(".")
    return bool(module) and name.isidentifier()


def as_stack_name(text: str) -> str:
    """Make a legal stack name: letters, digits and hyphens, a letter first.

    >>> as_stack_name("my_app"), as_stack_name("2 apps")
    ('my-app', 'okibi-2-apps')
    """
    name = "-".join(
        filter(None, "".join(c if c.isascii() and c.isalnum() else "-" for c in text).split("-"))
    )
    return (name if name[:1].isalpha() else f"okibi-{name}".rstrip("-"))[:60]


def choose_functions(project: ProjectSettings, asked: str | None) -> list[ProjectFunction]:
    """Choose the functions of a command that takes several.

    Args:
        project: the project.
        asked: as in `choose_function`; None: all functions of pyproject.toml.

    Raises:
        BadInput: there is no such function.
    """
    if asked is None and project.functions:
        return [*project.functions.values()]
    return [choose_function(project, asked)]
