"""`okibi invoke --remote`: invoke a deployed function."""

import base64

from ..deployment.aws import Aws, AwsError, call_in_thread, connect
from ..deployment.remote_function import MISSING, describe_missing, find_function
from ..project.arguments import find_current_folder
from ..project.reader import read_project
from .output import write_err, write_out
from .print_event import read_event_or_sample
from .until_signal import run_command

OUTPUT = "the answers"
GOOD, FUNCTION_ERROR = 0, 1


def invoke_remote(
    name: str,
    event: str | None,
    *,
    sample: str | None = None,
    repeat: int = 1,
    stack: str | None = None,
    region: str | None = None,
    endpoint_url: str | None = None,
) -> int:
    """Invoke a deployed function. Answers go to stdout, the end of its log to stderr.

    Args:
        name: a function of pyproject.toml, its handler, or a function on Lambda.
        event: JSON, path of a JSON file, "-" for stdin, or None for `{}`.
        sample: the name of a sample event in place of the event.
        repeat: the number of invocations.
        stack: the function's stack; None for the stack of the function's name.
        region: the AWS region; None for the choice of the AWS SDK.
        endpoint_url: an emulator's address.

    Returns:
        The exit code: 0 if all answers are good, 1 after a function error, 2 for bad input.
    """

    def run() -> int:
        project = read_project(find_current_folder())
        payload = read_event_or_sample(event, sample)
        aws = connect(region or project.region or None, endpoint_url)
        function = find_function(aws, project, name, stack)
        return max(_invoke(aws, function, payload) for _ in range(repeat))

    return run_command(OUTPUT, lambda: call_in_thread(run))


def _invoke(aws: Aws, function: str, event: bytes) -> int:
    try:
        answer = aws.call("lambda", "invoke", FunctionName=function, Payload=event, LogType="Tail")
    except AwsError as error:
        if error.code != MISSING:
            raise
        raise describe_missing(aws, function) from error
    log = base64.b64decode(answer.get("LogResult") or "")
    for line in log.decode("utf-8", "replace").splitlines():
        write_err(line)
    write_out(answer["Payload"].read().rstrip(b"\n") + b"\n", OUTPUT)
    return FUNCTION_ERROR if answer.get("FunctionError") else GOOD
