"""[tool.okibi] of a project as values: its functions, and what is around each.

The keys have the names of SAM and CloudFormation where those have one. The annotations say which
values a key may have, and `find_mistakes` which keys go together; `project_reader` reads them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, get_args

import attrs
from msgspec import Meta

from ..local.limits import (
    MAX_MANAGED_MEMORY,
    MAX_MANAGED_TIMEOUT,
    MAX_MEMORY,
    MAX_TIMEOUT,
    MIN_MEMORY,
)
from ..local.services.route_path import RouteKind
from ..runtime.errors.exceptions import InitError
from ..runtime.settings import read_settings
from .bad_input import BadInput
from .pythons import ARCHITECTURES
from .pythons import PYTHONS as VERSIONS
from .toml_tables import NO_KEY, integer, list_of, one_of, text

PYTHONS = tuple("{}.{}".format(*version) for version in VERSIONS)
RUNTIMES = ("managed", "provided.al2023", "custom")
HANDLER_FORM = "module.name, as in 'app.handler'"
METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|ANY"
# As CloudWatch Logs allows them.
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192),
    *(2557, 2922, 3288, 3653),
)
# What a secret for MSK contains: user and password, or a certificate and its key.
MSK_AUTH = ("sasl_scram_512_auth", "client_certificate_tls_auth")
# AWS CodeDeploy's configurations, as SAM names them.
DEPLOYMENTS = (
    "AllAtOnce",
    *(f"Canary10Percent{minutes}Minutes" for minutes in (5, 10, 15, 30)),
    *(f"Linear10PercentEvery{number}" for number in ("1Minute", "2Minutes", "3Minutes")),
    "Linear10PercentEvery10Minutes",
)
# Managed Instances allow more, which `ProjectFunction.find_mistakes` knows.
MEMORY = Meta(
    ge=MIN_MEMORY,
    le=MAX_MANAGED_MEMORY,
    description=f"an integer from {MIN_MEMORY} to {MAX_MEMORY} (MB), or to {MAX_MANAGED_MEMORY}"
    " with capacity_provider",
)
TIMEOUT = Meta(
    ge=1,
    le=MAX_MANAGED_TIMEOUT,
    description=f"an integer from 1 to {MAX_TIMEOUT} (seconds), or to {MAX_MANAGED_TIMEOUT} with"
    " capacity_provider",
)

KEY = Meta(description="the name of an attribute, or a table with name and type")

Python = Annotated[str, one_of(PYTHONS)]
Architecture = Annotated[str, one_of(ARCHITECTURES)]
Arn = Annotated[str, text("an ARN", r"arn:[a-z-]+:.+")]
Topic = Annotated[str, text("the ARN of an SNS topic", r"arn:[a-z-]+:.+")]
Attribute = Annotated[str, text("the name of an attribute")]
Count = Annotated[int, integer(0, 1_000_000)]
Text = Annotated[str, text("a text")]
Origin = Annotated[str, text("an origin", r"\*|https?://\S+")]
RouteText = Annotated[str, text("a route", rf"({METHODS}) /\S*|\$default")]


@attrs.frozen
class UrlSettings:
    """A function URL.

    Args:
        streaming: responses are streamed instead of buffered.
        auth: `aws_iam`, or `none` for a public URL.
        cors: origins that browsers may call from; `*` for any.
    """

    streaming: bool = False
    auth: Annotated[str, one_of(("aws_iam", "none"))] = "aws_iam"
    cors: Annotated[Sequence[Origin], list_of("a list of origins, as in 'https://a.example'")] = ()


@attrs.frozen
class AuthorizerSettings:
    """The callers that the routes accept: with IAM credentials, or with a token (JWT).

    Args:
        issuer: the issuer of the tokens, such as a Cognito user pool; empty for IAM.
        audience: the audiences or client ids. A token needs one of them.
    """

    issuer: Annotated[str, text("an address, as in 'https://...'", r"https://\S+")] = ""
    audience: Annotated[Sequence[Text], list_of("a list of audiences or client ids")] = ()

    def find_mistakes(self) -> Iterator[str]:
        """Yield the keys that the table of a token's issuer lacks."""
        for key, value in (("issuer", self.issuer), ("audience", self.audience)):
            if not value:
                yield f"{key}: missing; a token is checked by its issuer and its audience"


