import json


def lambda_handler(event, context):
    """Log the job of a schedule."""
    print("report:", json.dumps(event), context.function_name)
    return event
