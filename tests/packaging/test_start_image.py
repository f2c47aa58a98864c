"""The image of a package: which modules, from which recording, and the same bytes each time."""

import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from okibi.packaging.project import PackageSettings, Project, Requirements
from okibi.packaging.recording import AttrsText, RecordedClass, RecordedModule, Recording
from okibi.packaging.staging import Staged
from okibi.packaging.start_files import ENTRY
from okibi.packaging.start_image import (
    ImageReport,
    Parts,
    add_start_image,
    choose_modules,
    describe_failure,
    keep_recipes,
    list_compiled,
    list_library,
    write_image,
)
from okibi.packaging.targets import parse_target
from okibi.project.bad_input import BadInput

MACHINE = platform.machine()
PYTHON = "{}.{}".format(*sys.version_info[:2])


INSTALLED_IN_LIB = (
    "okibi/__init__.py", "okibi/later.py", "trio/__init__.py", "trio/unused.py", "attr/_make.py",
)  # fmt: skip


def staged_in(folder: Path) -> Staged:
    """A package without bytecode or compiled modules."""
    files = {
        "app.py": "import made_dependency\n",
        "made_dependency.py": "WORD = 1\n",
        "made-1.0.dist-info/RECORD": "made_dependency.py,,\nmade-1.0.dist-info/RECORD,,\n",
        "lib/okibi/__init__.py": "",
        "lib/okibi/later.py": "",
        "lib/trio/__init__.py": "",
        "lib/trio/unused.py": "",
        "lib/attr/_make.py": "",
        "lib/mine.py": "",
        "lib/all-1.0.dist-info/RECORD": "".join(f"{name},,\n" for name in INSTALLED_IN_LIB),
        "lib/okibi-package.json": '{"hash": "1234"}',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    target = parse_target(PYTHON, MACHINE, "managed")
    return Staged(folder, folder / "lib", "app.handler", target, Path(sys.executable))


def project_in(folder: Path, files: dict[str, str]) -> Project:
    """A project with these files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return Project(folder, sorted(files), Requirements(), PackageSettings())


def recorded(folder: Path, *names: str) -> Recording:
    """A recording that imported these files."""
    modules = [RecordedModule("made", f"{folder}/{name}", False, "SourceFileLoader", 1.0)
               for name in names]  # fmt: skip
    return Recording(tuple(modules))


def files_of(staged: Staged, recording: Recording, parts: Parts | None = None) -> list[str]:
    return [m.file for m in choose_modules(staged, recording, parts or Parts())]


OKIBI = ["lib/okibi/__init__.py", "lib/okibi/later.py"]
IMPORTED = ("app.py", "lib/trio/__init__.py", "made_dependency.py", "lib/attr/_make.py")


def test_an_image_has_what_was_imported_and_all_of_okibi(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    recording = recorded(tmp_path, *IMPORTED)

    assert files_of(staged, recording) == sorted([*OKIBI, *IMPORTED])
    assert files_of(staged, recording, Parts(modules=False)) == []
    assert files_of(staged, recording, Parts(others=False)) == [
        "lib/attr/_make.py", *OKIBI, "lib/trio/__init__.py",
    ]  # fmt: skip


def test_only_the_user_s_own_modules_are_compared_at_each_start(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)

    modules = choose_modules(staged, recorded(tmp_path, *IMPORTED, "lib/mine.py"), Parts())

    assert [each.file for each in modules if each.is_checked] == ["app.py", "lib/mine.py"]


def test_a_start_reads_together_what_it_imports_unchecked(tmp_path: Path) -> None:
    modules = choose_modules(staged_in(tmp_path), recorded(tmp_path, *IMPORTED), Parts())

    assert [each.file for each in modules if each.is_grouped] == [
        "lib/attr/_make.py", "lib/trio/__init__.py", "made_dependency.py",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["managed", "bundled"])
def test_only_a_bundled_standard_library_is_not_compared(tmp_path: Path, kind: str) -> None:
    staged = staged_in(tmp_path)
    staged = attrs.evolve(staged, target=attrs.evolve(staged.target, format=kind))
    file = f"lib/python{staged.target.python_version}/made.py"
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text("")

    modules = choose_modules(staged, recorded(tmp_path, file), Parts())

    assert [e.is_checked for e in modules if e.file == file] == [kind == "managed"]


@pytest.mark.parametrize(
    ("file", "loader"),
    [
        ("/usr/lib/python3/json/__init__.py", "SourceFileLoader"),
        ("{folder}/lib/httptools/parser.so", "ExtensionFileLoader"),
        ("{folder}/app.py", "LoaderOfTheUser"),
        ("{folder}/made_and_removed.py", "SourceFileLoader"),
        ("", "NamespaceLoader"),
    ],
)
def test_other_modules_are_left_out(file: str, loader: str, tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    module = RecordedModule("made", file.format(folder=tmp_path), False, loader, 1.0)

    assert files_of(staged, Recording((module,))) == OKIBI


def test_a_bundled_standard_library_is_in_the_image(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    (tmp_path / "lib" / "made.py").write_text("")
    module = RecordedModule("made", f"{tmp_path}/lib/made.py", False, "LibraryLoader", 1.0)

    assert "lib/made.py" in files_of(staged, Recording((module,)))


def test_an_image_names_the_files_of_the_standard_library_that_a_start_reads(
    tmp_path: Path,
) -> None:
    staged = staged_in(tmp_path)
    target = parse_target("3.12", "arm64", "bundled")
    (tmp_path / "lib" / "json.py").write_text("")
    modules = [
        RecordedModule(name, file, is_package, loader, 1.0)
        for name, file, is_package, loader in [
            ("xml.dom", "/python/xml/dom/__init__.py", True, "SourceFileLoader"),
            ("typing", "/python/typing.py", False, "LibraryLoader"),
            ("xml.etree.ElementTree", "/python/xml/etree/ElementTree.py", False, "LibraryLoader"),
            ("_ssl", "/python/lib-dynload/_ssl.cpython-312-x86.so", False, "ExtensionFileLoader"),
            ("json", f"{tmp_path}/lib/json.py", False, "LibraryLoader"),
            ("trio", "/elsewhere/trio/__init__.py", True, "SourceFileLoader"),
            ("os", "", False, "FrozenImporter"),
        ]
    ]

    files = list_library(attrs.evolve(staged, target=target), Recording(tuple(modules)))

    assert files == [
        "__pycache__/typing.cpython-312.pyc",
        "lib-dynload/_ssl.cpython-312-aarch64-linux-gnu.so",
        "xml/dom/__pycache__/__init__.cpython-312.pyc",
        "xml/etree/__pycache__/ElementTree.cpython-312.pyc",
    ]


def test_a_module_recorded_elsewhere_is_the_package_s_if_its_source_is(tmp_path: Path) -> None:
    staged, here = staged_in(tmp_path / "task"), staged_in(tmp_path / "here")
    (here.folder / "made_dependency.py").write_text("WORD = 'here'\n")
    modules = [
        RecordedModule(name, str(here.folder / file), is_package, "SourceFileLoader", 1.0)
        for name, file, is_package in [
            ("app", "app.py", False),
            ("made_dependency", "made_dependency.py", False),
            ("trio", "lib/trio/__init__.py", True),
        ]
    ]

    assert files_of(staged, Recording(tuple(modules))) == ["app.py", *OKIBI, "lib/trio/__init__.py"]


RECIPE = ((("x = 1", "made", 0, True, ()),), ("x",), (), (), None, ())


def with_recipes(folder: Path) -> Recording:
    """A recording of two classes in trio, with texts of attrs."""
    modules = [
        RecordedModule(name, f"{folder}/lib/{file}", is_package, "SourceFileLoader", 1.0)
        for name, file, is_package in [
            ("trio", "trio/__init__.py", True),
            ("attr._make", "attr/_make.py", False),
        ]
    ]
    return Recording(
        tuple(modules),
        (AttrsText("x = 1", "a", 0), AttrsText("y = 1", "b", 0)),
        classes=tuple(RecordedClass("trio", name, RECIPE) for name in ("One", "Other")),
        platform=("linux", *sys.version_info[:2]),
    )


def test_two_images_of_a_package_are_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    images = list[bytes]()
    for name in ("one", "another-folder"):
        staged = staged_in(tmp_path / name)
        recording = with_recipes(staged.folder)
        if images:
            recording = attrs.evolve(
                recording,
                attrs_texts=recording.attrs_texts[::-1],
                classes=recording.classes[::-1],
            )
        write_image(staged, recording, Parts())
        os.utime(staged.folder / "app.py", (0, 0))
        images.append((staged.lib / "okibi.image").read_bytes())
        images.append((staged.lib / "okibi-package.json").read_bytes())

    assert images[:2] == images[2:]
    assert b"Other" in images[0]
    assert tmp_path.name.encode() not in images[0]


@pytest.mark.parametrize("file", ["attr/_make.py", "trio/__init__.py"])
def test_recipes_of_another_attrs_or_module_are_left_out(tmp_path: Path, file: str) -> None:
    staged, here = staged_in(tmp_path / "task"), staged_in(tmp_path / "here")
    recording = with_recipes(here.folder)
    assert keep_recipes(staged, recording) == recording

    (here.lib / file).write_text("# another version\n")

    assert keep_recipes(staged, recording).classes == ()


def test_recipes_of_another_python_are_left_out(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    recording = attrs.evolve(with_recipes(tmp_path), platform=("linux", 3, 8))

    kept = keep_recipes(staged, recording)

    assert (kept.attrs_texts, kept.classes) == ((), ())


def test_of_two_classes_of_one_name_neither_has_a_recipe(tmp_path: Path) -> None:
    rows = [("trio", "One"), ("trio", "Two"), ("trio", "Two"), ("trio._run", "A")]
    classes = [RecordedClass(*row, RECIPE) for row in rows]
    recording = Recording(classes=(*classes, RecordedClass("okibi", "Refused", None)))

    compiled: dict[str, Any] = list_compiled(recording, Parts())

    assert [row[:2] for row in compiled["recipes"]] == [("trio", "One"), ("trio._run", "A")]
    assert list_compiled(recording, Parts(attrs=False))["recipes"] == []


def test_the_manifest_gets_the_image_s_checksum(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)

    line = write_image(staged, recorded(tmp_path, "app.py"), Parts())

    described = json.loads((staged.lib / "okibi-package.json").read_text())
    assert (described["hash"], len(described["start_image"])) == ("1234", 16)
    assert line == "3 modules, 0.0 MB"


def start_with(staged: Staged, source: str) -> ImageReport:
    (staged.lib / "okibi_start.py").write_text(f"{source}\nimport os; os._exit(1)\n")
    return add_start_image(staged, record=True)


def test_a_failed_start_is_a_part_of_the_line(tmp_path: Path) -> None:
    image = start_with(staged_in(tmp_path), "print('KeyError: T', flush=True)")

    assert image.line == "2 modules, 0.0 MB: what was imported before the start failed"
    assert image.warning.startswith("not verified: ")
    assert image.warning.endswith(
        " does not start here: KeyError: T; put the variables that the start needs into"
        " environment of the function's table in pyproject.toml, or add --no-record"
    )


SETS_A_LEVEL = """
import http.client, logging, os
logging.getLogger().setLevel(os.environ["LEVEL"])
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
connection.request("GET", "/2018-06-01/runtime/invocation/next")
connection.getresponse()
"""


def test_the_variables_that_a_start_needs_are_named(tmp_path: Path) -> None:
    source = (
        "import os; os.environ['TABLE'], os.environ['HOME'], os.environ['AWS_SECRET_ACCESS_KEY']"
    )

    assert start_with(staged_in(tmp_path), source).unset == ["TABLE"]


def test_a_start_that_fails_with_placeholders_is_a_part_of_the_line(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    (staged.lib / ENTRY).write_text(SETS_A_LEVEL)

    image = add_start_image(staged, record=True, environment={"LEVEL": "INFO"})

    assert image.line == (
        "2 modules, 0.0 MB: patterns and classes until the start with placeholders failed"
        " (ValueError: Unknown level: 'qqqq')"
    )


def test_facts_about_a_missing_module_come_from_the_folders(tmp_path: Path) -> None:
    staged = staged_in(tmp_path / "task")
    project = project_in(tmp_path / "source", {"left_out.py": "", "app.py": ""})
    requirements = Requirements("lock", tmp_path / "source" / "uv.lock")
    project = attrs.evolve(project, requirements=requirements)

    def facts(module: str) -> tuple[str, bool, bool]:
        problem = f"Runtime.ImportModuleError: No module named '{module}'"
        found = describe_failure(staged, problem, project, is_elsewhere=False)
        return found.requirements, found.is_packaged, found.is_left_out

    assert facts("made_dependency") == ("pyproject.toml", True, False)
    assert facts("trio.x") == ("pyproject.toml", True, False)
    assert facts("left_out") == ("pyproject.toml", False, True)
    assert facts("stripe") == ("pyproject.toml", False, False)


def test_files_that_a_start_writes_are_not_in_the_package(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    made = {*tmp_path.rglob("*")}

    start_with(
        staged,
        "import os\nos.makedirs('made/folder')\n"
        "for name in ('secret', 'lib/secret', 'made/folder/secret'): open(name, 'w').close()\n"
        "os.symlink('lib', 'link')",
    )

    assert {*tmp_path.rglob("*")} - made == {staged.lib / "okibi.image", staged.lib / ENTRY}


@pytest.mark.parametrize(
    "source", ["open('app.py', 'a').write('x')", "import os; os.remove('app.py')"]
)
def test_a_start_that_changes_its_package_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"start changes app\.py, which it cannot on Lambda"):
        start_with(staged_in(tmp_path), source)


def test_without_a_python_of_the_target_there_is_no_image(tmp_path: Path) -> None:
    staged = attrs.evolve(staged_in(tmp_path), interpreter=None)

    image = add_start_image(staged, record=True)

    assert image == ImageReport(f"none: this machine has no Python {PYTHON}")
    assert not (staged.lib / "okibi.image").exists()


@pytest.mark.slow
def test_a_package_for_another_processor_is_recorded_in_this_environment(tmp_path: Path) -> None:
    other = "arm64" if MACHINE == "x86_64" else "x86_64"
    staged = attrs.evolve(
        staged_in(tmp_path / "task"), target=parse_target(PYTHON, other, "managed")
    )
    app = (
        "import made_dependency, os\nopen('written', 'w').write(os.environ['TABLE'])\n"
        "def handler(event, context): ...\n"
    )
    project = project_in(tmp_path / "source", {"made_dependency.py": "WORD = 1\n", "app.py": app})

    made = add_start_image(staged, record=True, project=project, environment={"TABLE": "t"})

    image = (staged.lib / "okibi.image").read_bytes()
    assert made.line.startswith("3 modules, ")
    assert made.line.endswith(" MB")
    assert made.import_times is not None
    assert "made_dependency" in made.import_times
    assert image.split(b" ")[3] == staged.target.machine.encode()
    assert b"made_dependency" in image
    # The start wrote into a copy of the user's folder.
    assert sorted(each.name for each in project.folder.iterdir()) == [
        "app.py",
        "made_dependency.py",
    ]


def test_a_module_that_does_not_compile_is_left_out(tmp_path: Path) -> None:
    staged = staged_in(tmp_path)
    (tmp_path / "app.py").write_text("match = for\n")

    line = write_image(staged, recorded(tmp_path, "app.py"), Parts())

    assert line == "2 modules, 0.0 MB"


def test_an_interpreter_that_fails_leaves_no_image(tmp_path: Path) -> None:
    false = shutil.which("false")
    assert false is not None
    staged = attrs.evolve(staged_in(tmp_path), interpreter=Path(false))

    line = write_image(staged, recorded(tmp_path, "app.py"), Parts())

    assert line.startswith(f"none: {false} failed")
    assert not (staged.lib / "okibi.image").exists()