@attrs.frozen
class ScheduleSettings:
    """A schedule that invokes the function.

    Args:
        expression: `rate(...)`, `cron(...)` or `at(...)`.
        timezone: the time zone of the expression.
        input: the event as JSON.
    """

    TEXT_KEY: ClassVar = "expression"

    expression: Annotated[
        str,
        text(
            "an expression, as in 'rate(5 minutes)' or 'cron(0 3 * * ? *)'", r"(rate|cron|at)\(.+\)"
        ),
    ]
    timezone: Annotated[str, text("a time zone, as in 'Europe/Berlin'")] = "UTC"
    input: Annotated[str, text("an event as JSON")] = "{}"

    def find_mistakes(self) -> Iterator[str]:
        """Yield that the input is not JSON."""
        try:
            json.loads(self.input)
        except (ValueError, RecursionError):
            yield f"input = {self.input!r}: must be an event as JSON"


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

    batch_size: Annotated[int, integer(1, 10_000)] = 10
    batching_window: Annotated[int, integer(0, 300, "seconds")] = 0
    max_receive_count: Annotated[int, integer(1, 1000)] = 5
    maximum_concurrency: Annotated[int, integer(2, 1000)] = 0
    fifo: bool = False

    def find_mistakes(self) -> Iterator[str]:
        """Yield what Lambda refuses: a FIFO queue has no window, and large batches need one."""
        if self.fifo and self.batching_window:
            yield "batching_window: a FIFO queue has none; remove it"
        if self.batch_size > 10 and (self.fifo or not self.batching_window):
            why = "of a FIFO queue" if self.fifo else "more than 10 need a batching_window"
            yield f"batch_size = {self.batch_size}: must be an integer from 1 to 10 ({why})"


@attrs.frozen(kw_only=True)
class ReadingSettings:
    """How Lambda reads a stream or a topic.

    Args:
        starting_position: where the first reader begins: `trim_horizon`, at the oldest record, or
            `latest`.
        batch_size: records of one event.
        batching_window: seconds to wait for a full batch.
        maximum_retry_attempts: retries after which a batch goes to the dead-letter queue.
        maximum_record_age: seconds after which a record goes there.
    """

    starting_position: Annotated[str, one_of(("trim_horizon", "latest"))] = "trim_horizon"
    batch_size: Annotated[int, integer(1, 10_000)] = 100
    batching_window: Annotated[int, integer(0, 300, "seconds")] = 0
    maximum_retry_attempts: Annotated[int, integer(0, 10_000)] = 10
    maximum_record_age: Annotated[int, integer(60, 604_800, "seconds")] = 604_800


@attrs.frozen
class StreamSettings(ReadingSettings):
    """A stream of Kinesis or of a DynamoDB table that invokes the function.

    Args:
        arn: the stream.
        parallelization_factor: batches of one shard at the same time.
    """

    TEXT_KEY: ClassVar = "arn"

    arn: Annotated[
        str,
        text(
            "the ARN of a Kinesis stream or of a table's stream, as in"
            " 'arn:aws:kinesis:REGION:ACCOUNT:stream/NAME'",
            r"arn:[a-z-]+:kinesis:[a-z0-9-]+:\d{12}:stream/[^/]+"
            r"|arn:[a-z-]+:dynamodb:[a-z0-9-]+:\d{12}:table/[^/]+/stream/[^/]+",
        ),
    ]
    parallelization_factor: Annotated[int, integer(1, 10)] = 1


