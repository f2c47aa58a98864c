"""Changed files: a new sandbox takes over, or the last good version keeps serving."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from okibi.dev.dev_function import DevFunction
from okibi.dev.invocation_events import (
    InvocationFinished,
    InvocationStatus,
    Reloaded,
    ReloadFailed,
    SandboxEnded,
    SandboxStarted,
    SourceChanged,
)
from okibi.dev.sandbox_pool import SandboxPool, open_sandbox_pool
from okibi.dev.source_changes import find_folders, is_source, watch_sources
from okibi.local import FunctionSettings
from tests.limits import HANG
from tests.support.local_lambda import BOOTSTRAP
from tests.support.sandbox_pool import Held, Reported, invoke, invoke_pid

OLD, NEW = (f'def handler(event, context):\n    return "{version}"\n' for version in ("old", "new"))


def function(folder: Path, source: str = OLD, name: str = "function") -> DevFunction:
    (folder / "app.py").write_text(source)
    return DevFunction(FunctionSettings("app.handler", name=name, task_root=folder, timeout=HANG))


def plain_function(folder: Path) -> DevFunction:
    """A function that starts fast, and whose code does not matter."""
    command = (sys.executable, "-S", "-E", str(BOOTSTRAP))
    return DevFunction(
        FunctionSettings("app.handler", command=command, task_root=folder, timeout=HANG)
    )


@asynccontextmanager
async def watched(
    *functions: DevFunction,
    extra: dict[Path, Callable[[Path], None]] | None = None,
    patterns: tuple[str, ...] = (),
) -> AsyncIterator[tuple[SandboxPool, Reported]]:
    """Open pools with a watcher; yield the first."""
    reported = Reported()
    with trio.fail_after(HANG):
        async with trio.open_nursery() as nursery:
            pools: list[SandboxPool] = []
            for each in functions:
                pool = await nursery.start(_serve, each, reported)
                pools.append(pool)
                await reported.wait_for(SandboxStarted, len(pools))

            async def watch(task_status: trio.TaskStatus[None]) -> None:
                await watch_sources(
                    pools, extra=extra, patterns=patterns, on_start=task_status.started
                )

            await nursery.start(watch)
            yield pools[0], reported
            nursery.cancel_scope.cancel()


async def _serve(
    each: DevFunction, reported: Reported, task_status: trio.TaskStatus[SandboxPool]
) -> None:
    async with open_sandbox_pool(each, report=reported) as pool:
        task_status.started(pool)
        await trio.sleep_forever()


def replace(path: Path, text: str) -> None:
    """Save as many editors do: write another file and rename it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def answer(pool: SandboxPool) -> object:
    return json.loads((await invoke(pool)).payload)


@pytest.mark.parametrize("save", [pytest.param(write, marks=pytest.mark.slow), replace])
async def test_a_saved_file_is_served(tmp_path: Path, save: Callable[[Path, str], None]) -> None:
    async with watched(function(tmp_path)) as (pool, reported):
        assert await answer(pool) == "old"
        save(tmp_path / "app.py", NEW)
        await reported.wait_for(SourceChanged)

        assert await answer(pool) == "new"
        assert reported.of(SourceChanged)[0].files == (tmp_path / "app.py",)
        assert reported.of(Reloaded)[0].sandbox == 2


