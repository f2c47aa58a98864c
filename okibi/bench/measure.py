"""Perform the steps of a plan, each in a new process."""

import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import msgspec
import trio

from ..local import open_local_lambda
from ..local.sandbox.environment import sandbox_environment
from ..project.bad_input import BadInput
from .crashes import measure_crashes, measure_restart
from .error_messages import (
    describe_error_answer,
    describe_failed_request,
    describe_failed_run,
    describe_failed_stand_in,
    describe_failed_start,
)
from .functions import CRASHING, FUNCTIONS, STAND_IN, okibi_stand_in
from .measured_runtime import MeasuredRuntime, start_command
from .options import PEER, BenchOptions
from .plan import OKIBI, Purpose, Step, make_plan
from .results import BenchResults, CrashTimes, RunResult, RunSpec

# -P: without it, a file in the current folder could shadow a module of the standard library.
PROCESS = (sys.executable, "-P", "-m", "okibi.bench.process")


async def measure(options: BenchOptions, on_step: Callable[[Step, int, int], None]) -> BenchResults:
    """Perform all measurements.

    Args:
        options: the options of the benchmark.
        on_step: called before each step with the step, its number from 0, and the count of steps.

    Raises:
        BadInput: the function cannot be measured.
    """
    runtimes = {OKIBI: MeasuredRuntime(OKIBI, options.settings.handler)}
    if options.peer is not None:
        runtimes[PEER] = MeasuredRuntime(PEER, options.peer)
    with _temporary_folder() as folder:
        bench = _Bench(options, runtimes, folder)
        answers = {name: await bench.first_answer(each) for name, each in runtimes.items()}
        steps = make_plan(options, PEER if options.peer is not None else None)
        for number, step in enumerate(steps):
            on_step(step, number, len(steps))
            await bench.perform(step)
    return BenchResults(
        bench.function_runs, bench.stand_in_runs, bench.crashes, bench.many, answers[OKIBI]
    )


@contextmanager
def _temporary_folder() -> Generator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="okibi-bench-")
    except OSError as error:
        raise _disk_full_error(error) from error
    with folder as name:
        yield Path(name)


def _disk_full_error(error: OSError) -> BadInput:
    return BadInput(
        f"no temporary file can be written ({error.strerror}); set TMPDIR to a folder on another"
        " disk"
    )


def _runs() -> defaultdict[str, list[RunResult]]:
    return defaultdict(list)


