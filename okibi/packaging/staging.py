"""Put a package together in a folder: the user's files, their packages, okibi, bytecode."""

import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import attrs

import okibi

from ..project.bad_input import BadInput
from . import contents
from .archive import list_files
from .binaries import has_elf_header, read_elf
from .bundled_cpython import add_cpython, find_cpython, find_version
from .bytecode import compile_package, find_interpreter
from .project import Project, matches
from .refusals import check_binaries, gather_facts
from .resolve import install, resolve
from .sbom import describe_component, describe_cpython
from .size_limits import format_mb, unzipped_limit
from .size_report import check_sizes, make_parts
from .start_files import ENTRY, MANIFEST, bootstrap_script, entry_source, hash_package, manifest
from .targets import Target

USERS = "your files"
RUN_FIRST = ("sitecustomize", "usercustomize")
OKIBIS = ("okibi", "okibi_start", "okibi-package")


@attrs.frozen
class Staged:
    """A package that is complete except for its start image.

    Args:
        folder: the folder that becomes /var/task.
        lib: `folder / "lib"`: okibi and what okibi needs.
        handler: `module.name`; "" if none was given.
        target: the Lambda runtime that the package is for.
        interpreter: a Python of the target's version on this machine. It compiles the bytecode.
            None if this machine has none.
    """

    folder: Path
    lib: Path
    handler: str
    target: Target
    interpreter: Path | None


@attrs.frozen
class StagedPackage:
    """A staged package, and what its report says.

    Args:
        staged: the package.
        owners: the part of each file, for the table of sizes.
        notes: sentences for the user.
        components: what the package contains besides the user's files, for its SBOM.
    """

    staged: Staged
    owners: Mapping[str, str]
    notes: Sequence[str]
    components: Sequence[Mapping[str, object]]


def stage(
    project: Project, handler: str, target: Target, work: Path, cpython: Path | None = None
) -> StagedPackage:
    """Put a package together.

    Args:
        project: the user's files and requirements.
        handler: `module.name`; "" if none was given.
        target: the Lambda runtime that the package is for.
        work: an empty folder.
        cpython: the program of a CPython to bundle; None to bundle none.

    Returns:
        The package, complete except for its start image.

    Raises:
        BadInput: the package cannot be built, or would not work on Lambda.
    """
    bundled = None if cpython is None else find_cpython(cpython, target)
    if bundled is not None and bundled.runs_here:
        interpreter = bundled.program
    else:
        interpreter = find_interpreter(target)
    _check_users_size(project, target)
    folder, inputs, installed = work / "package", work / "inputs", work / "installed"
    lib = folder / "lib"
    for each in (lib, inputs, installed):
        each.mkdir(parents=True)
    okibi_itself = _find_okibi()
    requires = okibi_itself.requires or []
    resolution = resolve(project.requirements, requires, target, project.folder, inputs)
    install(resolution, inputs, installed)

    staged = Staged(folder, lib, handler, target, interpreter)
    packages = contents.find_installed(installed)
    notes = _unmatched_notes(project.unmatched, packages)
    needed = {each.name: _list_needed(each, installed, project) for each in packages}
    okibis = resolution.okibis()
    if conflict := contents.find_collision(packages, needed) or _find_replacing(needed, okibis):
        raise BadInput(conflict)
    notes += _edited_notes(packages, needed, installed)
    components = [
        describe_component(metadata.Distribution.at(installed / each.info).metadata)
        for each in packages
        if needed[each.name]
    ]
    components.append(describe_component(okibi_itself.metadata))
    owners = _move_packages(packages, needed, installed, staged, okibis)
    owners |= _copy_okibi(okibi_itself, staged)
    _copy_users_files(project, staged, owners)
    if bundled is not None:
        owners |= add_cpython(bundled, folder)
        components.append(describe_cpython(find_version(bundled, target)))
    _check_handler(handler, owners)
    files = list_files(folder)
    # Before seconds of compiling. What is complete is measured again.
    parts = make_parts(owners, measure_files(folder, files), {})
    wrong = [*_misfits(folder, files, target), check_sizes(parts, target)]
    if any(wrong):
        raise BadInput("; ".join(filter(None, wrong)))

    sources = [name for name in files if name.endswith(".py")]
    checked = {name for name in sources if owners.get(name) == USERS}
    not_compiled = compile_package(folder, sources, interpreter, checked=checked)
    failed = {each.file: each.why for each in not_compiled}
    notes += [*_native_notes(staged), *_compile_notes(failed, owners, handler, target)]
    _write_start_files(staged, project.settings.wrapper, okibi_itself.version)
    return StagedPackage(staged, owners, notes, components)


# -- packages


def _unmatched_notes(patterns: Sequence[str], packages: Sequence[contents.Installed]) -> list[str]:
    """Name the patterns of `exclude` that match neither the user's files nor a package's."""
    files = [file for package in packages for file in package.files]
    return [
        f"exclude {pattern!r} in [tool.okibi.package] matches no file; correct the pattern"
        for pattern in patterns
        if not any(matches(file, [pattern]) for file in files)
    ]


