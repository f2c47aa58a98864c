"""Start a function twice, and record what a start imports and compiles.

The process runs against a small Runtime API without events: the function's handler never runs.

No value of an environment variable may reach the recording. The process has no variable of this
machine, and the two starts have different values of the function's own variables. A text that only
one of the starts compiled depends on a value, and is left out.
"""

import atexit
import io
import json
import marshal
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

import attrs

from ..local.sandbox.environment import CREDENTIALS, sandbox_environment
from ..local.settings import RESERVED_VARIABLES, FunctionSettings
from ..runtime.startup.find_function import WRAPPERS
from .placeholders import PLACEHOLDER, make_placeholder
from .staging import Staged
from .start_files import ENTRY

# Seconds for a start. Lambda allows 10.
LIMIT = 30.0
RECORDER = Path(__file__).with_name("recorder.py")
PLAIN_ENTRY = "from okibi.runtime.__main__ import start\nstart()\n"
# Beginnings of variables that configure Python and okibi, and the variables that name a handler
# behind a library's. Both starts have their values.
SETTINGS = ("AWS_LAMBDA_", "OKIBI_", "PYTHON", *(variable for variable, *_ in WRAPPERS.values()))
# Folders above Python that tell nothing of this machine.
PLAIN_PREFIXES = (Path("/"), Path("/usr"), Path("/usr/local"))


@attrs.frozen
class RecordedModule:
    """An imported module.

    Args:
        name: the module's name.
        file: the module's file; "" if the module has none.
        is_package: whether the module is a package.
        loader: the class of the loader.
        own_ms: milliseconds of its import, without the imports inside it.
    """

    name: str
    file: str
    is_package: bool
    loader: str
    own_ms: float


@attrs.frozen
class AttrsText:
    """A text that attrs compiled for a class of its own.

    Args:
        source: the text, with the salt as a call.
        filename: the file name that attrs gives it.
        flags: the compiler's flags.
    """

    source: str
    filename: str
    flags: int


@attrs.frozen
class RecordedClass:
    """A class that attrs made.

    Args:
        module: the class's module.
        name: the qualified name.
        recipe: the parts of the recipe, by `recipe_recorder`; None for a class without one.
    """

    module: str
    name: str
    recipe: tuple[Any, ...] | None


@attrs.frozen
class Recording:
    """The record of a start, up to its first `GET /next` or its failure.

    Args:
        modules: the imported modules, in the order in which their imports ended.
        attrs_texts: the texts that attrs compiled for its own classes, in the order of compilation.
        problem: the reason why the start did not reach `GET /next`; "" after a complete start.
        expressions: the texts that `namedtuple` evaluated and `typing` compiled.
        patterns: the patterns that `re` compiled, with their flags.
        early_end: the problem of the start with placeholders, if texts, expressions and patterns
            end before the modules do; "" if they are complete.
        unset: the variables that the start subscripted although they were not set.
        classes: the classes that attrs made, in order.
        platform: the system and the version of the Python that started.
    """

    modules: tuple[RecordedModule, ...] = ()
    attrs_texts: tuple[AttrsText, ...] = ()
    problem: str = ""
    expressions: frozenset[str] = frozenset()
    patterns: frozenset[tuple[str | bytes, int]] = frozenset()
    early_end: str = ""
    unset: frozenset[str] = frozenset()
    classes: tuple[RecordedClass, ...] = ()
    platform: tuple[str | int, ...] = ()

    def import_times(self) -> Mapping[str, float]:
        """Return milliseconds by top-level package, slowest first."""
        times: defaultdict[str, float] = defaultdict(float)
        for module in self.modules:
            times[module.name.partition(".")[0]] += module.own_ms
        return dict(sorted(times.items(), key=lambda each: (-each[1], each[0])))


def record_start(
    place: "StartEnvironment",
    handler: str,
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
    limit: float = LIMIT,
) -> Recording:
    """Start a function twice, and record what does not depend on its environment variables.

    The first start has the function's own variables, so it imports what a start on Lambda imports.
    The second has placeholders.

    Args:
        place: the interpreter and folders.
        handler: the handler to start.
        environment: the function's own environment variables.
        limit: seconds for each start.

    Returns:
        The recording. After a failure it has what was recorded until then.

    Raises:
        OSError: the interpreter does not start.
    """
    placeholders = {
        name: value if name.startswith(SETTINGS) else make_placeholder(value)
        for name, value in environment.items()
    }
    first = _record_once(place, handler, environment, 1, limit)
    second = _record_once(place, handler, placeholders, 2, limit)
    return keep_common(first, second, find_prefixes(place.python[0]))


