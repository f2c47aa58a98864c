"""Functions with one feature each, and one with all that go together."""

from okibi.project.settings import (
    AlarmSettings,
    AliasSettings,
    AuthorizerSettings,
    CapacityProviderSettings,
    EntitySettings,
    KafkaSettings,
    KeySettings,
    PolicySettings,
    ProjectFunction,
    QueueSettings,
    RuntimeSettings,
    ScheduleSettings,
    StreamSettings,
    TableSettings,
    UrlSettings,
    VpcSettings,
)

VPC = VpcSettings(
    ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"), id="vpc-0123456789abcdef0"
)
GROUPS = ("sg-0123456789abcdef0",)
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/visits:1"
RUNTIME_ARN = "arn:aws:lambda:eu-central-1:123456789012:runtime/okibi"
STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
TABLE_STREAM = (
    "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
)
CLUSTER = (
    "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/01234567-89ab-4cde-8f01-23456789abcd-3"
)
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_shop-1a2b3c"
SERVERS = ("b-1.kafka.example:9092", "b-2.kafka.example:9092")
JWT = AuthorizerSettings(
    "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abcdefghi", ("visits-client",)
)
EVERYTHING = {
    "environment": {"LEVEL": "info"},
    "tracing": True,
    "policies": (PolicySettings(("s3:GetObject",), ("arn:aws:s3:::bucket/*",)),),
    "url": UrlSettings(streaming=True, auth="none", cors=("https://a.example",)),
    "routes": ("GET /visits/{name}", "$default"),
    "schedule": ScheduleSettings("rate(5 minutes)", "Europe/Berlin", '{"job": "tidy"}'),
    "queue": QueueSettings(batch_size=50, batching_window=5, maximum_concurrency=4),
    "stream": StreamSettings(STREAM, batching_window=5, parallelization_factor=2),
    "kafka": KafkaSettings("orders", (CLUSTER,), batching_window=5),
    "table": TableSettings(KeySettings("id"), KeySettings("at", "N"), ttl="expires"),
    "entities": EntitySettings(),
    "alarms": AlarmSettings(email="ops@example.com"),
    "alias": AliasSettings("live", "Canary10Percent5Minutes"),
}


def make(**settings: object) -> ProjectFunction:
    """A function with some settings."""
    return ProjectFunction("visits", "app.function", **settings)  # type: ignore[arg-type]


FUNCTIONS = {
    "plain": make(),
    "json logs": make(log_format="json", log_retention=1),
    "arm64": make(architecture="arm64", python="3.14"),
    "provided": make(runtime=RuntimeSettings("provided.al2023")),
    "image": make(runtime=RuntimeSettings(image=IMAGE)),
    "half an hour": make(timeout=1800),
    "layers": make(layers=("arn:aws:lambda:eu-central-1:123456789012:layer:otel:1",)),
    "private url": make(url=UrlSettings()),
    "public streaming url": make(url=UrlSettings(True, "none", ("*",))),
    "routes": make(routes=("GET /visits/{name}", "POST /visits", "$default")),
    "routes for tokens": make(
        routes=("GET /visits/{name}", "OPTIONS /visits/{name}", "$default"), authorizer=JWT
    ),
    "routes for iam": make(routes=("GET /visits", "$default"), authorizer=AuthorizerSettings()),
    "schedule": make(schedule=ScheduleSettings("cron(0 3 * * ? *)")),
    "queue": make(queue=QueueSettings()),
    "fifo queue": make(queue=QueueSettings(fifo=True)),
    "kinesis stream": make(stream=StreamSettings(STREAM)),
    "stream of a table": make(stream=StreamSettings(TABLE_STREAM, starting_position="latest")),
    "msk topic": make(kafka=KafkaSettings("orders", (CLUSTER,))),
    "msk topic with secret": make(kafka=KafkaSettings("orders", (CLUSTER,), SECRET)),
    "self-managed topic": make(
        kafka=KafkaSettings("orders", SERVERS, SECRET, "basic_auth")
    ),
    "self-managed topic in vpc": make(
        vpc=VpcSettings(VPC.subnets, GROUPS), kafka=KafkaSettings("orders", SERVERS)
    ),
    "self-managed topic in vpc with new group": make(
        vpc=VPC, kafka=KafkaSettings("orders", SERVERS)
    ),
    "table": make(table=TableSettings(KeySettings("id"))),
    "entities": make(entities=EntitySettings()),
    "entities of another function": make(entities=EntitySettings("shop-EntityTable-1A2B3C")),
    "entities behind an alias": make(entities=EntitySettings(), alias=AliasSettings("live")),
    "vpc with own groups": make(vpc=VpcSettings(VPC.subnets, GROUPS)),
    "vpc with cache": make(vpc=VpcSettings(VPC.subnets, GROUPS, VPC.id, cache=True)),
    "vpc with new group and cache": make(vpc=VpcSettings(VPC.subnets, id=VPC.id, cache=True)),
    "managed instances": make(
        vpc=VPC, memory=4096, log_format="json", capacity_provider=CapacityProviderSettings()
    ),
    "snapstart": make(snapstart=True, url=UrlSettings()),
    "alias": make(alias=AliasSettings("live"), queue=QueueSettings()),
    "gradual deployment": make(alias=AliasSettings("live", "Linear10PercentEvery1Minute")),
    "alarms": make(alarms=AlarmSettings(topic="arn:aws:sns:eu-central-1:123456789012:ops")),
    "alarms on metrics": make(
        environment={"OKIBI_METRICS": "shop/tree"},
        alarms=AlarmSettings(),
        alias=AliasSettings("live", "Canary10Percent5Minutes"),
    ),
    "everything": make(**EVERYTHING, vpc=VpcSettings(VPC.subnets, GROUPS, VPC.id, cache=True)),
}  # fmt: skip

NEWER_THAN_THE_TOOLS = {
    "customer-managed runtime": make(runtime=RuntimeSettings("custom", RUNTIME_ARN, "live")),
}
"""What cfn-lint and SAM do not know yet."""