@attrs.frozen
class KafkaSettings(ReadingSettings):
    """A Kafka topic that invokes the function.

    Args:
        topic: the topic's name.
        cluster: the ARN of an MSK cluster, or the bootstrap servers of the user's own cluster.
        secret: the ARN of the secret with which Lambda signs in; empty: by the function's role
            (MSK), or without credentials.
        auth: what the secret contains.
    """

    topic: Annotated[str, text("the name of a topic", r"[A-Za-z0-9._-]{1,249}")]
    cluster: Annotated[
        Sequence[
            Annotated[
                str,
                text(
                    "an ARN or a server",
                    r"arn:[a-z-]+:kafka:[a-z0-9-]+:\d{12}:cluster/[^/]+/[^/]+|[A-Za-z0-9.-]+:\d+",
                ),
            ]
        ],
        list_of(
            "the ARN of an MSK cluster, or the servers of your own, as in ['kafka.example:9092']"
        ),
    ]
    secret: Annotated[
        str, text("the ARN of a secret", r"arn:[a-z-]+:secretsmanager:.+:secret:.+")
    ] = ""
    auth: Annotated[str, one_of((*MSK_AUTH, "sasl_scram_256_auth", "basic_auth"))] = MSK_AUTH[0]

    @property
    def is_msk(self) -> bool:
        """Whether the cluster is one of Amazon MSK."""
        return any(each.startswith("arn:") for each in self.cluster)

    def find_mistakes(self) -> Iterator[str]:
        """Yield that there is more than one cluster, or a secret that MSK does not take."""
        if self.is_msk and len(self.cluster) > 1:
            yield "cluster: an MSK cluster is one ARN and no servers; remove the others"
        if self.is_msk and self.auth not in MSK_AUTH:
            yield f"auth = {self.auth!r}: an MSK cluster takes {' or '.join(map(repr, MSK_AUTH))}"


@attrs.frozen
class KeySettings:
    """A key of a DynamoDB table: name, and type S, N or B."""

    TEXT_KEY: ClassVar = "name"

    name: Attribute
    type: Annotated[str, one_of(("S", "N", "B"))] = "S"


@attrs.frozen
class TableSettings:
    """A DynamoDB table, billed by request. The function has its name in TABLE_NAME.

    Args:
        partition_key, sort_key: the primary key.
        ttl: the attribute with the time at which an item expires; empty for none.
        recovery: point-in-time recovery.
    """

    partition_key: Annotated[KeySettings, KEY]
    sort_key: Annotated[KeySettings | None, KEY] = None
    ttl: Attribute = ""
    recovery: bool = True


@attrs.frozen
class EntitySettings:
    """What entities need: a DynamoDB table, and alarms of EventBridge Scheduler.

    Args:
        table: the table of another function, which shares its entities with this one; empty: the
            template makes one.
    """

    TEXT_KEY: ClassVar = "table"

    table: Annotated[str, text("the name of a DynamoDB table", r"[a-zA-Z0-9_.-]{3,255}")] = ""


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

    subnets: Annotated[
        Sequence[Annotated[str, text("an id", "subnet-.+")]],
        list_of("a list of ids, as in ['subnet-1a2b']"),
    ]
    security_groups: Annotated[
        Sequence[Annotated[str, text("an id", "sg-.+")]],
        list_of("a list of ids, as in ['sg-1a2b']"),
    ] = ()
    id: Annotated[str, text("an id, as in 'vpc-1a2b'", "vpc-.+")] = ""
    cache: bool = False

    def find_mistakes(self) -> Iterator[str]:
        """Yield that the template makes a security group, and lacks the VPC for it."""
        if not self.id and (self.cache or not self.security_groups):
            why = "cache" if self.cache else "a vpc without security_groups"
            yield f"id: missing; {why} needs a new security group, and that needs the VPC's id"


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

    arn: Annotated[
        str,
        text("the ARN of a capacity provider", r"arn:[a-z-]+:lambda:.+:capacity-provider:.+"),
    ] = ""
    concurrency: Annotated[int, integer(1, 1600, "events at once")] = 16
    memory_gib_per_vcpu: Annotated[int, one_of((2, 4, 8), "2, 4 or 8 (GiB)")] = 2
    instance_types: Annotated[Sequence[Text], list_of("a list, as in ['m8g.xlarge']")] = ()
    max_vcpus: Annotated[int, integer(2, 15_000)] = 12