def _record_once(
    place: "StartEnvironment",
    handler: str,
    environment: Mapping[str, str],
    number: int,
    limit: float,
) -> Recording:
    """Start a function and record the start. The number is the end of each placeholder."""
    with tempfile.TemporaryDirectory(prefix="okibi-record-") as scratch, _Api() as api:
        out = Path(scratch, "rows")
        out.touch()
        entry = place.entry
        if entry is None:
            entry = Path(scratch, "okibi_start.py")
            entry.write_text(PLAIN_ENTRY)
        arguments = [str(out), str(entry), PLACEHOLDER, str(number)]
        command = [*place.python, str(RECORDER), *arguments]
        variables = make_variables(place, handler, environment, api.address, scratch)
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command, cwd=place.task_root, env=variables, stdin=subprocess.DEVNULL,
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
            # After Ctrl-C the command exits, and leaves this thread behind.
            atexit.register(_kill_group, process)
            try:
                problem = api.wait(process, limit, handler)
            finally:
                _kill_group(process)
                atexit.unregister(_kill_group)
            if problem == "":
                problem = _last_line(said.fileno()) or f"it ended with code {process.returncode}"
        return parse_rows(out.read_bytes(), problem or "")


def make_variables(
    place: "StartEnvironment",
    handler: str,
    environment: Mapping[str, str],
    runtime_api: str,
    home: str,
) -> dict[str, str]:
    """Return all environment variables of a recorded start: Lambda's, and the function's own.

    Args:
        place: the interpreter and folders.
        handler: the handler to start.
        environment: the function's own variables.
        runtime_api: host and port of the Runtime API.
        home: an empty folder. This machine's home folder may hold credentials.
    """
    # Lambda refuses a function that sets a reserved variable.
    own = {name: value for name, value in environment.items() if name not in RESERVED_VARIABLES}
    settings = FunctionSettings(handler, task_root=place.task_root, environment=own)
    of_lambda = sandbox_environment(settings, runtime_api, {})
    return {
        **{name: value for name, value in of_lambda.items() if name not in CREDENTIALS},
        # boto3 looks for credentials in these two places, and sends nothing without any.
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": home,
        "PYTHONPATH": os.pathsep.join(map(str, place.path)),
        # The same imports in the same order in each build, and no bytecode in the package.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def keep_common(first: Recording, second: Recording, prefixes: Iterable[Path]) -> Recording:
    """Return the first of two recordings, without texts that depend on the start or the machine.

    A text that only one start compiled has a value in it: of a variable, of the clock, or a random
    one. A text with the name of a folder from which the start imports is left out too: the folder
    is another one on Lambda.

    Args:
        first: the recording whose modules and problem are kept.
        second: a recording with other values.
        prefixes: folders of the interpreter.
    """
    folders = {str(folder) for folder in (*prefixes, *find_import_folders(first.modules))}

    def is_plain(text: str | bytes) -> bool:
        written = text if isinstance(text, str) else text.decode("latin-1")
        # `re.escape` writes backslashes.
        written = written.replace("\\", "")
        return not any(folder in written for folder in folders)

    texts, classes = {*second.attrs_texts}, {*second.classes}
    return attrs.evolve(
        first,
        attrs_texts=tuple(
            each for each in first.attrs_texts if each in texts and is_plain(each.source)
        ),
        expressions=frozenset(filter(is_plain, first.expressions & second.expressions)),
        patterns=frozenset(each for each in first.patterns & second.patterns if is_plain(each[0])),
        early_end="" if first.problem else second.problem,
        classes=tuple(
            each for each in first.classes if each in classes and is_plain(repr(each.recipe))
        ),
    )


def find_import_folders(modules: Iterable[RecordedModule]) -> set[Path]:
    """Return the folders from which top-level modules were imported."""
    return {
        Path(each.file).parents[1 if each.is_package else 0]
        for each in modules
        if each.file.startswith("/") and "." not in each.name
    }


def find_prefixes(python: str) -> list[Path]:
    """Return the folders of an interpreter and of its virtual environment."""
    program = Path(python)
    found = (program.parents[1], program.resolve().parents[1])
    return [each for each in found if each not in PLAIN_PREFIXES]


@attrs.frozen
class StartEnvironment:
    """The interpreter and the folders with which a start is recorded.

    Args:
        python: the interpreter and its options.
        task_root: the folder of the function.
        path: folders of modules behind the task root.
        entry: the script that starts okibi; None for `python -m okibi.runtime`.
    """

    python: Sequence[str]
    task_root: Path
    path: Sequence[Path] = ()
    entry: Path | None = None


def in_package(staged: Staged) -> StartEnvironment:
    """Return the place of a start from a package, as on Lambda."""
    bundled = staged.folder / "bin" / "python3"
    interpreter = bundled if bundled.is_file() else staged.interpreter
    # -S: this machine's site-packages are not on Lambda.
    python = (str(interpreter), "-S", "-P")
    return StartEnvironment(python, staged.folder, (staged.lib,), staged.lib / ENTRY)


def in_environment(folder: Path) -> StartEnvironment:
    """Return the place of a start in this environment, from the function's own folder."""
    return StartEnvironment((sys.executable, "-P"), folder)


def parse_rows(data: bytes, problem: str) -> Recording:
    """Parse what `recorder` wrote.

    Args:
        data: the rows. The last one may be incomplete.
        problem: the reason for the failed start.
    """
    rows = [*_rows(data)]
    return Recording(
        tuple(
            RecordedModule(name, file, is_package, loader, own * 1000)
            for kind, name, file, is_package, loader, own in (r for r in rows if len(r) == 6)
            if kind == "module"
        ),
        tuple(AttrsText(*row[1:]) for row in rows if row[0] == "attrs"),
        problem,
        frozenset(row[1] for row in rows if row[0] == "expression"),
        frozenset((row[1], row[2]) for row in rows if row[0] == "pattern"),
        unset=frozenset(row[1] for row in rows if row[0] == "unset"),
        classes=tuple(RecordedClass(*row[1:]) for row in rows if row[0] == "class"),
        platform=next((row[1:] for row in rows if row[0] == "python"), ()),
    )


def _rows(data: bytes) -> Iterator[tuple[Any, ...]]:
    file = io.BytesIO(data)
    while True:
        try:
            row: tuple[Any, ...] = marshal.load(file)
        except (EOFError, ValueError, TypeError):
            return
        yield row


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End the function and the processes that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(file: int) -> str:
    data = os.pread(file, 1 << 20, max(0, os.fstat(file).st_size - (1 << 20)))
    lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


# -- the Runtime API


class _Api:
    """A Runtime API that gives no event. It notes the first `GET /next` and an init error."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Requests)
        self._seen = threading.Event()
        self._problem: str | None = None
        vars(self._server)["report"] = self._report
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "_Api":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _report(self, problem: str | None) -> None:
        if not self._seen.is_set():
            self._problem = problem
            self._seen.set()

    def wait(self, process: "subprocess.Popen[bytes]", limit: float, handler: str) -> str | None:
        """Wait for the end of a start of a handler.

        Returns:
            None after `GET /next`; else the problem, "" if the process has ended without a word.
        """

        def watch() -> None:
            process.wait()
            self._report("")

        threading.Thread(target=watch, daemon=True).start()
        if not self._seen.wait(limit):
            module = handler.rpartition(".")[0]
            return f"the import and init of {module} took over {limit:g} s"
        return self._problem


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Write no traceback: a function that is ended leaves broken connections."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    waits: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        if self.path.endswith("/runtime/invocation/next"):
            cast("Any", self.server).report(None)
        # Neither the function nor an extension gets an event; the process is killed.
        self.waits.wait()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/init/error"):
            cast("Any", self.server).report(_error_text(body))
        answer = b'{"functionName":"function","functionVersion":"$LATEST","handler":""}'
        self.send_response(200)
        self.send_header("Lambda-Extension-Identifier", "00000000-0000-0000-0000-000000000000")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Write no log."""


def _error_text(body: bytes) -> str:
    try:
        error = json.loads(body)
        return f"{error['errorType']}: {error['errorMessage']}".partition("\n")[0]
    except (ValueError, KeyError, TypeError):
        return "it reported an init error"
