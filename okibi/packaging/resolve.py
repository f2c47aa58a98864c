"""Choose and install the packages of a function and of okibi, in one resolution by uv.

uv chooses wheels for the target only: a package that would have to be compiled is refused, because
it would be compiled for this machine.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import attrs

from ..project.bad_input import BadInput
from .package_names import normalize
from .project import Requirements
from .targets import Target

# The versions of glibc for which uv has a platform (`uv pip compile --help`).
MANYLINUX = ((2, 17), (2, 28), *((2, minor) for minor in range(31, 41)))
UV_MISSING = "okibi package needs uv; run: pip install uv"
UV_OLD = "okibi package needs uv 0.10 or newer; run: pip install --upgrade uv"
OKIBIS = "okibi.txt"
# Extras whose packages a function imports. The others are for the machine of a developer.
FUNCTION_EXTRAS = frozenset({"http"})
OKIBI = re.compile(r"okibi\s*\[([\w\s,-]*)\]", re.IGNORECASE)
EXTRA = re.compile(r";.*\bextra\s*==\s*['\"]([\w-]+)")
VIA = re.compile(r"\s+# via ")
NAME = re.compile(r"\w[\w.-]*")


@attrs.frozen
class Pinned:
    """A package of a resolution.

    Args:
        name: the normalized name.
        requirement: exactly this version, as in "trio==0.35.0", or a URL.
        via: normalized names of the packages that require it; "-r FILE" for a list of requirements.
        is_folder: whether the package is a folder of sources, such as a member of a workspace. The
            name is the folder's then.
    """

    name: str
    requirement: str
    via: frozenset[str]
    is_folder: bool = False


@attrs.frozen
class Resolution:
    """The packages of a function.

    Args:
        packages: all packages, in the order of their names.
        uv: the uv that has chosen them.
        inputs: the files with the requirements.
        options: uv's other options.
    """

    packages: Sequence[Pinned]
    uv: "Uv"
    inputs: Sequence[Path] = ()
    options: Sequence[str] = ()

    def okibis(self) -> frozenset[str]:
        """Return the names of the packages that okibi needs, directly or through another."""
        found = {each.name for each in self.packages if f"-r {OKIBIS}" in each.via}
        while more := {each.name for each in self.packages if each.via & found} - found:
            found |= more
        return frozenset(found)


def find_uv() -> str:
    """Find uv: the one installed beside okibi, else the one on PATH.

    Raises:
        BadInput: uv is not installed.
    """
    if importlib.util.find_spec("uv") is not None:
        import uv

        try:
            return str(uv.find_uv_bin())
        except FileNotFoundError:  # the module without its program
            pass
    if (found := shutil.which("uv")) is None:
        raise BadInput(UV_MISSING)
    return found


def python_platform(target: Target) -> str:
    """Return uv's name for the newest Linux whose wheels the target can load."""
    newest = max(version for version in MANYLINUX if version <= target.glibc)
    return f"{target.machine}-manylinux_{newest[0]}_{newest[1]}"


def named_extras(requirements: Requirements) -> frozenset[str]:
    """Return those of FUNCTION_EXTRAS that the function requires: `http` of `okibi[http]`."""
    match requirements.kind:
        case "none":
            lines = list[str]()
        case "requirements":
            assert requirements.file is not None
            lines = requirements.file.read_text("utf-8").splitlines()
        case "lock" | "pyproject":
            assert requirements.file is not None
            text = requirements.file.with_name("pyproject.toml").read_text("utf-8")
            lines = tomllib.loads(text).get("project", {}).get("dependencies", [])
    found = (OKIBI.match(line.strip()) for line in lines)
    named = {normalize(name.strip()) for match in found if match for name in match[1].split(",")}
    return FUNCTION_EXTRAS & named


def runtime_requirements(requires: Sequence[str], extras: frozenset[str]) -> list[str]:
    """Return the requirements of the installed okibi.

    Args:
        requires: the `Requires-Dist` of the installed okibi.
        extras: the extras that the function uses.
    """
    found = [(text, EXTRA.search(text)) for text in requires]
    return [
        text.partition(";")[0].strip() if match else text
        for text, match in found
        if match is None or normalize(match[1]) in extras
    ]


