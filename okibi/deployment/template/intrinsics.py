"""The values and functions of CloudFormation that templates use."""

from collections.abc import Sequence

Resource = dict[str, object]
Resources = dict[str, Resource]

# The function's logical id, and SAM's name of the alias that it makes.
FUNCTION, ALIAS = "Function", "Function.Alias"


def ref(name: str) -> Resource:
    """Refer to a resource, a parameter, or a pseudo parameter."""
    return {"Ref": name}


def get_att(resource: str, attribute: str) -> Resource:
    """Refer to an attribute of a resource."""
    return {"Fn::GetAtt": [resource, attribute]}


def sub(text: str) -> Resource:
    """Replace `${Name}` in a text."""
    return {"Fn::Sub": text}


STACK, ACCOUNT = ref("AWS::StackName"), ref("AWS::AccountId")


def arn(service: str, resource: str) -> Resource:
    """The ARN of a resource in the stack's account and region.

    >>> arn("lambda", "function:${AWS::StackName}")["Fn::Sub"]
    'arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}'
    """
    return sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def make_statement(actions: Sequence[str], resources: object) -> Resource:
    """Make a statement that allows actions on one resource or a list of resources."""
    return {"Effect": "Allow", "Action": [*actions], "Resource": resources}


def make_role(
    service: str, statements: Sequence[Resource], managed: Sequence[object] = ()
) -> Resource:
    """Make a role that an AWS service assumes for this account.

    Args:
        service: the service's name, such as `lambda`.
        statements: the rights.
        managed: ARNs of AWS's own policies.
    """
    trust: Resource = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if service == "scheduler":
        # AWS's advice against a confused deputy; the other services do not send the key.
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    properties: Resource = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}
    }
    if managed:
        properties["ManagedPolicyArns"] = [*managed]
    if statements:
        document = {"Version": "2012-10-17", "Statement": [*statements]}
        properties["Policies"] = [{"PolicyName": "okibi", "PolicyDocument": document}]
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def get_output(description: str, value: object) -> Resource:
    """Make an output of the stack."""
    return {"Description": description, "Value": value}
