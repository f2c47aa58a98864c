"""Read the tables below [tool.okibi.functions.NAME]; `project_settings` describes their keys.

Each function returns None for a missing table.
"""

import json

from .project_settings import (
    AlarmSettings,
    AliasSettings,
    AuthorizerSettings,
    CapacityProviderSettings,
    KeySettings,
    QueueSettings,
    ScheduleSettings,
    TableSettings,
    UrlSettings,
    VpcSettings,
)
from .toml_table import TomlTable

__all__ = [
    "ARN",
    "read_alarms",
    "read_alias",
    "read_authorizer",
    "read_capacity_provider",
    "read_dynamodb_table",
    "read_queue",
    "read_schedule",
    "read_url",
    "read_vpc",
]

# AWS CodeDeploy's configurations, as SAM names them.
DEPLOYMENTS = (
    "AllAtOnce",
    *(f"Canary10Percent{minutes}Minutes" for minutes in (5, 10, 15, 30)),
    *(f"Linear10PercentEvery{number}" for number in ("1Minute", "2Minutes", "3Minutes")),
    "Linear10PercentEvery10Minutes",
)
# GiB for each vCPU, as Managed Instances have them.
MEMORY_RATIOS = (2, 4, 8)
ARN = r"arn:[a-z-]+:.+"


def read_url(parent: TomlTable) -> UrlSettings | None:
    """Read a function URL."""
    table = parent.switch("url")
    if table is None:
        return None
    url = UrlSettings(
        streaming=table.flag("streaming"),
        auth=table.choice("auth", ("aws_iam", "none"), "aws_iam"),
        cors=table.texts(
            "cors", pattern=r"\*|https?://\S+", expected="a list of origins, as in 'https://a.example'"
        ),
    )  # fmt: skip
    table.refuse_unknown()
    return url


def read_authorizer(parent: TomlTable) -> AuthorizerSettings | None:
    """Read who may call the routes: "aws_iam", or the table of a token's issuer."""
    if parent.is_text("authorizer"):
        expected = "'aws_iam', or a table with the issuer and audience of tokens"
        kind = parent.text("authorizer", pattern="aws_iam", expected=expected)
        return AuthorizerSettings() if kind else None
    table = parent.table("authorizer")
    if table is None:
        return None
    authorizer = AuthorizerSettings(
        issuer=table.text(
            "issuer", pattern=r"https://\S+", expected="an address, as in 'https://...'"
        ),
        audience=table.texts("audience", expected="a list of audiences or client ids"),
    )
    for key in ("issuer", "audience"):
        if key not in table.values:
            table.add(f"{key}: missing; a token is checked by its issuer and its audience")
    table.refuse_unknown()
    return authorizer


def read_schedule(parent: TomlTable) -> ScheduleSettings | None:
    """Read a schedule: a table, or its expression."""
    pattern, expected = r"(rate|cron|at)\(.+\)", "as in 'rate(5 minutes)' or 'cron(0 3 * * ? *)'"
    if parent.is_text("schedule"):
        expression = parent.text("schedule", pattern=pattern, expected=expected)
        return ScheduleSettings(expression) if expression else None
    table = parent.table("schedule")
    if table is None:
        return None
    schedule = ScheduleSettings(
        expression=table.text("expression", pattern=pattern, expected=expected),
        timezone=table.text("timezone", "UTC", expected="as in 'Europe/Berlin'"),
        input=table.text("input", "{}", expected="an event as JSON"),
    )
    if not _is_json(schedule.input):
        table.refuse("input", "an event as JSON")
    if "expression" not in table.values:
        table.add(f"expression: missing; write it {expected}")
    table.refuse_unknown()
    return schedule


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def read_queue(parent: TomlTable) -> QueueSettings | None:
    """Read an SQS queue."""
    table = parent.switch("queue")
    if table is None:
        return None
    fifo = table.flag("fifo")
    window = table.integer("batching_window", 0, 0, 300, "seconds")
    # More than 10 messages need time to arrive, and a FIFO queue has no window (Lambda).
    most = 10 if fifo or not window else 10_000
    queue = QueueSettings(
        batch_size=table.integer(
            "batch_size", 10, 1, most, "" if window else "more than 10 need a batching_window"
        ),
        batching_window=window,
        max_receive_count=table.integer("max_receive_count", 5, 1, 1000),
        maximum_concurrency=table.integer("maximum_concurrency", 0, 2, 1000),
        fifo=fifo,
    )
    table.refuse_unknown()
    return queue


