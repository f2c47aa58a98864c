"""Watch the files of the served functions, and reload what has changed.

The operating system watches folders one by one (inotify): a folder of installed packages has
thousands. Therefore this module lists the folders itself, leaves out those that hold no code of the
user, and starts anew when a folder is added. An editor may write a file in place, or write another
file and rename it; both change an entry of a watched folder.
"""

import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import trio
from watchfiles import Change, awatch

from ..background_nursery import open_background_nursery
from .sandbox_pool import SandboxPool

__all__ = ["FOLDER_LIMIT", "find_folders", "is_source", "watch_sources"]

FOLDER_LIMIT = 5000
"""Folders that are watched at most. Those nearest to the task root come first."""

STEP = 20
"""Milliseconds without a change after which the changes so far count as one save. watchfiles looks
for changes this often.
"""

DEBOUNCE = 300
"""Milliseconds at most to collect the changes of one save, as of a `git checkout`."""

RETURN_STEP = 0.2
"""Seconds between two looks for a task root that was deleted."""

_IGNORED_NAMES = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
_IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", ".swx", ".tmp", "~")
# A function may write these beside its code, on this machine at least: SQLite's files, and logs.
# okibi package writes a zip.
_DATA_SUFFIXES = (".db", ".sqlite", ".sqlite3", "-journal", "-wal", "-shm", ".log", ".zip")


def is_source(path: Path, root: Path, ignored: Collection[Path] = ()) -> bool:
    """Whether a file may be part of a function's code.

    Hidden files, byte code, installed packages, databases, logs, zips and what editors write beside
    a file are not.

    Args:
        path: the file.
        root: the folder of the function.
        ignored: files and folders that do not count.
    """
    if path == root or not path.is_relative_to(root):
        return False
    if any(_is_ignored(part) for part in path.relative_to(root).parts):
        return False
    # vim creates and deletes a file 4913 to see whether it may write into the folder.
    if (
        path.name.startswith("#")
        or path.name.endswith(_IGNORED_SUFFIXES + _DATA_SUFFIXES)
        or path.name == "4913"
    ):
        return False
    return not any(path.is_relative_to(each) for each in ignored)


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED_NAMES


def find_folders(roots: Iterable[Path], ignored: Collection[Path] = ()) -> list[Path]:
    """Return the folders with code, at most FOLDER_LIMIT, those nearest to a root first.

    Args:
        roots: where to begin.
        ignored: folders that do not count.
    """
    found: dict[Path, None] = {}
    waiting = deque(roots)
    while waiting and len(found) < FOLDER_LIMIT:
        folder = waiting.popleft()
        if folder in found:
            continue
        try:
            with os.scandir(folder) as entries:
                inner = [
                    Path(entry.path)
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                    and not _is_ignored(entry.name)
                    # A virtual environment may have any name (PEP 405).
                    and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
                ]
        except OSError:
            # Deleted meanwhile, or not readable.
            continue
        found[folder] = None
        waiting.extend(path for path in inner if path not in ignored)
    return list(found)


async def watch_sources(
    pools: Sequence[SandboxPool],
    *,
    extra: Mapping[Path, Callable[[Path], None]] | None = None,
    ignored: Collection[Path] = (),
    on_start: Callable[[], None] | None = None,
    on_limit: Callable[[], None] | None = None,
) -> None:
    """Reload pools when files of their functions change, until cancelled.

    A change within a function's task root reloads its pool. Functions with one task root share the
    watcher.

    Args:
        pools: the pools.
        extra: further files, and what to call when they change: an env file, which may lie outside
            every task root.
        ignored: files and folders within task roots that do not count, such as the queue of
            `--data`.
        on_start: called once, when changes are seen from now on.
        on_limit: called once if there are FOLDER_LIMIT folders or more.

    Raises:
        OSError: the system watches no more folders (fs.inotify.max_user_watches).
    """
    # The parent folder is resolved as task roots are: one folder, one name.
    callbacks = {path.parent.resolve() / path.name: call for path, call in (extra or {}).items()}
    hidden = frozenset(path.resolve() for path in ignored)
    roots = list(dict.fromkeys(pool.function.settings.task_root for pool in pools))

    async def report_start() -> None:
        nonlocal on_start
        if on_start is not None:
            on_start()
            on_start = None

    missing = set[Path]()
    while True:
        folders = await trio.to_thread.run_sync(_list_folders, roots, callbacks, hidden)
        if on_limit is not None and len(folders) >= FOLDER_LIMIT:
            on_limit()
            on_limit = None
        for pool in pools:
            # A folder is back, as after a checkout of another branch and back.
            if pool.function.settings.task_root in missing.intersection(folders):
                pool.reload()
        missing = {root for root in roots if root not in folders}
        stop = trio.Event()
        # A folder may have been deleted since it was found.
        with suppress(FileNotFoundError):
            async with open_background_nursery() as nursery:
                # Without this event, awatch would notice a cancellation only after seconds.
                nursery.start_soon(_set_when_cancelled, stop)
                # It runs when the loop below waits: the folders are watched then.
                nursery.start_soon(report_start)
                if missing:
                    nursery.start_soon(_stop_when_back, missing, stop)
                async with aclosing(_watch(folders, stop)) as changes:
                    async for changed in changes:
                        _apply(_without_drafts(changed), pools, callbacks, hidden)
                        gone = {path for path in roots if (Change.deleted, str(path)) in changed}
                        missing |= gone
                        if gone or any(_is_new_folder(*each) for each in changed):
                            break


def _list_folders(
    roots: Collection[Path], extra: Collection[Path], ignored: Collection[Path]
) -> list[Path]:
    found = find_folders(roots, ignored)
    found += [file.parent for file in extra if file.parent.is_dir()]
    return list(dict.fromkeys(found))


def _watch(folders: Sequence[Path], stop: trio.Event) -> AsyncGenerator[set[tuple[Change, str]]]:
    return awatch(
        *folders,
        watch_filter=None,
        debounce=DEBOUNCE,
        step=STEP,
        stop_event=stop,
        recursive=False,
        ignore_permission_denied=True,
    )


async def _set_when_cancelled(event: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        event.set()


async def _stop_when_back(missing: Collection[Path], stop: trio.Event) -> None:
    """Stop the watcher when a deleted folder exists again. Nothing reports that."""
    while not any(root.is_dir() for root in missing):  # noqa: ASYNC110, nothing sets an event
        await trio.sleep(RETURN_STEP)
    stop.set()


def _without_drafts(changed: Collection[tuple[Change, str]]) -> set[Path]:
    """Return the changed files, without those that were made and renamed or deleted at once."""
    made = {path for change, path in changed if change is Change.added}
    return {Path(path) for _, path in changed if path not in made or os.path.exists(path)}


def _is_new_folder(change: Change, name: str) -> bool:
    path = Path(name)
    # A folder that was deleted and comes again is new, too.
    return change is Change.added and not _is_ignored(path.name) and path.is_dir()


def _apply(
    changed: set[Path],
    pools: Sequence[SandboxPool],
    callbacks: Mapping[Path, Callable[[Path], None]],
    ignored: Collection[Path],
) -> None:
    """Call what belongs to the changed files, and reload the pools whose code has changed."""
    for path in sorted(changed & callbacks.keys()):
        callbacks[path](path)
    # The function that was called last starts first.
    for pool in sorted(pools, key=lambda each: each.used_at, reverse=True):
        root = pool.function.settings.task_root
        files = sorted(
            path for path in changed - callbacks.keys() if is_source(path, root, ignored)
        )
        if files:
            pool.reload(files)