def resolve(
    requirements: Requirements, requires: Sequence[str], target: Target, folder: Path, work: Path
) -> Resolution:
    """Choose a version of each package, for okibi and the function together.

    Args:
        requirements: the list of the function's requirements.
        requires: the `Requires-Dist` of the installed okibi.
        target: the Lambda runtime that the package is for.
        folder: the function's folder; uv reads its own settings there.
        work: an empty folder for uv's input files.

    Raises:
        BadInput: there is no such set of versions, or uv failed. The first line is one sentence,
            uv's own text follows.
    """
    uv = Uv(find_uv(), requirements.file.parent if requirements.file else folder, target)
    needed = runtime_requirements(requires, named_extras(requirements))
    inputs = [_write_lines(work / OKIBIS, needed)]
    constrained = list[Path]()
    if requirements.kind == "lock":
        # The lock's versions and hashes also hold for what okibi needs.
        versions = drop_folders(uv.export())
        constrained.append(_write_lines(work / "versions.txt", versions))
    if requirements.file is not None:
        # Beside a lock, pyproject.toml says from which indexes and folders packages come.
        locked = requirements.kind == "lock"
        inputs.append(
            requirements.file.with_name("pyproject.toml") if locked else requirements.file
        )
    # The installed okibi goes into the package, whatever the requirements name.
    excludes = _write_lines(work / "excludes.txt", ["okibi"])
    options = (f"--excludes={excludes}", *(f"--constraints={file}" for file in constrained))
    text = uv.run(
        *("pip", "compile", "--no-header", "--annotation-style=line"),
        *uv.target_options(),
        *options,
        *map(str, inputs),
    )
    return Resolution(parse_resolution(text), uv, inputs, options)


def install(resolution: Resolution, work: Path, into: Path) -> None:
    """Install the packages of a resolution.

    The same requirements are given to uv again, and the chosen versions as constraints: a list of
    versions alone does not say from which index a package comes.

    Args:
        resolution: the packages.
        work: the folder for uv's input files.
        into: the folder to install to.

    Raises:
        BadInput: uv failed.
    """
    uv = resolution.uv
    chosen = [each.requirement for each in resolution.packages if not each.is_folder]
    # Copies: whatever changes a file of the package leaves uv's cache unchanged.
    install_into = ("pip", "install", "--link-mode=copy", f"--target={into}", *uv.target_options())
    uv.run(
        *install_into,
        *resolution.options,
        f"--constraints={_write_lines(work / 'chosen.txt', chosen)}",
        *(f"--requirements={file}" for file in resolution.inputs),
    )
    # Of a folder, uv has installed a link.
    if wheels := [uv.build_wheel(each, work) for each in resolution.packages if each.is_folder]:
        uv.run(*install_into, "--no-deps", "--reinstall", *wheels)