def _list_needed(package: contents.Installed, installed: Path, project: Project) -> list[str]:
    """List the files of a package that are needed, and that the user does not exclude."""
    found = contents.needed_files(package.files, lambda name: (installed / name).read_bytes())
    return [name for name in found if not matches(name, project.settings.exclude)]


def _find_replacing(needed: Mapping[str, Sequence[str]], okibis: Collection[str]) -> str:
    """Describe the first file of a requirement that would replace what starts the function."""
    in_lib = {_top_module(file) for name in okibis for file in needed.get(name, ())}
    for name, files in needed.items():
        for file in files:
            if name not in okibis and (what := find_replaced(file, in_lib)):
                return (
                    f"{file} of {name} {what}; remove the requirement, or name the file in exclude"
                    " of [tool.okibi.package]"
                )
    return ""


def _edited_notes(
    packages: Sequence[contents.Installed], needed: Mapping[str, Sequence[str]], installed: Path
) -> list[str]:
    """Name the packages whose files are not those of their wheels: uv's cache was edited."""
    return [
        f"{edited[0]} of {package.name} {package.version} is not the wheel's file"
        f"{f', nor are {len(edited) - 1} others' if edited[1:] else ''}: it was edited in uv's"
        f" cache, and the package has the edit; run uv cache clean {package.name}"
        for package in packages
        if (edited := contents.edited_files(package, needed[package.name], installed))
    ]


def _move_packages(
    packages: Sequence[contents.Installed],
    needed: Mapping[str, Sequence[str]],
    installed: Path,
    staged: Staged,
    okibis: Collection[str],
) -> dict[str, str]:
    """Move okibi's packages to lib, the others beside the user's files; return their owners."""
    owners, places = dict[str, str](), dict[str, Path]()
    for package in packages:
        prefix = "lib/" if package.name in okibis else ""
        kept = [name for name in needed[package.name] if name != f"{package.info}/RECORD"]
        for name in kept:
            to = staged.folder / f"{prefix}{name}"
            # Two packages may have the same file.
            if (moved := places.setdefault(name, to)) is to:
                _move(installed / name, to)
            elif moved != to:
                _copy(moved, to)
            owners[f"{prefix}{name}"] = package.name
        record = f"{prefix}{package.info}/RECORD"
        (staged.folder / record).write_text(contents.record(kept, package.info), "utf-8")
        owners[record] = package.name
    return owners


