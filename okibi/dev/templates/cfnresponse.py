"""Answer CloudFormation about a custom resource.

CloudFormation adds a module of this name to inline code (`ZipFile`), and `okibi dev` adds this one.
(AWS CloudFormation: cfn-response module.)
"""

import json
import urllib.request
from typing import Any

SUCCESS = "SUCCESS"
FAILED = "FAILED"


def send(
    event: dict[str, Any],
    context: Any,
    responseStatus: str,  # noqa: N803, the names of CloudFormation's module
    responseData: object,  # noqa: N803
    physicalResourceId: str | None = None,  # noqa: N803
    noEcho: bool = False,  # noqa: N803
    reason: str | None = None,
) -> None:
    """Send the response to a request of CloudFormation.

    Args:
        event: the request.
        context: the context of the invocation.
        responseStatus: SUCCESS or FAILED.
        responseData: the attributes of the resource, by name.
        physicalResourceId: names the resource; None for the log stream.
        noEcho: whether CloudFormation hides the attributes.
        reason: the reason for a failure; None names the log stream.
    """
    answer = {
        "Status": responseStatus,
        "Reason": reason or f"See the details in CloudWatch Log Stream: {context.log_stream_name}",
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT"
    )
    try:
        with urllib.request.urlopen(request) as response:
            print("Status code:", response.status)
    except OSError as error:
        # As CloudFormation's module: the function goes on.
        print("cfnresponse: CloudFormation could not be answered:", error)