@attrs.frozen
class Uv:
    """Runs uv for a target, in the folder whose settings of uv apply."""

    program: str
    folder: Path
    target: Target

    def target_options(self) -> list[str]:
        return [
            f"--python-platform={python_platform(self.target)}",
            f"--python-version={self.target.python_version}",
            f"--python={sys.executable}",
            "--only-binary=:all:",
        ]

    def export(self) -> list[str]:
        """Return the lines of the lock file's production requirements."""
        return self.run(
            *("export", "--locked", "--no-dev", "--no-emit-project", "--no-header"),
            *("--no-annotate", "--format=requirements.txt"),
        ).splitlines()

    def build_wheel(self, package: Pinned, work: Path) -> str:
        """Build the wheel of a folder. An editable installation would only name the folder.

        Returns:
            The wheel's path.

        Raises:
            BadInput: building failed, or the wheel is for this machine only.
        """
        source = unquote(package.requirement.removeprefix("-e ").removeprefix("file://"))
        into = work / "wheels" / package.name
        self.run("build", "--wheel", f"--out-dir={into}", f"--python={sys.executable}", source)
        (wheel,) = into.glob("*.whl")
        if not wheel.name.endswith("-none-any.whl"):
            raise BadInput(
                f"{source} has compiled modules, which this machine would build for itself; build"
                " its wheel on a system like the function's, and require the wheel"
            )
        return str(wheel)

    def run(self, *arguments: str) -> str:
        """Run uv and return its output.

        Raises:
            BadInput: uv failed.
        """
        done = subprocess.run(
            [
                *(self.program, *arguments),
                *("--quiet", "--no-progress", "--color=never", "--no-python-downloads"),
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode:
            name = find_without_wheel(done.stderr)
            version = self._find_version(name) if name else ""
            raise BadInput(explain_failure(done.stderr, self.target, version))
        return done.stdout

    def _find_version(self, name: str) -> str:
        """Return the newest version of a package that has a wheel for the target; "" if none."""
        done = subprocess.run(
            [
                *(self.program, "pip", "compile", "-", "--no-deps", "--no-header"),
                *("--no-annotate", "--quiet", *self.target_options()),
            ],
            cwd=self.folder,
            input=name,
            capture_output=True,
            text=True,
            errors="replace",
        )
        return done.stdout.partition("==")[2].strip()


def parse_resolution(text: str) -> list[Pinned]:
    """Parse the output of `uv pip compile --annotation-style=line`."""
    found: list[Pinned] = []
    for line in text.splitlines():
        requirement, *rest = VIA.split(line, maxsplit=1)
        if is_folder := requirement.startswith("-e "):
            name = unquote(requirement.rstrip("/").rpartition("/")[2])
        elif match := NAME.match(requirement):
            name = match[0]
        else:
            continue
        sources = rest[0].split(",") if rest else []
        via = frozenset(_source(each.strip()) for each in sources)
        found.append(Pinned(normalize(name), requirement.strip(), via, is_folder))
    return found


def _source(via: str) -> str:
    """Shorten the file of "-r FILE" to its name; drop the extras of a package."""
    if via.startswith(("-r ", "-c ")):
        return f"{via[:2]} {Path(via[3:]).name}"
    return normalize(via.partition("[")[0].partition(" ")[0])


def drop_folders(lines: Sequence[str]) -> list[str]:
    """Drop requirements that are folders: a constraint needs a name and a version."""
    kept: list[str] = []
    dropping = False
    for line in lines:
        if not line.startswith(" "):  # else the hashes of the requirement above
            dropping = line.startswith(("-e ", ".", "/", "file:"))
        if not dropping:
            kept.append(line)
    return kept


def _write_lines(file: Path, lines: Sequence[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return file


# -- failures


NO_WHEEL = (
    re.compile(r"(?:Wheels are required|only found wheels|Wheels are available) for `([^`]+)`"),
    re.compile(r"([\w.-]+?)(?:[=<>!~]=?\S+)? ha(?:s|ve) no (?:usable )?wheels"),
)
NO_VERSION = re.compile(r"there (?:is|are) no versions? of (\S+)")
SOURCES = re.compile(r"Building source distributions is disabled, but attempted to build `([^`]+)`")
HASH = re.compile(r"Hash mismatch for `([^`]+)`")
UNKNOWN = re.compile(r"([\w.-]+) was not found in the package registry")
CONTRADICTING = re.compile(r"(?:you require|depends on|and) ([a-z][\w.-]*?)(?:\[[\w,-]+\])?[=<>!~]")


def explain_failure(said: str, target: Target, version: str = "") -> str:
    """Describe a failure of uv in one sentence, with uv's own text below.

    Args:
        said: uv's text on stderr.
        target: the Lambda runtime that the package was for.
        version: the version of a package without a wheel that has one; "" if none has.
    """
    return f"{_sentence(_one_line(said), target, version)}\n{said.rstrip()}"


def find_without_wheel(said: str) -> str:
    """Return the name of the package that has no wheel for the target; "" if all have.

    Args:
        said: uv's text on stderr.
    """
    searches = (pattern.search(_one_line(said)) for pattern in NO_WHEEL)
    return next((found[1] for found in searches if found), "")


def _one_line(said: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[^\x00-\x7f]", " ", said))


def _sentence(said: str, target: Target, version: str) -> str:
    if "unexpected argument" in said:
        return UV_OLD
    if name := find_without_wheel(said):
        other = f"choose another version, such as {version}, or " if version else ""
        return (
            f"{name} has no wheel for Python {target.python_version} on {target.architecture};"
            f" {other}build the wheel on such a system and name its folder in UV_FIND_LINKS"
        )
    if found := HASH.search(said):
        return f"{found[1]} is not the file that was locked: its hash differs; find out why"
    if found := UNKNOWN.search(said):
        return f"{found[1]} does not exist in the package index; correct its name"
    if found := NO_VERSION.search(said):
        return f"{found[1]} does not exist in the package index; choose another version"
    if found := SOURCES.search(said):
        return (
            f"{found[1]} is required as sources, which are not built; write -e before a folder, or"
            " require a wheel"
        )
    if "lockfile" in said and "needs to be updated" in said:
        return "uv.lock does not match pyproject.toml; run: uv lock"
    if "No solution found" in said:
        named = [*dict.fromkeys(CONTRADICTING.findall(said))]
        on = f" on {', '.join(named[:4])}" if named else ""
        return f"the requirements{on} contradict each other, or those of okibi; change a version"
    if "Failed to fetch" in said or "error sending request" in said:
        return "uv cannot reach the package index; check the network, or the index in uv's settings"
    return "uv cannot install the requirements; correct what uv says"
