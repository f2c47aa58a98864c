"""Find the operation of Lambda's API that a request asks for."""

import re

import attrs

_LAMBDA_PATH = re.compile(
    r"/20\d\d-\d\d-\d\d/(?:account-settings|capacity-providers|code-signing-configs"
    r"|durable-execution-callbacks|durable-executions|event-source-mappings|extension|functions"
    r"|layers|resource-policy|runtime|runtimes|tags)(?:/.*)?"
)

_FUNCTIONS = "/2015-03-31/functions"
_OPERATIONS = [
    (name, method, re.compile(path))
    for name, method, path in (
        ("Invoke", "POST", rf"{_FUNCTIONS}/([^/]+)/invocations"),
        (
            "InvokeWithResponseStream",
            "POST",
            r"/2021-11-15/functions/([^/]+)/response-streaming-invocations",
        ),
        ("InvokeAsync", "POST", r"/2014-11-13/functions/([^/]+)/invoke-async/?"),
        ("ListFunctions", "GET", rf"{_FUNCTIONS}/?()"),
        ("GetFunction", "GET", rf"{_FUNCTIONS}/([^/]+)"),
        ("GetFunctionConfiguration", "GET", rf"{_FUNCTIONS}/([^/]+)/configuration"),
        ("ListVersionsByFunction", "GET", rf"{_FUNCTIONS}/([^/]+)/versions"),
        ("ListAliases", "GET", rf"{_FUNCTIONS}/([^/]+)/aliases"),
        ("GetFunctionConcurrency", "GET", r"/2019-09-30/functions/([^/]+)/concurrency"),
        ("GetFunctionUrlConfig", "GET", r"/2021-10-31/functions/([^/]+)/url"),
        ("ListTags", "GET", r"/2017-03-31/tags/([^/]+)"),
        ("GetAccountSettings", "GET", r"/2016-08-19/account-settings/?()"),
    )
]

# The names of the implemented operations. Only `okibi dev` has those that describe functions.
IMPLEMENTED = tuple(name for name, _, _ in _OPERATIONS)


@attrs.frozen
class Operation:
    """An implemented operation.

    Args:
        name: AWS's name of it, such as `Invoke`.
        function_name: `FunctionName`, a name or an ARN, or "".
    """

    name: str
    function_name: str

    @property
    def streams(self) -> bool:
        """Whether the response is a stream."""
        return self.name == "InvokeWithResponseStream"


def invoke_path(name: str) -> str:
    """Return the path to POST events of a function to (Lambda Invoke)."""
    return f"{_FUNCTIONS}/{name}/invocations"


def is_lambda_path(path: str) -> bool:
    """Return whether a path belongs to Lambda's API, and not to a function's routes.

    Args:
        path: the path of a request, URL-decoded.

    Example:
        >>> is_lambda_path("/2015-03-31/functions/hello/invocations")
        True
        >>> is_lambda_path("/2026-11-30/diary")
        False
    """
    return _LAMBDA_PATH.fullmatch(path) is not None


def find_operation(method: str, path: str) -> Operation | None:
    """Return the operation that a request asks for, or None if it is not implemented.

    Args:
        method: the HTTP method.
        path: the path, URL-decoded.

    Example:
        >>> find_operation("GET", "/2015-03-31/functions/hello")
        Operation(name='GetFunction', function_name='hello')
    """
    for name, expected, pattern in _OPERATIONS:
        if method == expected and (found := pattern.fullmatch(path)):
            return Operation(name, found[1])
    return None
