"""Signatures, beside botocore's."""

import random
import string
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore import auth, awsrequest, credentials  # type: ignore[import-untyped]

from okibi.aws.credentials import Credentials
from okibi.aws.sigv4 import encode_query, sign

REGIONS = ("us-east-1", "eu-central-1", "cn-north-1")
NAMES = ("dynamodb", "sqs", "lambda", "scheduler")
COUNT = 2000


class Requests:
    """Random requests; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def word(self, letters: str, most: int, least: int = 1) -> str:
        return "".join(self.random.choices(letters, k=self.random.randint(least, most)))

    def make(self) -> dict[str, Any]:
        choose, printable = self.random.choice, string.printable[:95]
        keys = string.ascii_letters + string.digits + "/+="
        # Not "." or "..", which botocore takes for folders.
        labels = ["f" + quote(self.word(printable + "äöü→𝄞", 20), "-_.~") for _ in range(2)]
        query = {self.word(printable, 9): self.word(printable + "ä", 20, 0) for _ in range(3)}
        headers = {
            "host": choose(["lambda.eu-central-1.amazonaws.com", "127.0.0.1:4566"]),
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{self.word(string.ascii_letters, 20)}",
        }
        if choose([True, False]):
            headers["x-odd"] = f"  two   spaces {self.word(string.ascii_letters, 9)} "
        return {
            "credentials": Credentials(
                self.word(string.ascii_uppercase, 20),
                choose(["the same", self.word(keys, 40)]),
                choose(["", self.word(keys, 400)]),
            ),
            "scope": (choose(REGIONS), choose(NAMES)),
            "method": choose(["POST", "POST", "GET", "PUT", "DELETE"]),
            "path": choose(["/", f"/2015-03-31/{labels[0]}/invocations", f"/{'/'.join(labels)}"]),
            "query": encode_query(choose([{}, query])),
            "headers": headers,
            "body": self.word(printable + "äöü→𝄞", choose([9, 3000]), 0).encode(),
            "now": self.random.uniform(1.5e9, 2.2e9),
        }


def sign_by_botocore(request: dict[str, Any], patch: pytest.MonkeyPatch) -> dict[str, str]:
    now = datetime.utcfromtimestamp(request["now"])
    patch.setattr(auth, "get_current_datetime", lambda *_: now)
    keys = request["credentials"]
    url = f"https://{request['headers']['host']}{request['path']}?{request['query']}"
    signed = awsrequest.AWSRequest(
        request["method"], url.rstrip("?"), headers=dict(request["headers"]), data=request["body"]
    )
    region, name = request["scope"]
    known = credentials.Credentials(keys.access_key, keys.secret_key, keys.token or None)
    auth.SigV4Auth(known, name, region).add_auth(signed)
    return {name.lower(): text for name, text in signed.headers.items()}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")
def test_signatures_equal_those_of_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    requests = Requests(seed)

    for _ in range(COUNT):
        request = requests.make()
        theirs = sign_by_botocore(request, monkeypatch)
        sign(**request)
        assert request["headers"] == theirs


def test_no_representation_shows_a_key() -> None:
    keys = Credentials("AKID", "secret", "token")

    assert repr(keys) == str(keys) == "Credentials(***)"
