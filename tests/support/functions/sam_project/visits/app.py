import json
import os

import names


def lambda_handler(event, context):
    """Answer a request of an HTTP API, with payload format 2.0."""
    if event["routeKey"] == "POST /visits":
        name = json.loads(event["body"])["name"]
    else:
        name = event["pathParameters"]["name"]
    return {
        "greeting": names.greet(name),
        "stage": os.environ["STAGE"],
        "table": os.environ["TABLE_NAME"],
        "reports": os.environ["REPORTS"].rpartition(":")[2],
    }