@attrs.define(eq=False)
class _Bench:
    """Performs steps and collects the results.

    Args:
        options: the options of the benchmark.
        runtimes: the runtimes by name.
        folder: a temporary folder for first answers and bytecode.
    """

    options: BenchOptions
    runtimes: Mapping[str, MeasuredRuntime]
    folder: Path
    function_runs: defaultdict[str, list[RunResult]] = attrs.field(factory=_runs)
    stand_in_runs: defaultdict[str, list[RunResult]] = attrs.field(factory=_runs)
    crashes: defaultdict[str, list[CrashTimes]] = attrs.field(
        factory=lambda: defaultdict[str, list[CrashTimes]](list)
    )
    many: defaultdict[int, defaultdict[str, list[RunResult]]] = attrs.field(
        factory=lambda: defaultdict[int, defaultdict[str, list[RunResult]]](_runs)
    )

    async def first_answer(self, runtime: MeasuredRuntime) -> bytes:
        """Serve the event once, and save the answer for the stand-in handler.

        The stand-in handler only returns the saved answer. Its cycle is the runtime's own time.

        Raises:
            BadInput: the function does not start, answers with an error that is not allowed, or
                the disk is full.
        """
        settings = attrs.evolve(
            self.options.settings,
            handler=runtime.handler,
            command=start_command(runtime.name, runtime.handler),
            environment=self._environment(),
        )
        pieces: list[bytes] = []
        log = list[str]()
        async with (
            open_local_lambda(settings, output=log.append) as function,
            function.stream(self.options.event) as stream,
        ):
            async for piece in stream:
                pieces.append(piece)
            result = await stream.result()
        if not result.handed_out:
            raise BadInput(describe_failed_start(runtime, settings, result, log))
        answer = b"".join(pieces)
        if result.function_error is not None:
            if message := describe_error_answer(runtime, result, self.options):
                raise BadInput(message)
            pieces, answer = [b"null"], result.payload
        elif message := describe_failed_request(runtime, answer, self.options.allow_errors):
            raise BadInput(message)
        # JSON with one character per byte: the stand-in reads it without importing okibi.
        saved = json.dumps([piece.decode("latin-1") for piece in pieces])
        try:
            (self.folder / runtime.name).write_text(saved, "utf-8")
        except OSError as error:
            raise _disk_full_error(error) from error
        return answer

    async def perform(self, step: Step) -> None:
        runtime, effort = self.runtimes[step.runtime], self.options.effort
        match step.purpose:
            case Purpose.FUNCTION:
                run = await self._run(runtime, runtime.handler, effort.seconds)
                self.function_runs[step.runtime].append(run)
            case Purpose.STAND_IN:
                run = await self._run(runtime, STAND_IN, effort.stand_in_seconds)
                self.stand_in_runs[step.runtime].append(run)
            case Purpose.MANY:
                assert step.slots is not None  # set by the plan
                run = await self._run(runtime, runtime.handler, effort.seconds, step.slots)
                self.many[step.slots][step.runtime].append(run)
            case Purpose.CRASHES:
                self.crashes[step.runtime].append(await self._crash(runtime))

    async def _crash(self, runtime: MeasuredRuntime) -> CrashTimes:
        command, environment = (
            start_command(runtime.name, CRASHING),
            self._environment(own_handlers=True),
        )
        try:
            times = await measure_crashes(command, environment, self.options.effort.crash_limit)
            if runtime.name == PEER:
                return times
            return attrs.evolve(times, restart=await measure_restart(command, environment))
        except RuntimeError as error:
            raise BadInput(f"crashes on {runtime.name}: {error}") from error

    async def _run(
        self, runtime: MeasuredRuntime, handler: str, seconds: float, slots: int | None = None
    ) -> RunResult:
        effort = self.options.effort
        environment = self._environment(own_handlers=handler == STAND_IN)
        if handler == STAND_IN:
            environment[okibi_stand_in.HANDLER] = runtime.handler
            environment[okibi_stand_in.ANSWER] = str(self.folder / runtime.name)
            environment[okibi_stand_in.PLAIN] = "1" if runtime.name == PEER else ""
        settings = attrs.evolve(
            self.options.settings,
            handler=handler,
            command=start_command(runtime.name, handler),
            max_concurrency=slots,
            environment=environment,
        )
        run = RunSpec(
            command=settings.command,
            event=self.options.event,
            timeout=settings.timeout,
            warm_events=effort.warm_events,
            warm_seconds=effort.warm_seconds,
            seconds=seconds,
            slots=slots,
        )
        done = await trio.run_process(
            PROCESS,
            stdin=msgspec.json.encode(run),
            # Not in the JSON on stdin: variables may not be UTF-8.
            env=sandbox_environment(settings, "", os.environ),
            cwd=settings.task_root,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            # Ctrl-C in a terminal reaches this process only, which then stops the child.
            start_new_session=True,
        )
        if done.returncode != 0:
            stderr = done.stderr.decode("utf-8", "replace")
            raise BadInput(describe_failed_run(runtime, done.returncode, stderr))
        result = msgspec.json.decode(done.stdout, type=RunResult)
        if result.errors and handler == STAND_IN:
            raise BadInput(describe_failed_stand_in(runtime, result.errors))
        return result

    def _environment(self, *, own_handlers: bool = False) -> dict[str, str]:
        """Make the environment variables of a measured process.

        Bytecode goes to the temporary folder: the user's folder stays unchanged, and a measured
        cold start is that of a package with bytecode. With `own_handlers`, the handlers of this
        benchmark can be imported.
        """
        path = [str(FUNCTIONS)] if own_handlers else []
        path += filter(None, [os.environ.get("PYTHONPATH")])
        return {
            **({"PYTHONPATH": os.pathsep.join(path)} if path else {}),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX")
            or str(self.folder / "compiled"),
        }
