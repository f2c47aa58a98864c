"""pure-lambda-ric (PyPI) with the echo. Its handlers return values of its own effect library."""

import logging
import os
from typing import Any

from fa_purity import Cmd, FrozenDict, Result
from pure_lambda_ric import HandlerId, start_lambda_listener


def echo(event: Any, context: object) -> Any:
    return Cmd.wrap_value(Result.success(event.raw))


def main() -> None:
    os.environ["HANDLER_ID"] = "echo"
    handlers = FrozenDict({HandlerId("echo"): echo})
    start_lambda_listener(logging.getLogger("silent"), lambda: handlers).compute()


if __name__ == "__main__":
    main()
