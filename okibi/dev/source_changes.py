"""Watch the files of the served functions, and reload what has changed.

Python files count, as with other servers that reload. A file of data counts only if the user names
it: `aws lambda invoke ... out.json` writes one beside the code, and each reload loses the state of
the function.

The operating system watches folders one by one (inotify): a folder of installed packages has
thousands. Therefore this module lists the folders itself, leaves out those that hold no code of the
user, and starts anew when a folder is added. An editor may write a file in place, or write another
file and rename it; both change an entry of a watched folder.
"""

import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from fnmatch import fnmatchcase
from pathlib import Path

import trio
from watchfiles import Change, awatch

from ..local.background_nursery import open_background_nursery
from .sandbox_pool import SandboxPool

# Folders that are watched at most. Those nearest to the task root come first.
FOLDER_LIMIT = 5000

# Milliseconds without a change after which the changes so far count as one save. watchfiles looks
# for changes this often.
STEP = 20

# Milliseconds at most to collect the changes of one save, as of a `git checkout`.
DEBOUNCE = 300

# Seconds between two looks for a task root that was deleted.
RETURN_STEP = 0.2

_IGNORED_NAMES = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
_CODE = (".py", ".so")


def is_source(path: Path, root: Path, patterns: Collection[str] = ()) -> bool:
    """Whether a change of a file reloads a function: it is Python, or matches a pattern.

    Hidden files and installed packages do not.

    Args:
        path: the file.
        root: the folder of the function.
        patterns: patterns of further files, from the root (`fnmatch`: `*` also matches a slash).

    >>> root = Path("/code")
    >>> is_source(root / "in/app.py", root), is_source(root / "out.json", root)
    (True, False)
    >>> is_source(root / "in/page.html", root, ["*.html"])
    True
    """
    if path == root or not path.is_relative_to(root):
        return False
    inner = path.relative_to(root)
    if any(_is_ignored(part) for part in inner.parts):
        return False
    return path.suffix in _CODE or any(fnmatchcase(inner.as_posix(), each) for each in patterns)


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED_NAMES


def find_folders(roots: Iterable[Path]) -> list[Path]:
    """Return the folders below these that may hold code, the nearest first.

    There are FOLDER_LIMIT at most.
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
        waiting.extend(inner)
    return list(found)


async def watch_sources(
    pools: Sequence[SandboxPool],
    *,
    patterns: Collection[str] = (),
    extra: Mapping[Path, Callable[[Path], None]] | None = None,
    on_start: Callable[[], None] | None = None,
    on_limit: Callable[[], None] | None = None,
) -> None:
    """Reload pools when files of their functions change, until cancelled.

    A change within a function's task root reloads its pool. Functions with one task root share the
    watcher.

    Args:
        pools: the pools.
        patterns: patterns of files that count besides Python's (`is_source`).
        extra: callbacks for changes of further files, such as an env file, which may lie outside
            every task root.
        on_start: called once, when the watch has begun.
        on_limit: called once if there are FOLDER_LIMIT folders or more.

    Raises:
        OSError: the system watches no more folders (fs.inotify.max_user_watches).
    """
    # The parent folder is resolved as task roots are: one folder, one name.
    callbacks = {path.parent.resolve() / path.name: call for path, call in (extra or {}).items()}
    roots = list(dict.fromkeys(pool.function.settings.task_root for pool in pools))
    known: set[Path] | None = None
    new = list[Path]()

    async def begin() -> None:
        nonlocal on_start
        # What has been written to a new folder before it was watched.
        _apply(_list_files(new), pools, callbacks, patterns)
        if on_start is not None:
            on_start()
            on_start = None

    while True:
        folders = await trio.to_thread.run_sync(_list_folders, roots, callbacks)
        if on_limit is not None and len(folders) >= FOLDER_LIMIT:
            on_limit()
            on_limit = None
        new = [] if known is None else [folder for folder in folders if folder not in known]
        known = set(folders)
        missing = {root for root in roots if root not in known}
        stop = trio.Event()
        # A folder may have been deleted since it was found.
        with suppress(FileNotFoundError):
            async with open_background_nursery() as nursery:
                # Without this event, awatch would notice a cancellation only after seconds.
                nursery.start_soon(_set_when_cancelled, stop)
                # It runs when the loop below waits: the folders are watched then.
                nursery.start_soon(begin)
                if missing:
                    nursery.start_soon(_stop_when_back, missing, stop)
                async with aclosing(_watch(folders, stop)) as changes:
                    async for changed in changes:
                        _apply(_without_drafts(changed), pools, callbacks, patterns)
                        moved = _find_moved_folders(changed, roots)
                        if moved:
                            known = {
                                folder
                                for folder in known
                                if moved.isdisjoint(_with_parents(folder))
                            }
                            break


def _list_folders(roots: Collection[Path], extra: Collection[Path]) -> list[Path]:
    found = find_folders(roots)
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


def _find_moved_folders(
    changed: Collection[tuple[Change, str]], roots: Collection[Path]
) -> set[Path]:
    """Return the folders that are new, and the task roots that are gone.

    A folder that was deleted and comes again is new, too.
    """
    added = {Path(name) for change, name in changed if change is Change.added}
    gone = {Path(name) for change, name in changed if change is Change.deleted}
    new = {path for path in added if not _is_ignored(path.name) and path.is_dir()}
    return new | gone.intersection(roots)


def _with_parents(folder: Path) -> set[Path]:
    return {folder, *folder.parents}


def _list_files(folders: Iterable[Path]) -> set[Path]:
    found = set[Path]()
    for folder in folders:
        with suppress(OSError):
            found.update(folder.iterdir())
    return found


def _apply(
    changed: set[Path],
    pools: Sequence[SandboxPool],
    callbacks: Mapping[Path, Callable[[Path], None]],
    patterns: Collection[str],
) -> None:
    """Call what belongs to the changed files, and reload the pools whose code has changed."""
    for path in sorted(changed & callbacks.keys()):
        callbacks[path](path)
    # The function that was called last starts first.
    for pool in sorted(pools, key=lambda each: each.used_at, reverse=True):
        root = pool.function.settings.task_root
        files = sorted(
            path for path in changed - callbacks.keys() if is_source(path, root, patterns)
        )
        if files:
            pool.reload(files)
