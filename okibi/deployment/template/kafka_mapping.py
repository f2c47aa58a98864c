"""What sends the records of a Kafka topic to the function: of Amazon MSK, or of another cluster."""

from ...project.settings import KafkaSettings, ProjectFunction, VpcSettings
from .dead_letters import OF_KAFKA, build_dead_letter_queue, build_reading
from .intrinsics import Resource, Resources, make_statement, sub
from .lambda_function import list_security_groups, target_arn

# Lambda's documentation: permissions of the execution role.
FIND_CLUSTER = ("kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers")
USE_CLUSTER = ("kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration")
READ_TOPIC = ("kafka-cluster:DescribeTopic", "kafka-cluster:ReadData")
USE_GROUP = ("kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup")
CHANGE_INTERFACES = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")
# EC2 accepts no resource for these.
DESCRIBE_NETWORK = (
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"),
    *("ec2:DescribeSubnets", "ec2:DescribeVpcs"),
)


def build_kafka_mapping(function: ProjectFunction) -> Resources:
    """Build the mapping and its dead-letter queue. Cluster and topic exist already."""
    kafka = function.kafka
    if kafka is None:
        return {}
    cluster: Resource = (
        {"EventSourceArn": kafka.cluster[0]}
        if kafka.is_msk
        else {"SelfManagedEventSource": {"Endpoints": {"KafkaBootstrapServers": [*kafka.cluster]}}}
    )
    properties: Resource = {
        **cluster,
        "Topics": [kafka.topic],
        "FunctionName": target_arn(function),
        **build_reading(kafka, OF_KAFKA),
        # Only in provisioned mode does Lambda take partial failures of a topic, and the limits.
        "ProvisionedPollerConfig": {"MinimumPollers": 1},
    }
    if access := _list_access(kafka, function.vpc):
        properties["SourceAccessConfigurations"] = access
    return {
        OF_KAFKA: build_dead_letter_queue(),
        "KafkaMapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties},
    }


def list_kafka_statements(function: ProjectFunction) -> list[Resource]:
    """List the rights to find the cluster, to sign in, and to reach the cluster by its network."""
    kafka = function.kafka
    if kafka is None:
        return []
    statements = list[Resource]()
    if kafka.is_msk:
        statements.append(make_statement(FIND_CLUSTER, kafka.cluster[0]))
    if kafka.secret:
        statements.append(make_statement(("secretsmanager:GetSecretValue",), kafka.secret))
    elif kafka.is_msk:
        statements += [
            make_statement(USE_CLUSTER, kafka.cluster[0]),
            make_statement(READ_TOPIC, f"{_find_in_cluster(kafka, 'topic')}/{kafka.topic}"),
            # Lambda names the group after the mapping.
            make_statement(USE_GROUP, f"{_find_in_cluster(kafka, 'group')}/*"),
        ]
    if kafka.is_msk or function.vpc:
        interfaces = sub("arn:${AWS::Partition}:ec2:${AWS::Region}:*:*/*")
        statements.append(make_statement(CHANGE_INTERFACES, interfaces))
        statements.append(make_statement(DESCRIBE_NETWORK, "*"))
    return statements


def _find_in_cluster(kafka: KafkaSettings, kind: str) -> str:
    """Make the start of the ARN of a topic or a group from that of its cluster."""
    return kafka.cluster[0].replace(":cluster/", f":{kind}/")


def _list_access(kafka: KafkaSettings, vpc: VpcSettings | None) -> list[Resource]:
    """List how Lambda signs in and, for a cluster that is not MSK's, from which network."""
    access = list[tuple[str, object]]()
    if kafka.secret:
        access.append((kafka.auth.upper(), kafka.secret))
    if vpc is not None and not kafka.is_msk:
        access += [("VPC_SUBNET", f"subnet:{each}") for each in vpc.subnets]
        groups = list_security_groups(vpc)
        access += [("VPC_SECURITY_GROUP", _name_group(each)) for each in groups]
    return [{"Type": kind, "URI": uri} for kind, uri in access]


def _name_group(group: object) -> object:
    """Name a security group of the user's, or the template's own."""
    if isinstance(group, str):
        return f"security_group:{group}"
    return sub("security_group:${SecurityGroup.GroupId}")
