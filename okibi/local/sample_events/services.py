"""Events of S3, Cognito, AppSync, CloudFormation, Secrets Manager and Lambda's destinations."""

from urllib.parse import quote_plus

from .sample import ACCOUNT, REGION, TIME, Changes, Event

__all__ = [
    "appsync",
    "cloudformation",
    "cognito_custom_message",
    "cognito_post_confirmation",
    "cognito_pre_sign_up",
    "cognito_pre_token_generation",
    "lambda_destination",
    "s3",
    "secrets_rotation",
]

USER_ID = "00000000-0000-4000-8000-000000000001"


def s3(changes: Changes) -> Event:
    """Make an event of an S3 bucket (S3: event message structure). The path is the object's key."""
    # The key is sent URL-encoded, with "+" for a space.
    key = quote_plus(changes.path.lstrip("/") or "folder/sample file.txt", safe="/")
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": REGION,
                "eventTime": TIME,
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AWS:SAMPLEPRINCIPALID"},
                "requestParameters": {"sourceIPAddress": "192.0.2.1"},
                "responseElements": {
                    "x-amz-request-id": "SAMPLEREQUEST001",
                    "x-amz-id-2": "SampleExtendedRequestId",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "sample-notification",
                    "bucket": {
                        "name": "sample-bucket",
                        "ownerIdentity": {"principalId": "SAMPLEOWNERID"},
                        "arn": "arn:aws:s3:::sample-bucket",
                    },
                    "object": {
                        "key": key,
                        "size": 1024,
                        "eTag": "0123456789abcdef0123456789abcdef",
                        "sequencer": f"{number:018X}",
                    },
                },
            }
            for number in range(1, changes.count + 1)
        ]
    }


def cognito_pre_sign_up(_: Changes) -> Event:
    """Make an event of a sign-up (Cognito: pre sign-up Lambda trigger)."""
    event = _cognito("PreSignUp_SignUp")
    event["request"] = {
        "userAttributes": {"email": "ada@example.com"},
        "validationData": None,
    }
    event["response"] = {
        "autoConfirmUser": False,
        "autoVerifyEmail": False,
        "autoVerifyPhone": False,
    }
    return event


def cognito_post_confirmation(_: Changes) -> Event:
    """Make an event of a confirmed user (Cognito: post confirmation Lambda trigger)."""
    return _cognito("PostConfirmation_ConfirmSignUp")


def cognito_pre_token_generation(_: Changes) -> Event:
    """Make an event before a token (Cognito: pre token generation Lambda trigger, version 2)."""
    event = _cognito("TokenGeneration_Authentication")
    event["version"] = "2"
    event["request"] |= {
        "groupConfiguration": {
            "groupsToOverride": ["sample-group"],
            "iamRolesToOverride": [],
            "preferredRole": None,
        },
        "scopes": ["aws.cognito.signin.user.admin"],
    }
    event["response"] = {"claimsAndScopeOverrideDetails": None}
    return event


def cognito_custom_message(_: Changes) -> Event:
    """Make an event before a message is sent (Cognito: custom message Lambda trigger)."""
    event = _cognito("CustomMessage_SignUp")
    event["request"] |= {
        "codeParameter": "{####}",
        "linkParameter": "{##Click Here##}",
        "usernameParameter": None,
    }
    event["response"] = {"smsMessage": None, "emailMessage": None, "emailSubject": None}
    return event


def _cognito(trigger: str) -> Event:
    return {
        "version": "1",
        "triggerSource": trigger,
        "region": REGION,
        "userPoolId": f"{REGION}_sample",
        "userName": "ada",
        "callerContext": {
            "awsSdkVersion": "aws-sdk-unknown-unknown",
            "clientId": "sampleclientid",
        },
        "request": {
            "userAttributes": {
                "sub": USER_ID,
                "email": "ada@example.com",
                "email_verified": "true",
                "cognito:user_status": "CONFIRMED",
            }
        },
        "response": {},
    }


def appsync(changes: Changes) -> Event:
    """Make an event of a GraphQL field (AppSync: direct Lambda resolvers).

    The body is the field's arguments.
    """
    arguments = changes.mapping({"id": "1"})
    issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{REGION}_sample"
    return {
        "arguments": arguments,
        "identity": {
            "claims": {"sub": USER_ID, "iss": issuer, "username": "ada", "token_use": "access"},
            "defaultAuthStrategy": "ALLOW",
            "groups": None,
            "issuer": issuer,
            "sourceIp": ["192.0.2.1"],
            "sub": USER_ID,
            "username": "ada",
        },
        "source": None,
        "request": {
            "headers": {
                "host": f"sample.appsync-api.{REGION}.amazonaws.com",
                "content-type": "application/json",
                "user-agent": "sample",
                "x-forwarded-for": "192.0.2.1",
            },
            "domainName": None,
        },
        "prev": None,
        "info": {
            "selectionSetList": ["id", "name"],
            "selectionSetGraphQL": "{\n  id\n  name\n}",
            "parentTypeName": "Query",
            "fieldName": "getVisit",
            "variables": {},
        },
        "stash": {},
    }


def cloudformation(changes: Changes) -> Event:
    """Make an event of a custom resource (CloudFormation: custom resource requests).

    The body is the resource's properties.
    """
    token = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sample"
    return {
        "RequestType": "Create",
        "ServiceToken": token,
        # A name that leads nowhere: a handler that answers harms nothing.
        "ResponseURL": "https://sample.invalid/response",
        "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/sample-stack/{USER_ID}",
        "RequestId": USER_ID,
        "LogicalResourceId": "SampleResource",
        "ResourceType": "Custom::Sample",
        "ResourceProperties": {"ServiceToken": token, **changes.mapping({"Name": "sample"})},
    }


def secrets_rotation(_: Changes) -> Event:
    """Make an event of a secret's rotation (Secrets Manager: rotation function)."""
    return {
        "Step": "createSecret",
        "SecretId": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:sample-secret-AbCdEf",
        "ClientRequestToken": USER_ID,
    }


def lambda_destination(changes: Changes) -> Event:
    """Make the record of a failed asynchronous invocation (Lambda: on-failure destinations).

    The body is the event of that invocation.
    """
    return {
        "version": "1.0",
        "timestamp": TIME,
        "requestContext": {
            "requestId": USER_ID,
            "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sample:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": changes.mapping({"order": 1}),
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": {
            "errorMessage": "a sample error",
            "errorType": "ValueError",
            "requestId": USER_ID,
            "stackTrace": [],
        },
    }