def read_dynamodb_table(parent: TomlTable) -> TableSettings | None:
    """Read a DynamoDB table."""
    table = parent.table("table")
    if table is None:
        return None
    partition, sort = _read_key(table, "partition_key"), _read_key(table, "sort_key")
    if "partition_key" not in table.values:
        table.add("partition_key: missing; write it as in partition_key = 'id'")
    settings = TableSettings(
        partition_key=partition or KeySettings("id"),
        sort_key=sort,
        ttl=table.text("ttl", expected="the name of an attribute"),
        recovery=table.flag("recovery", True),
    )
    table.refuse_unknown()
    return settings


def _read_key(parent: TomlTable, key: str) -> KeySettings | None:
    if parent.is_text(key):
        return KeySettings(parent.text(key, expected="the name of an attribute"))
    table = parent.table(key)
    if table is None:
        return None
    found = KeySettings(
        table.text("name", expected="the name of an attribute"),
        table.choice("type", ("S", "N", "B"), "S"),
    )
    if not found.name:
        table.add("name: missing; write the name of an attribute")
    table.refuse_unknown()
    return found


def read_vpc(parent: TomlTable) -> VpcSettings | None:
    """Read the network."""
    table = parent.table("vpc")
    if table is None:
        return None
    vpc = VpcSettings(
        subnets=table.texts(
            "subnets", pattern="subnet-.+", expected="a list of ids, as in 'subnet-1a2b'"
        ),
        security_groups=table.texts(
            "security_groups", pattern="sg-.+", expected="a list of ids, as in 'sg-1a2b'"
        ),
        id=table.text("id", pattern="vpc-.+", expected="an id, as in 'vpc-1a2b'"),
        cache=table.flag("cache"),
    )  # fmt: skip
    if "subnets" not in table.values:
        table.add("subnets: missing; write a list of ids, as in ['subnet-1a2b']")
    if not vpc.id and (vpc.cache or not vpc.security_groups):
        why = "cache" if vpc.cache else "a vpc without security_groups"
        table.add(f"id: missing; {why} needs a new security group, and that needs the VPC's id")
    table.refuse_unknown()
    return vpc


def read_capacity_provider(parent: TomlTable) -> CapacityProviderSettings | None:
    """Read a capacity provider of Lambda Managed Instances."""
    table = parent.switch("capacity_provider")
    if table is None:
        return None
    provider = CapacityProviderSettings(
        arn=table.text(
            "arn", pattern=r"arn:[a-z-]+:lambda:.+:capacity-provider:.+",
            expected="the ARN of a capacity provider",
        ),
        concurrency=table.integer("concurrency", 16, 1, 1600, "events at once"),
        memory_gib_per_vcpu=table.integer("memory_gib_per_vcpu", 2, 2, 8, "GiB"),
        instance_types=table.texts("instance_types", expected="a list, as in ['m8g.xlarge']"),
        max_vcpus=table.integer("max_vcpus", 12, 2, 15_000),
    )  # fmt: skip
    if provider.memory_gib_per_vcpu not in MEMORY_RATIOS:
        table.refuse("memory_gib_per_vcpu", "2, 4 or 8 (GiB)")
    table.refuse_unknown()
    return provider


def read_alias(parent: TomlTable) -> AliasSettings | None:
    """Read an alias: a table, or its name."""
    pattern, expected = r"(?!\d+$)[a-zA-Z0-9_-]{1,128}", "a name, as in 'live'"
    if parent.is_text("alias"):
        name = parent.text("alias", pattern=pattern, expected=expected)
        return AliasSettings(name) if name else None
    table = parent.switch("alias")
    if table is None:
        return None
    alias = AliasSettings(
        name=table.text("name", "live", pattern=pattern, expected=expected),
        deployment=table.choice("deployment", DEPLOYMENTS, "AllAtOnce"),
    )
    table.refuse_unknown()
    return alias


def read_alarms(parent: TomlTable) -> AlarmSettings | None:
    """Read the alarms."""
    table = parent.switch("alarms")
    if table is None:
        return None
    most = 1_000_000
    alarms = AlarmSettings(
        topic=table.text("topic", pattern=ARN, expected="the ARN of an SNS topic"),
        email=table.text("email", pattern=r"\S+@\S+", expected="an e-mail address"),
        errors=table.integer("errors", 1, 0, most),
        deadlines=table.integer("deadlines", 1, 0, most),
        throttles=table.integer("throttles", 1, 0, most),
        dead_letters=table.integer("dead_letters", 1, 0, most),
    )
    table.refuse_unknown()
    return alarms
