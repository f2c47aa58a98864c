"""The steps of a plan, performed: each a process of its own, started, measured and ended."""

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

from ...local import open_local_lambda
from ...local.environment import sandbox_environment
from ..arguments import BadInput
from .contender import Contender
from .crashes import crash_times, restart_time
from .functions import CRASHING, FUNCTIONS, STAND_IN, okibi_stand_in
from .order import PEER, BenchOrder
from .plan import OKIBI, Purpose, Step, plan
from .record import CrashTimes, Results, Run, RunOrder
from .refusals import refuse_answer, refuse_run, refuse_stand_in, refuse_start

__all__ = ["measure"]

# Not the current folder's: a file of the user's could hide one of the standard library's.
PROCESS = (sys.executable, "-P", "-m", "okibi.cli.bench.process")


async def measure(order: BenchOrder, on_step: Callable[[Step, int, int], None]) -> Results:
    """Measure all that is ordered.

    Args:
        order: it.
        on_step: told of each step before it is done, of its number from 0, and of all there are.

    Raises:
        BadInput: the function cannot be measured; the message says why.
    """
    contenders = {OKIBI: Contender(OKIBI, order.settings.handler)}
    if order.peer is not None:
        contenders[PEER] = Contender(PEER, order.peer)
    with _temporary_folder() as folder:
        bench = _Bench(order, contenders, folder)
        answers = {name: await bench.first_answer(each) for name, each in contenders.items()}
        steps = plan(order, PEER if order.peer is not None else None)
        for number, step in enumerate(steps):
            on_step(step, number, len(steps))
            await bench.perform(step)
    return Results(bench.functions, bench.stand_ins, bench.crashes, bench.many, answers[OKIBI])


@contextmanager
def _temporary_folder() -> Generator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="okibi-bench-")
    except OSError as error:
        raise _no_room(error) from error
    with folder as name:
        yield Path(name)


def _no_room(error: OSError) -> BadInput:
    return BadInput(
        f"no temporary file can be written ({error.strerror}); set TMPDIR to a folder with room"
    )


def _runs() -> defaultdict[str, list[Run]]:
    return defaultdict(list)


@attrs.define(eq=False)
class _Bench:
    """What has been measured so far.

    Args:
        order: what is to be.
        contenders: by name.
        folder: for what lasts as long as this: first answers, and compiled bytecode.
    """

    order: BenchOrder
    contenders: Mapping[str, Contender]
    folder: Path
    functions: defaultdict[str, list[Run]] = attrs.field(factory=_runs)
    stand_ins: defaultdict[str, list[Run]] = attrs.field(factory=_runs)
    crashes: defaultdict[str, list[CrashTimes]] = attrs.field(
        factory=lambda: defaultdict[str, list[CrashTimes]](list)
    )
    many: defaultdict[int, defaultdict[str, list[Run]]] = attrs.field(
        factory=lambda: defaultdict[int, defaultdict[str, list[Run]]](_runs)
    )

    async def first_answer(self, contender: Contender) -> bytes:
        """Have the function serve the event once; keep what it answers.

        Raises:
            BadInput: it does not start, or answers with an error that nobody has asked for, or
                there is no room for its answer.
        """
        settings = attrs.evolve(
            self.order.settings,
            handler=contender.handler,
            command=contender.command(contender.handler),
            environment=self._environment(),
        )
        pieces: list[bytes] = []
        said = list[str]()
        async with (
            open_local_lambda(settings, output=said.append) as function,
            function.stream(self.order.event) as stream,
        ):
            async for piece in stream:
                pieces.append(piece)
            result = await stream.result()
        if not result.handed_out:
            raise BadInput(refuse_start(contender, settings, result, said))
        answer = b"".join(pieces)
        if result.function_error is not None:
            if refusal := refuse_answer(contender, result, self.order):
                raise BadInput(refusal)
            pieces, answer = [b"null"], result.payload
        # As text in which each character is a byte: the stand-in reads it without okibi's own.
        told = json.dumps([piece.decode("latin-1") for piece in pieces])
        try:
            (self.folder / contender.name).write_text(told, "utf-8")
        except OSError as error:
            raise _no_room(error) from error
        return answer

    async def perform(self, step: Step) -> None:
        contender, size = self.contenders[step.runtime], self.order.size
        match step.purpose:
            case Purpose.FUNCTION:
                run = await self._run(contender, contender.handler, size.seconds)
                self.functions[step.runtime].append(run)
            case Purpose.STAND_IN:
                run = await self._run(contender, STAND_IN, size.stand_in_seconds)
                self.stand_ins[step.runtime].append(run)
            case Purpose.MANY:
                assert step.slots is not None  # the plan says how many
                run = await self._run(contender, contender.handler, size.seconds, step.slots)
                self.many[step.slots][step.runtime].append(run)
            case Purpose.CRASHES:
                self.crashes[step.runtime].append(await self._crash(contender))

    async def _crash(self, contender: Contender) -> CrashTimes:
        command, environment = contender.command(CRASHING), self._environment(own=True)
        try:
            times = await crash_times(command, environment, self.order.size.crash_limit)
            if contender.name == PEER:
                return times
            return attrs.evolve(times, restart=await restart_time(command, environment))
        except RuntimeError as error:
            raise BadInput(f"crashes on {contender.name}: {error}") from error

    async def _run(
        self, contender: Contender, handler: str, seconds: float, slots: int | None = None
    ) -> Run:
        size = self.order.size
        environment = self._environment(own=handler == STAND_IN)
        if handler == STAND_IN:
            environment[okibi_stand_in.HANDLER] = contender.handler
            environment[okibi_stand_in.ANSWER] = str(self.folder / contender.name)
            environment[okibi_stand_in.PLAIN] = "1" if contender.name == PEER else ""
        settings = attrs.evolve(
            self.order.settings,
            handler=handler,
            command=contender.command(handler),
            max_concurrency=slots,
            environment=environment,
        )
        run = RunOrder(
            command=settings.command,
            event=self.order.event,
            timeout=settings.timeout,
            warm_events=size.warm_events,
            warm_seconds=size.warm_seconds,
            seconds=seconds,
            slots=slots,
        )
        done = await trio.run_process(
            PROCESS,
            stdin=msgspec.json.encode(run),
            # Not in the order: their bytes need not be UTF-8, as JSON is.
            env=sandbox_environment(settings, "", os.environ),
            cwd=settings.task_root,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            # The terminal's Ctrl-C comes here alone, and ends that one in order.
            start_new_session=True,
        )
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", "replace")
            raise BadInput(refuse_run(contender, done.returncode, words))
        found = msgspec.json.decode(done.stdout, type=Run)
        if found.errors and handler == STAND_IN:
            raise BadInput(refuse_stand_in(contender, found.errors))
        return found

    def _environment(self, own: bool = False) -> dict[str, str]:
        """Variables of every process; with the path of the handlers that come with this, or not.

        What is imported is compiled by the first of them, wherever it lies, and the user's folder
        stays as it is: a cold start is that of a package that was compiled before it was shipped.
        """
        path = [str(FUNCTIONS)] if own else []
        path += filter(None, [os.environ.get("PYTHONPATH")])
        return {
            **({"PYTHONPATH": os.pathsep.join(path)} if path else {}),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX")
            or str(self.folder / "compiled"),
        }
