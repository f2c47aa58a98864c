"""Events of SQS, SNS, SES, EventBridge and EventBridge Scheduler."""

import hashlib

from .sample import ACCOUNT, REGION, TIME, TIME_MS, Changes, Event

__all__ = ["eventbridge", "schedule", "ses", "sns", "sqs"]

ORDER = '{"order": 1}'


def sqs(changes: Changes) -> Event:
    """Make an event of an SQS queue (Lambda: using Lambda with Amazon SQS)."""
    body = changes.text(ORDER)
    return {
        "Records": [
            {
                "messageId": f"00000000-0000-4000-8000-{number:012}",
                "receiptHandle": f"SampleReceiptHandle{number}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(TIME_MS),
                    "SenderId": "AIDASAMPLESENDERID000",
                    "ApproximateFirstReceiveTimestamp": str(TIME_MS + 1),
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:sample-queue",
                "awsRegion": REGION,
            }
            for number in range(1, changes.count + 1)
        ]
    }


def sns(changes: Changes) -> Event:
    """Make an event of an SNS topic (Lambda: using Lambda with Amazon SNS)."""
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:sample-topic"
    service = f"https://sns.{REGION}.amazonaws.com"
    # An event of a topic has always one record.
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:00000000-0000-4000-8000-000000000000",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": "00000000-0000-4000-8000-000000000001",
                    "TopicArn": topic,
                    "Subject": "Sample subject",
                    "Message": changes.text(ORDER),
                    "Timestamp": TIME,
                    "SignatureVersion": "1",
                    "Signature": "SampleSignature==",
                    "SigningCertUrl": f"{service}/SimpleNotificationService-sample.pem",
                    "UnsubscribeUrl": f"{service}/?Action=Unsubscribe&SubscriptionArn={topic}",
                    "MessageAttributes": {},
                },
            }
        ]
    }


def ses(_: Changes) -> Event:
    """Make an event of an e-mail (SES: Lambda function action). Lambda gets no body of it."""
    sender, receiver = "ada@example.com", "visits@example.org"
    common = {
        "From": f"Ada <{sender}>",
        "To": receiver,
        "Date": "Thu, 1 Jan 2026 12:00:00 +0000",
        "Message-ID": "<sample@example.com>",
        "Subject": "Sample subject",
    }
    return {
        "Records": [
            {
                "eventSource": "aws:ses",
                "eventVersion": "1.0",
                "ses": {
                    "mail": {
                        "timestamp": TIME,
                        "source": sender,
                        "messageId": "samplemessageid00000",
                        "destination": [receiver],
                        "headersTruncated": False,
                        "headers": [
                            {"name": "Return-Path", "value": f"<{sender}>"},
                            *({"name": name, "value": value} for name, value in common.items()),
                            {"name": "Content-Type", "value": "text/plain; charset=UTF-8"},
                        ],
                        "commonHeaders": {
                            "returnPath": sender,
                            "from": [common["From"]],
                            "to": [receiver],
                            "date": common["Date"],
                            "messageId": common["Message-ID"],
                            "subject": common["Subject"],
                        },
                    },
                    "receipt": {
                        "timestamp": TIME,
                        "processingTimeMillis": 500,
                        "recipients": [receiver],
                        "spamVerdict": {"status": "PASS"},
                        "virusVerdict": {"status": "PASS"},
                        "spfVerdict": {"status": "PASS"},
                        "dkimVerdict": {"status": "PASS"},
                        "dmarcVerdict": {"status": "PASS"},
                        "action": {
                            "type": "Lambda",
                            "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sample",
                            "invocationType": "Event",
                        },
                    },
                },
            }
        ]
    }


def eventbridge(changes: Changes) -> Event:
    """Make an event of an event bus (EventBridge: event structure). The body is its `detail`."""
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000001",
        "detail-type": "Sample event",
        "source": "com.example.orders",
        "account": ACCOUNT,
        "time": TIME.replace(".000", ""),
        "region": REGION,
        "resources": [],
        "detail": changes.mapping({"order": 1}),
    }


def schedule(_: Changes) -> Event:
    """Make an event of a scheduled rule (EventBridge: scheduled events)."""
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000001",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": TIME.replace(".000", ""),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/sample-schedule"],
        "detail": {},
    }
