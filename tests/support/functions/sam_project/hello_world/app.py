import json


def lambda_handler(event, context):
    """Answer a request of API Gateway's REST API, as `sam init` writes it."""
    return {
        "statusCode": 200,
        "body": json.dumps({"message": "hello world", "resource": event["resource"]}),
    }
