"""A function that writes what its event asks for, in all possible ways."""

import logging
import os
import sys
import threading

logger = logging.getLogger("shop.orders")
logging.warning("said at import")


class OrderError(Exception):
    pass


class Thing:
    def __str__(self):
        return "a thing"

    __repr__ = __str__


def records(event, context):
    logger.setLevel(1)
    logger.log(5, "five")
    logger.debug("debug")
    logger.info("info %s of %d", "one", 2)
    logger.log(25, "between")
    logger.warning("größe \N{SNOWMAN} \N{PILE OF POO}")
    logger.error("two\nlines")
    logger.critical("percent % and tab\t.")
    logger.log(99, "beyond")
    logging.getLogger().error("of the root")
    logger.info("")
    logger.info(Thing())
    logger.info({"order": 7, "lines": [1, 2]})
    logger.info("%(order)s", {"order": 7})
    logger.info({"thing": Thing()})
    logger.info([1, "two"])
    logger.warning("extra", extra={"order": 7, "thing": Thing(), "none": None})
    logger.warning("taken", extra={"errorType": "mine", "location": "here", "tenantId": "t"})
    logger.warning("nested", extra={"order": {"lines": [1, {"a": "ä"}]}, "flag": True})


def prints(event, context):
    print("printed", 1)
    print("no end", end="")
    print(" of standard error", file=sys.stderr)
    sys.stdout.write("half ")
    os.write(1, b"raw ")
    sys.stdout.writelines(["a\n", "b\n"])
    print("\r\ncarriage\r")
    sys.stdout.buffer.write(b"bytes\n")
    print("größe", flush=True)
    print("to the end", end="")
    print()


def threads(event, context):
    thread = threading.Thread(target=logger.warning, args=("of a thread",))
    thread.start()
    thread.join()


def user_format(event, context):
    handler = logging.getLogger().handlers[0]
    theirs = handler.formatter
    handler.setFormatter(logging.Formatter("%(levelname)s %(aws_request_id)s %(message)s\n"))
    logger.warning("in my own format")
    handler.setFormatter(theirs)


def handlers(event, context):
    """Return the class names of the log's handlers, by which libraries find them."""
    found = [type(handler).__name__ for handler in logging.getLogger().handlers]
    return found, type(logging.getLogger().handlers[0].formatter) is logging.Formatter


def with_output(event, context):
    """As `with argparse.FileType("w")("-") as out` does with standard output."""
    with sys.stdout as out:
        print("inside", file=out)
    print("behind")


def exception(event, context):
    try:
        deep(event)
    except OrderError:
        logger.exception("caught %s", "it", extra={"order": 7})


def deep(event):
    if event.get("nested"):
        return deep({**event, "nested": event["nested"] - 1})
    raise OrderError(*event.get("words", ["no stock"]))


def fail(event, context):
    return deep(event)


def builtin(event, context):
    return {}["missing"] + int(event)


def recursive(event, context):
    return recursive(event, context)


def leave(event, context):
    sys.exit(*event.get("words", []))


def handler(event, context):
    return globals()[event["do"]](event, context)
