"""Security groups in the user's VPC, an ElastiCache Serverless cache, a capacity provider."""

from ...project.settings import ProjectFunction
from .intrinsics import Resource, Resources, get_att, make_role, sub
from .lambda_function import list_security_groups

CACHE_PORTS = (6379, 6380)
# A name has at most 40 characters; 9 are the stack's.
LONGEST_CACHE_NAME = 31
OPERATOR = sub("arn:${AWS::Partition}:iam::aws:policy/AWSLambdaManagedEC2ResourceOperator")


def build_network(function: ProjectFunction) -> Resources:
    """Build the security groups and the cache that the settings ask for."""
    vpc = function.vpc
    if vpc is None:
        return {}
    resources: Resources = {}
    if not vpc.security_groups:
        resources["SecurityGroup"] = {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": sub("The function of ${AWS::StackName}"),
                "VpcId": vpc.id,
            },
        }
    if vpc.cache:
        resources["CacheSecurityGroup"] = {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": sub("The cache of ${AWS::StackName}"),
                "VpcId": vpc.id,
                "SecurityGroupIngress": [
                    {
                        "IpProtocol": "tcp",
                        "FromPort": CACHE_PORTS[0],
                        "ToPort": CACHE_PORTS[1],
                        "SourceSecurityGroupId": group,
                        "Description": "The function",
                    }
                    for group in list_security_groups(vpc)
                ],
            },
        }
        resources["Cache"] = {
            "Type": "AWS::ElastiCache::ServerlessCache",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "ServerlessCacheName": _name_cache(function),
                "Engine": "valkey",
                "SubnetIds": [*vpc.subnets],
                "SecurityGroupIds": [get_att("CacheSecurityGroup", "GroupId")],
            },
        }
    return resources


def build_capacity_provider(function: ProjectFunction) -> Resources:
    """Build the capacity provider, and the role with which Lambda runs its instances."""
    provider, vpc = function.capacity_provider, function.vpc
    if provider is None or provider.arn or vpc is None:
        return {}
    requirements: Resource = {"Architectures": [function.architecture]}
    if provider.instance_types:
        requirements["AllowedInstanceTypes"] = [*provider.instance_types]
    return {
        "CapacityProvider": {
            "Type": "AWS::Lambda::CapacityProvider",
            "Properties": {
                "VpcConfig": {
                    "SubnetIds": [*vpc.subnets],
                    "SecurityGroupIds": list_security_groups(vpc),
                },
                "PermissionsConfig": {
                    "CapacityProviderOperatorRoleArn": get_att("CapacityProviderRole", "Arn")
                },
                "InstanceRequirements": requirements,
                "CapacityProviderScalingConfig": {"MaxVCpuCount": provider.max_vcpus},
            },
        },
        "CapacityProviderRole": make_role("lambda", [], [OPERATOR]),
    }


def _name_cache(function: ProjectFunction) -> Resource:
    """Name the cache after the function and the first eight digits of the stack's id."""
    stack_uuid = {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
    start = {"Fn::Select": [0, {"Fn::Split": ["-", stack_uuid]}]}
    name = function.name.lower()[:LONGEST_CACHE_NAME].rstrip("-")
    return {"Fn::Join": ["-", [name, start]]}