async def test_the_event_in_flight_ends_in_the_old_sandbox(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    async with watched(plain_function(code)) as (pool, reported):
        old = await invoke_pid(pool)
        await reported.wait_for(InvocationFinished)
        held = Held(tmp_path, pool)
        in_flight = held.start()
        (code / "app.py").write_text("")
        await reported.wait_for(Reloaded)
        assert await invoke_pid(pool) != old
        await held.release(1)
        await reported.wait_for(SandboxEnded)

    (finished,) = (
        each for each in reported.of(InvocationFinished) if each.request_id == in_flight.request_id
    )
    assert (finished.sandbox, finished.status) == (1, InvocationStatus.OK)


@pytest.mark.slow
async def test_events_wait_for_the_new_code(tmp_path: Path) -> None:
    async with watched(function(tmp_path)) as (pool, reported):
        (tmp_path / "app.py").write_text(NEW)
        pool.reload([tmp_path / "app.py"])

        assert await answer(pool) == "new"
        assert len(reported.of(InvocationFinished)) <= 1


async def test_after_a_syntax_error_the_last_good_version_serves(tmp_path: Path) -> None:
    async with watched(function(tmp_path)) as (pool, reported):
        (tmp_path / "app.py").write_text("def handler(event, context):\n    return (\n")
        failed = await reported.wait_for(ReloadFailed)

        assert await answer(pool) == "old"
    assert failed.still_serving
    assert failed.failure.error_type == "SyntaxError"
    assert (failed.failure.file, failed.failure.line) == (str(tmp_path / "app.py"), 2)
    assert failed.failure.message == "'(' was never closed"


@pytest.mark.slow
async def test_after_an_import_error_the_last_good_version_serves(tmp_path: Path) -> None:
    async with watched(function(tmp_path)) as (pool, reported):
        (tmp_path / "app.py").write_text("import json\n\nraise ValueError('no table')\n")
        failed = await reported.wait_for(ReloadFailed)

        assert await answer(pool) == "old"
        (tmp_path / "app.py").write_text(NEW)
        await reported.wait_for(Reloaded)
        assert await answer(pool) == "new"
    assert failed.failure.error_type == "ValueError"
    assert failed.failure.message == "no table"
    assert (failed.failure.file, failed.failure.line) == (str(tmp_path / "app.py"), 3)


@pytest.mark.slow
async def test_a_mended_function_is_served_if_the_first_start_failed(tmp_path: Path) -> None:
    reported = Reported()
    broken = function(tmp_path, "import no_such_module\n")
    with trio.fail_after(HANG):
        async with open_sandbox_pool(broken, report=reported) as pool:
            await reported.wait_for(SandboxEnded)
            (tmp_path / "app.py").write_text(NEW)
            pool.reload([tmp_path / "app.py"])

            assert await answer(pool) == "new"


@pytest.mark.slow
async def test_a_save_of_the_same_size_within_a_second_is_served(tmp_path: Path) -> None:
    async with watched(function(tmp_path)) as (pool, _):
        times = os.stat(tmp_path / "app.py")
        (tmp_path / "app.py").write_text(NEW)
        os.utime(tmp_path / "app.py", ns=(times.st_atime_ns, times.st_mtime_ns))
        pool.reload([tmp_path / "app.py"])

        assert await answer(pool) == "new"


@pytest.mark.slow
async def test_a_second_save_replaces_the_start_of_the_first(tmp_path: Path) -> None:
    async with watched(function(tmp_path)) as (pool, reported):
        (tmp_path / "app.py").write_text("import time\ntime.sleep(1000)\n")
        await reported.wait_for(SourceChanged)
        (tmp_path / "app.py").write_text(NEW)
        await reported.wait_for(Reloaded)

        assert await answer(pool) == "new"
        assert not reported.of(ReloadFailed)


async def test_a_file_of_data_reloads_only_if_the_user_names_it(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    page = tmp_path / "templates" / "page.html"
    async with watched(plain_function(tmp_path), patterns=("templates/*",)) as (_, reported):
        # As `aws lambda invoke` does.
        (tmp_path / "out.json").write_text("{}")
        page.write_text("<p>")

        assert (await reported.wait_for(SourceChanged)).files == (page,)


async def test_a_folder_made_later_is_reloaded_with_its_code(tmp_path: Path) -> None:
    inner = tmp_path / "later" / "deep" / "inner.py"
    async with watched(plain_function(tmp_path)) as (_, reported):
        (tmp_path / "output").mkdir()
        inner.parent.mkdir(parents=True)
        inner.write_text("N = 1\n")
        first = await reported.wait_for(SourceChanged)
        inner.write_text("N = 2\n")
        second = await reported.wait_for(SourceChanged, 2)

    assert first.files == second.files == (inner,)


@pytest.mark.slow
async def test_a_folder_that_was_deleted_and_comes_back_is_reloaded(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").touch()
    async with watched(plain_function(code)) as (_, reported):
        code.rename(tmp_path / "away")
        (tmp_path / "away").rename(code)
        await reported.wait_for(Reloaded)


@pytest.mark.slow
async def test_functions_of_one_folder_are_all_reloaded(tmp_path: Path) -> None:
    functions = [plain_function(tmp_path)]
    functions.append(
        attrs.evolve(functions[0], settings=attrs.evolve(functions[0].settings, name="second"))
    )
    async with watched(*functions) as (_, reported):
        (tmp_path / "shared.py").write_text("A = 1\n")
        await reported.wait_for(Reloaded, 2)

    assert {each.function for each in reported.of(SourceChanged)} == {"function", "second"}


async def test_an_extra_file_calls_what_it_is_for(tmp_path: Path) -> None:
    folder, env_file = tmp_path / "code", tmp_path / ".env"
    folder.mkdir()
    env_file.write_text("A=1")
    called: list[Path] = []
    pools: list[SandboxPool] = []

    def change(path: Path) -> None:
        called.append(path)
        settings = attrs.evolve(pools[0].function.settings, environment={"A": "2"})
        pools[0].reload([path], attrs.evolve(pools[0].function, settings=settings))

    async with watched(plain_function(folder), extra={env_file: change}) as (pool, reported):
        pools.append(pool)
        (tmp_path / "unrelated").write_text("")
        replace(env_file, "A=2")
        await reported.wait_for(Reloaded)
        variables = json.loads((await invoke(pool, do="environment")).payload)

    assert variables["A"] == "2"
    assert set(called) == {env_file}


async def test_an_extra_file_within_the_code_does_not_reload(tmp_path: Path) -> None:
    called: list[Path] = []
    project = tmp_path / "pyproject.toml"
    async with watched(plain_function(tmp_path), extra={project: called.append}) as (_, reported):
        project.write_text("")
        (tmp_path / "app.py").write_text("")
        await reported.wait_for(SourceChanged)

    assert set(called) == {project}
    assert [each.files for each in reported.of(SourceChanged)] == [(tmp_path / "app.py",)]


async def test_ignored_files_do_not_reload(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    async with watched(plain_function(tmp_path)) as (_, reported):
        for name in (".hidden.py", "__pycache__/app.py", "app.py~", ".app.py.swp", "okibi.log"):
            (tmp_path / name).write_text("")
        draft = tmp_path / "sedX3fa1"
        draft.write_text("")
        draft.rename(tmp_path / "app.py")
        await reported.wait_for(SourceChanged)

    assert [each.files for each in reported.of(SourceChanged)] == [(tmp_path / "app.py",)]


def test_installed_packages_and_hidden_folders_are_not_watched(tmp_path: Path) -> None:
    for name in ("app/inner", ".venv/lib", "node_modules/x", ".git/refs", "app/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "pyvenv.cfg").write_text("")

    assert find_folders([tmp_path]) == [tmp_path, tmp_path / "app", tmp_path / "app/inner"]


def test_the_nearest_folders_of_a_large_tree_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/b/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr("okibi.dev.source_changes.FOLDER_LIMIT", 3)

    assert set(find_folders([tmp_path])) == {tmp_path, tmp_path / "a", tmp_path / "d"}


async def test_a_limit_on_the_watched_folders_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr("okibi.dev.source_changes.FOLDER_LIMIT", 2)
    reached = list[None]()
    async with (
        open_sandbox_pool(plain_function(tmp_path), start_ahead=False) as pool,
        trio.open_nursery() as nursery,
    ):
        watching = trio.Event()
        nursery.start_soon(
            partial(
                watch_sources,
                [pool],
                on_start=watching.set,
                on_limit=lambda: reached.append(None),
            )
        )
        await watching.wait()
        # A new folder makes the watcher start anew.
        (tmp_path / "c").mkdir()
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()

    assert len(reached) == 1


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("app.py", True),
        ("inner/fast.cpython-313-x86_64-linux-gnu.so", True),
        ("inner/page.html", True),
        ("page.txt", False),
        ("#app.py#", False),
        (".env", False),
        ("site-packages/x.py", False),
        ("inner/app.cpython-313.pyc", False),
        ("../other/app.py", False),
    ],
)
def test_a_file_counts_if_it_is_code_or_matches_a_pattern(
    tmp_path: Path, name: str, counts: bool
) -> None:
    path = Path(os.path.normpath(tmp_path / name))

    assert is_source(path, tmp_path, ["*.html", ".env"]) is counts


async def test_a_reload_keeps_the_name(tmp_path: Path) -> None:
    async with watched(plain_function(tmp_path)) as (pool, _):
        renamed = attrs.evolve(pool.function.settings, name="other")
        with pytest.raises(ValueError, match="name and attach must stay"):
            pool.reload([], attrs.evolve(pool.function, settings=renamed))


async def test_a_watcher_that_cannot_start_raises_the_systems_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr("okibi.dev.source_changes.awatch", refuse)
    async with open_sandbox_pool(plain_function(tmp_path), start_ahead=False) as pool:
        with pytest.raises(OSError, match="watch limit"):
            await watch_sources([pool])
