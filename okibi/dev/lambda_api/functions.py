"""The operations that describe functions: ListFunctions, GetFunction, and their like.

The answers are those of functions that have just been deployed. Values of environment variables are
hidden: answers are printed, and variables hold secrets.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import attrs

from ...local.invoke_api.invoke_errors import InvokeError
from ...local.invoke_api.invoke_request import find_target, read_qualifier
from ...local.limits import MAX_CONCURRENCY, MAX_LISTED_FUNCTIONS
from ..dev_function import Cors, DevFunction
from ..function_pool import FunctionPool

Json: TypeAlias = dict[str, Any]

# What stands for the value of an environment variable.
HIDDEN = "***"


@attrs.frozen
class FunctionList:
    """Answers the operations that describe functions.

    Args:
        pools: the served functions by name. A reload may change a function.
        started_at: the start of the server, with a time zone.
    """

    pools: Mapping[str, FunctionPool]
    started_at: datetime

    def answer(self, operation: str, function_name: str, query: bytes, host: str) -> Json:
        """Return the answer to an operation.

        Args:
            operation: AWS's name of it.
            function_name: a name or an ARN, or "" for an operation on all functions.
            query: the query string.
            host: name and port by which the client knows the server.

        Raises:
            InvokeError: no such function is served, or an argument is invalid.
            KeyError: the operation is not one of these.
        """
        if operation == "ListFunctions":
            return self._list(query)
        if operation == "GetAccountSettings":
            return self._account_settings()
        arns = {name: pool.function.settings.arn for name, pool in self.pools.items()}
        target = find_target(function_name, read_qualifier(query), arns)
        function = self.pools[target.name].function
        match operation:
            case "GetFunction":
                return self._get(function, target.arn)
            case "GetFunctionConfiguration":
                return self._configuration(function, target.arn)
            case "ListVersionsByFunction":
                return {"Versions": [self._configuration(function, f"{target.arn}:$LATEST")]}
            case "ListAliases":
                return {"Aliases": []}
            case "GetFunctionConcurrency":
                return _reserved(function)
            case "GetFunctionUrlConfig":
                return self._url(function, target.arn, host)
            case "ListTags":
                return {"Tags": {}}
            case _:
                raise KeyError(operation)

    def _list(self, query: bytes) -> Json:
        asked = {name: texts[0] for name, texts in parse_qs(query.decode("latin-1")).items()}
        names = sorted(self.pools)
        first = _read_marker(asked.get("Marker", ""), names)
        end = first + min(_read_max_items(asked.get("MaxItems", "")), MAX_LISTED_FUNCTIONS)
        functions = [self.pools[name].function for name in names[first:end]]
        answer: Json = {"Functions": [self._configuration(f, f.settings.arn) for f in functions]}
        if end < len(names):
            answer["NextMarker"] = names[end]
        return answer

    def _get(self, function: DevFunction, arn: str) -> Json:
        answer: Json = {
            "Configuration": self._configuration(function, arn),
            "Code": {"RepositoryType": "S3", "Location": function.settings.task_root.as_uri()},
            "Tags": {},
        }
        if reserved := _reserved(function):
            answer["Concurrency"] = reserved
        return answer

    def _configuration(self, function: DevFunction, arn: str) -> Json:
        settings = function.settings
        configuration: Json = {
            "FunctionName": settings.name,
            "FunctionArn": arn,
            "Runtime": function.runtime,
            "Role": function.role,
            "Handler": settings.handler,
            "CodeSize": 0,
            "Description": function.description,
            "Timeout": math.ceil(settings.timeout),
            "MemorySize": settings.memory,
            "LastModified": self._started_at(),
            "Version": "$LATEST",
            "TracingConfig": {"Mode": "PassThrough"},
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": [function.architecture],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {
                "ApplyOn": "PublishedVersions" if settings.snap_start else "None",
                "OptimizationStatus": "Off",
            },
            "LoggingConfig": {
                "LogFormat": "Text",
                "LogGroup": f"/aws/lambda/{settings.name}",
            },
        }
        if settings.environment:
            hidden = dict.fromkeys(settings.environment, HIDDEN)
            configuration["Environment"] = {"Variables": hidden}
        return configuration

    def _url(self, function: DevFunction, arn: str, host: str) -> Json:
        if function.url is None:
            raise InvokeError(
                404, "ResourceNotFoundException", f"{function.name} has no function URL"
            )
        answer: Json = {
            "FunctionUrl": f"http://{host}/lambda-url/{function.name}/",
            "FunctionArn": arn,
            "AuthType": "NONE",
            "InvokeMode": "RESPONSE_STREAM" if function.url.streaming else "BUFFERED",
            "CreationTime": self._started_at(),
            "LastModifiedTime": self._started_at(),
        }
        if function.url.cors is not None:
            answer["Cors"] = _cors(function.url.cors)
        return answer

    def _account_settings(self) -> Json:
        return {
            "AccountLimit": {"ConcurrentExecutions": MAX_CONCURRENCY},
            "AccountUsage": {"FunctionCount": len(self.pools)},
        }

    def _started_at(self) -> str:
        return self.started_at.strftime("%Y-%m-%dT%H:%M:%S.000%z")


def _reserved(function: DevFunction) -> Json:
    if function.reserved_concurrency is None:
        return {}
    return {"ReservedConcurrentExecutions": function.reserved_concurrency}


def _cors(cors: Cors) -> Json:
    answer: Json = {
        "AllowOrigins": list(cors.allow_origins),
        "AllowMethods": list(cors.allow_methods),
        "AllowHeaders": list(cors.allow_headers),
        "ExposeHeaders": list(cors.expose_headers),
        "AllowCredentials": cors.allow_credentials,
    }
    if cors.max_age is not None:
        answer["MaxAge"] = cors.max_age
    return answer


def _read_marker(marker: str, names: Sequence[str]) -> int:
    if not marker:
        return 0
    if marker not in names:
        raise _invalid(f"Marker must be the NextMarker of another answer, got {marker!r}")
    return names.index(marker)


def _read_max_items(text: str) -> int:
    if not text:
        return MAX_LISTED_FUNCTIONS
    # isdecimal accepts digits of other scripts; int reads them too.
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise _invalid(f"MaxItems must be an integer from 1 to 10000, got {text!r}")
    return int(text)


def _invalid(message: str) -> InvokeError:
    return InvokeError(400, "InvalidParameterValueException", message)
