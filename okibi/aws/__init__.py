"""A small AWS client on trio, for the services that speak JSON.

    from okibi import aws

    answer = await aws.call("dynamodb", "GetItem", {"TableName": "carts", "Key": {...}})

boto3 remains the client for every other service: `in_thread` runs its methods.
"""

from ..dynamodb_items import from_item, from_value, to_item, to_value
from .answers import Answer, answer_with
from .client import Client, call, pages
from .errors import CallFailed
from .threads import in_thread

__all__ = [
    "Answer",
    "CallFailed",
    "Client",
    "answer_with",
    "call",
    "from_item",
    "from_value",
    "in_thread",
    "pages",
    "to_item",
    "to_value",
]