def _move(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    source.replace(to)


# -- okibi


def _find_okibi() -> metadata.Distribution:
    try:
        return metadata.distribution("okibi")
    except metadata.PackageNotFoundError as error:
        raise BadInput(
            "okibi is imported from a folder where it is not installed; run: pip install -e FOLDER"
        ) from error


def _copy_okibi(distribution: metadata.Distribution, staged: Staged) -> dict[str, str]:
    """Copy the okibi that runs this command, without what only a developer's machine uses."""
    source = Path(okibi.__file__).parent
    info = f"okibi-{distribution.version}.dist-info"
    names = [f"okibi/{name}" for name in list_files(source) if contents.is_needed_of_okibi(name)]
    native = f"okibi/{contents.NATIVE}"
    if native in names:
        elf = read_elf((source / contents.NATIVE).read_bytes())
        if not contents.native_fits(elf, staged.target):
            names.remove(native)
    for name in names:
        _copy(source.parent / name, staged.lib / name)
    # The description, which is README, is left out.
    head = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    texts = {"METADATA": f"{head}\n"}
    if licence := distribution.read_text("licenses/LICENSE"):
        texts["licenses/LICENSE"] = licence
    for name, text in texts.items():
        file = staged.lib / info / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    names += [f"{info}/{name}" for name in texts]
    record = staged.lib / info / "RECORD"
    record.write_text(contents.record(names, info), "utf-8")
    return dict.fromkeys((f"lib/{name}" for name in (*names, f"{info}/RECORD")), "okibi")


def _native_notes(staged: Staged) -> list[str]:
    if (staged.lib / "okibi" / contents.NATIVE).exists():
        return []
    why = "this okibi has none for the function's processor"
    return [f"okibi's compiled module is left out ({why}): Python writes the same bytes, slower"]


# -- the user's files


def _check_users_size(project: Project, target: Target) -> None:
    """Check the user's files before anything is copied."""
    sizes = measure_files(project.folder, project.files)
    if sum(sizes.values()) > unzipped_limit(target):
        largest = max(sizes, key=sizes.__getitem__)
        raise BadInput(
            f"{project.folder} has {format_mb(sum(sizes.values()))} of files, and Lambda allows"
            f" {format_mb(unzipped_limit(target))}; the largest is {largest}: exclude it in"
            " [tool.okibi.package], or run okibi package in the folder of the function"
        )


def _copy_users_files(project: Project, staged: Staged, owners: dict[str, str]) -> None:
    if conflict := find_conflict(project.files, owners):
        raise BadInput(conflict)
    for name in project.files:
        _copy(project.folder / name, staged.folder / name)
        owners[name] = USERS


def find_replaced(name: str, in_lib: Collection[str]) -> str:
    """Say what a file would replace of what starts the function; empty if nothing.

    Args:
        name: the path in the package.
        in_lib: the modules that okibi has in the package's folder `lib`.
    """
    first, _, rest = name.partition("/")
    if first == "bootstrap":
        return "would replace the script that starts the function"
    module = _top_module(rest if first == "lib" and rest else name)
    if module in RUN_FIRST:
        return "would run before okibi: Python imports such a module when it starts"
    # `lib` goes first on the path: a module there hides one of Python's.
    is_taken = module in in_lib or module in sys.stdlib_module_names or module in OKIBIS
    if first == "lib" and rest and is_taken:
        return "would hide a module of the same name, because the package has okibi in lib/"
    return ""


def _top_module(name: str) -> str:
    return name.partition("/")[0].partition(".")[0]


def find_conflict(files: Sequence[str], owners: Mapping[str, str]) -> str:
    """Describe the first file of the user's that a package cannot have; empty without one.

    Args:
        files: the user's files.
        owners: the files of packages, each with its package.
    """
    in_lib = {_top_module(name[4:]) for name in owners if name.startswith("lib/")}
    for name in files:
        if (owner := owners.get(name)) is not None:
            return (
                f"{name} is in your folder, and the requirements install it too ({owner}); remove"
                " your copy, or the requirement"
            )
        module, _, ending = name.removesuffix("/__init__.py").partition(".")
        # Python imports the package of two with the same name, and okibi imports its own first.
        hiding = owners.get(f"{module}/__init__.py") if ending == "py" else None
        if module in in_lib and name in (f"{module}.py", f"{module}/__init__.py"):
            hiding = "okibi's own"
        if hiding is not None:
            return f"{name} would be hidden by the package {module} ({hiding}); rename your module"
        if what := find_replaced(name, in_lib):
            return f"{name} {what}; rename it, or name it in exclude of [tool.okibi.package]"
    return ""


def _check_handler(handler: str, owners: Mapping[str, str]) -> None:
    """Check that the package has the handler's module."""
    if not handler:
        return
    module = handler.rpartition(".")[0].replace(".", "/")
    if not module:
        raise BadInput(f"handler {handler!r} names no module; write module.name, as in app.handler")
    if not any(
        name.removeprefix("lib/").startswith((f"{module}.", f"{module}/")) for name in owners
    ):
        raise BadInput(
            f"handler {handler}: the package has no {module}.py; run okibi package in the folder of"
            " the module"
        )


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
    if source.stat().st_mode & 0o100:
        to.chmod(0o755)


# -- checks and bytecode


def _misfits(folder: Path, files: Sequence[str], target: Target) -> list[str]:
    elf_files = [name for name in files if _begins_as_elf(folder / name)]
    facts = gather_facts(dict.fromkeys(elf_files, 0), lambda name: (folder / name).read_bytes())
    return check_binaries(facts.binaries, target)


def _begins_as_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return has_elf_header(opened.read(4))


def measure_files(folder: Path, files: Iterable[str]) -> dict[str, int]:
    """Return the bytes of files below a folder."""
    return {name: (folder / name).stat().st_size for name in files}


def _compile_notes(
    failed: Mapping[str, str], owners: Mapping[str, str], handler: str, target: Target
) -> list[str]:
    """Describe the files without bytecode.

    Raises:
        BadInput: the handler's module is one of them.
    """
    module = handler.rpartition(".")[0].replace(".", "/")
    notes = list[str]()
    others = list[str]()
    for name, why in failed.items():
        if owners.get(name) != USERS:
            others.append(name)
        elif name in (f"{module}.py", f"{module}/__init__.py"):
            raise BadInput(f"{name}: Python {target.python_version} cannot compile it ({why})")
        else:
            notes.append(f"{name} has no bytecode: Python cannot compile it ({why})")
    if others:
        notes.append(
            f"{len(others)} files of packages have no bytecode, such as {others[0]}: they are not"
            f" Python {target.python_version}"
        )
    return notes


def _write_start_files(staged: Staged, wrapper: str, version: str) -> None:
    """Write the entry, `bootstrap` and the manifest."""
    (staged.lib / ENTRY).write_text(entry_source(staged.target), "utf-8")
    bootstrap = staged.folder / "bootstrap"
    bootstrap.write_text(bootstrap_script(wrapper=wrapper, layout=staged.target.format), "utf-8")
    bootstrap.chmod(0o755)
    text = manifest(version, staged.target, staged.handler, hash_package(staged.folder))
    (staged.lib / MANIFEST).write_text(text, "utf-8")