@attrs.frozen
class AliasSettings:
    """An alias that all triggers invoke.

    Args:
        name: the alias's name.
        deployment: SAM's name for the move of traffic to a new version, such as `AllAtOnce`.
    """

    TEXT_KEY: ClassVar = "name"

    name: Annotated[str, text("a name, as in 'live'", r"(?!\d+$)[a-zA-Z0-9_-]{1,128}")] = "live"
    deployment: Annotated[str, one_of(DEPLOYMENTS)] = "AllAtOnce"

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
        restarts, give_ups: of actors; for a function with the variable OKIBI_METRICS.
        throttles: refused invocations.
        dead_letters: messages in the dead-letter queue.
    """

    topic: Topic = ""
    email: Annotated[str, text("an e-mail address", r"\S+@\S+")] = ""
    errors: Count = 1
    deadlines: Count = 1
    restarts: Count = 10
    give_ups: Count = 1
    throttles: Count = 1
    dead_letters: Count = 1


@attrs.frozen
class PolicySettings:
    """A right of the function: IAM actions on resources."""

    actions: Annotated[
        Sequence[Annotated[str, text("an action", r"[a-z0-9-]+:\w+")]],
        list_of("a list of IAM actions without a wildcard"),
    ]
    resources: Annotated[Sequence[Text], list_of("a list of ARNs")]


@attrs.frozen
class RuntimeSettings:
    """The runtime that starts the function.

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
        name: the name of the table, and of the stack unless --stack names another.
        handler: `module.name`.
        python, architecture: the function's Python version and processor on Lambda.
        memory: MB.
        timeout: seconds.
        environment: variables of the function.
        log_retention: days.
        log_format: `text` or `json`.
        tracing: AWS X-Ray.
        layers: ARNs of layers.
        routes: the routes of an HTTP API, such as `GET /visits/{name}`.
        route_kind: `http-api`; for `okibi dev` also `rest-api` or `alb`.
        authorizer: the routes' authorizer; None: everyone may call the routes.
        in_project: whether [tool.okibi.functions] has a table of this name.
    """

    name: str = attrs.field(metadata=NO_KEY)
    handler: Annotated[str, text(HANDLER_FORM)]
    python: Python = "3.13"
    architecture: Architecture = "x86_64"
    runtime: RuntimeSettings = RuntimeSettings()
    memory: Annotated[int, MEMORY] = 512
    timeout: Annotated[int, TIMEOUT] = 10
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    log_retention: Annotated[
        int, one_of(RETENTION_DAYS, f"one of {', '.join(map(str, RETENTION_DAYS))} (days)")
    ] = 30
    log_format: Annotated[str, one_of(("text", "json"))] = "text"
    tracing: bool = False
    layers: Annotated[Sequence[Arn], list_of("a list of ARNs of layer versions")] = ()
    policies: Sequence[PolicySettings] = ()
    url: UrlSettings | None = None
    routes: Annotated[
        Sequence[RouteText],
        list_of("a list of routes, as in 'GET /visits/{name}' or '$default'"),
    ] = ()
    route_kind: Annotated[RouteKind, one_of(get_args(RouteKind))] = "http-api"
    authorizer: Annotated[
        AuthorizerSettings | None,
        Meta(description="'aws_iam', or a table with the issuer and audience of tokens"),
    ] = None
    schedule: ScheduleSettings | None = None
    queue: QueueSettings | None = None
    stream: StreamSettings | None = None
    kafka: KafkaSettings | None = None
    table: TableSettings | None = None
    entities: Annotated[
        EntitySettings | None,
        Meta(description="true, or the name of the table of another function"),
    ] = None
    vpc: VpcSettings | None = None
    capacity_provider: CapacityProviderSettings | None = None
    snapstart: bool = False
    alias: AliasSettings | None = None
    alarms: AlarmSettings | None = None
    in_project: bool = attrs.field(default=False, metadata=NO_KEY)

    @property
    def package_argument(self) -> str:
        """The argument of `okibi package`: two functions may have the same handler."""
        return self.name if self.in_project else self.handler

    def find_mistakes(self) -> Iterator[str]:
        """Yield mistakes of name, handler and variables, and of keys that do not go together."""
        if self.name != as_stack_name(self.name):
            yield "a function's name has at most 60 letters, digits and hyphens, a letter first"
        try:
            if self.handler and not is_module_and_name(check_handler(self.handler)):
                yield f"handler = {self.handler!r}: must be {HANDLER_FORM}"
        except BadInput as error:
            yield str(error)
        try:
            read_settings({**self.environment, "AWS_LAMBDA_RUNTIME_API": "any"}, ())
        except InitError as error:
            # Another error is about this system: the tools also run on Windows.
            if error.kind == "Runtime.BadSetting":
                yield f"environment: {error.message}"
        if self.capacity_provider:
            yield from self._find_mistakes_of_capacity(self.capacity_provider)
        else:
            if self.memory > MAX_MEMORY:
                yield f"memory = {self.memory}: must be {MEMORY.description}"
            if self.timeout > MAX_TIMEOUT:
                yield f"timeout = {self.timeout}: must be {TIMEOUT.description}"
        if self.authorizer and not self.routes:
            yield "authorizer: is for routes; url has auth = 'aws_iam'"
        if self.kafka and not (self.kafka.is_msk or self.kafka.secret or self.vpc):
            yield "kafka: your own cluster needs a secret, or a vpc in which Lambda reaches it"
        if self.snapstart and self.runtime.kind != "managed":
            yield "snapstart: needs a managed Python or an image; remove runtime, or snapstart"
        if self.snapstart and not self.runtime.image and self.python == "3.11":
            yield "snapstart: needs Python 3.12 or newer"

    def _find_mistakes_of_capacity(self, capacity: CapacityProviderSettings) -> Iterator[str]:
        if not capacity.arn and not self.vpc:
            yield "capacity_provider: needs vpc, with the subnets of its instances"
        if self.memory < 2048:
            yield "memory: Managed Instances need at least 2048 MB"
        if self.memory < 1024 * capacity.memory_gib_per_vcpu:
            yield (
                "capacity_provider.memory_gib_per_vcpu: more than the function's memory; an"
                " instance has at least one vCPU"
            )
        if self.log_format != "json":
            yield "log_format: Managed Instances write JSON logs only; write 'json'"
        if self.snapstart:
            yield "snapstart: not with capacity_provider; remove one of them"


@attrs.frozen
class ProjectSettings:
    """[tool.okibi] of a project.

    Args:
        name: the project's name; the folder's name if pyproject.toml has none.
        region: the AWS region to deploy to; empty: as the AWS SDK finds it.
        bucket: the S3 bucket for packages; empty: okibi's own.
        python, architecture: the Python version and processor of functions without a table.
        functions: the functions, by name.
    """

    name: str = attrs.field(metadata=NO_KEY)
    python: Python = "3.13"
    architecture: Architecture = "x86_64"
    region: Annotated[str, text("a region, as in 'eu-central-1'", r"[a-z]{2,}(-[a-z]+)+-\d")] = ""
    bucket: Annotated[str, text("a bucket's name", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")] = ""
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
            raise BadInput(f"handler {asked!r}: must be module.name, as in app.handler")
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
        asked: a name or a handler (`choose_function`); None for all functions of pyproject.toml.

    Raises:
        BadInput: there is no such function.
    """
    if asked is None and project.functions:
        return [*project.functions.values()]
    return [choose_function(project, asked)]
