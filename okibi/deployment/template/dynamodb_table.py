"""A DynamoDB table of the function's own."""

from ...project.settings import ProjectFunction, TableSettings
from .intrinsics import Resource, Resources


def build_table(function: ProjectFunction) -> Resources:
    """Build the table that the function's settings ask for."""
    return {"Table": make_table(function.table)} if function.table else {}


def make_table(table: TableSettings) -> Resource:
    """Make a table. It stays when the stack is removed: it holds data.

    If the stack cannot be created, the empty table is removed.
    """
    keys = [key for key in (table.partition_key, table.sort_key) if key is not None]
    properties: Resource = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": key.name, "AttributeType": key.type} for key in keys
        ],
        "KeySchema": [
            {"AttributeName": key.name, "KeyType": kind}
            for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": table.recovery},
    }
    if table.ttl:
        properties["TimeToLiveSpecification"] = {"AttributeName": table.ttl, "Enabled": True}
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }
