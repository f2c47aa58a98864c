"""`make release`: build the artifacts into dist/, check them, and run the demo from each.

    sdist and wheel     `uv build`: the wheel is built from the sdist, in another folder
    portable wheel      the same without the encoder: pip prefers a wheel for the platform, and
                        takes this one where there is none, instead of compiling the sdist
    auditwheel          makes the wheel with the encoder a manylinux wheel
    twice               a second build, under another umask, must have the same bytes
    twine, abi3audit    metadata; symbols outside the stable ABI
    demo                each artifact in a new virtual environment, on each Python of this machine
                        from 3.11 on; no source of okibi is on the path
    SBOM                what `pip install okibi` installs, from uv.lock, in CycloneDX

It refuses pages with placeholders; `make release RELEASE=--rehearse` accepts them.
`make check-release` checks a complete release in dist/, which the release workflow has collected.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution
from pathlib import Path

import attrs
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from okibi.packaging.package_names import normalize
from okibi.packaging.sbom import read_licences
from tests.release.artifacts import (
    Artifact,
    complete_sbom,
    find_problems,
    format_table,
    missing_from_sdist,
    parse_artifact,
)
from tests.release.tag import ROOT, find_unreleased, project_version

TOOLS = Path(sys.executable).parent
DIST = ROOT / "dist"
# Platform tags for pip, and whether a wheel with the encoder exists for them after `make release`.
PIP_PLATFORMS = {"manylinux2014_x86_64": True, "macosx_14_0_arm64": False, "linux_riscv64": False}
INSTALLED = """
import okibi, sys
from importlib.util import find_spec
assert okibi.__file__.startswith(sys.prefix), okibi.__file__
print(okibi.__version__, "yes" if find_spec("okibi.runtime.system.native") else "no")
"""


NOTHING: Mapping[str, str] = {}


class ReleaseError(Exception):
    """The release has a fault; the message is for the reader of the terminal."""


@attrs.frozen
class DemoResult:
    """The demo, run from one artifact on one Python."""

    artifact: Artifact
    python: str
    encoder: str
    seconds: float


def run(
    *command: str | Path, cwd: Path = ROOT, umask: int = 0o022, env: Mapping[str, str] = NOTHING
) -> str:
    """Run a command and return its output.

    Raises:
        ReleaseError: the command fails.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AWS_", "VIRTUAL"))}
    done = subprocess.run(
        command, cwd=cwd, env={**kept, **env}, umask=umask, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def commit_time() -> str:
    """Return the time of the last commit, which becomes the time of each file in an archive."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return epoch
    return run("git", "log", "-1", "--format=%ct").strip()


def build(target: Path, epoch: str, *, umask: int) -> None:
    """Build all artifacts of this machine into a folder."""
    variables = {"SOURCE_DATE_EPOCH": epoch, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as made:
        uv = (TOOLS / "uv", "build", "--quiet", "--python", sys.executable)
        run(*uv, "--out-dir", made, umask=umask, env=variables)
        (sdist,) = Path(made).glob("*.tar.gz")
        (wheel,) = Path(made).glob("*.whl")
        shutil.copy2(sdist, target)
        if parse_artifact(wheel.name).is_portable:
            raise ReleaseError(
                "the wheel has no encoder: install a C compiler and Python's headers "
                "(Debian: gcc python3-dev), then run make release again"
            )
        run(TOOLS / "auditwheel", "repair", "--wheel-dir", target, wheel, env=variables)
        run(
            *uv, "--wheel", "--out-dir", target, sdist,
            umask=umask, env={**variables, "HATCH_BUILD_NO_HOOKS": "true"},
        )  # fmt: skip
    (target / ".gitignore").unlink(missing_ok=True)  # uv's


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def check_reproducible(first: Mapping[str, str], second: Mapping[str, str]) -> None:
    """Compare two builds.

    Raises:
        ReleaseError: the builds differ.
    """
    differing = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if differing:
        raise ReleaseError(f"two builds differ in {', '.join(differing)}")


def check_sdist(sdist: Path) -> int:
    """Check that an sdist contains the files in git; return their number.

    Raises:
        ReleaseError: a file is missing.
    """
    with tarfile.open(sdist) as opened:
        contained = {name.partition("/")[2] for name in opened.getnames()}
    tracked = [path for path in run("git", "ls-files", "-z").split("\0") if path]
    if missing := missing_from_sdist(tracked, contained):
        raise ReleaseError(f"{sdist.name} lacks {len(missing)} files: {', '.join(missing[:5])}")
    return len(contained)


def check_files(files: Sequence[Path]) -> None:
    """Check metadata and the stable ABI.

    Raises:
        ReleaseError: twine or abi3audit complains.
    """
    run(TOOLS / "twine", "check", "--strict", *files)
    with_encoder = [file for file in files if parse_artifact(file.name).has_encoder]
    run(TOOLS / "abi3audit", "--strict", "--verbose", *with_encoder)


def check_choices_of_pip(folder: Path) -> list[tuple[str, str]]:
    """Return which file pip chooses for each of PIP_PLATFORMS.

    Raises:
        ReleaseError: pip chooses another file than expected.
    """
    chosen: list[tuple[str, str]] = []
    for platform, compiled in PIP_PLATFORMS.items():
        with tempfile.TemporaryDirectory() as target:
            run(
                TOOLS / "python", "-m", "pip", "download", "--quiet", "--no-deps", "--no-index",
                "--find-links", folder, "--only-binary=:all:", "--python-version=3.13",
                f"--platform={platform}", "--dest", target, "okibi",
            )  # fmt: skip
            (file,) = Path(target).iterdir()
        if parse_artifact(file.name).has_encoder != compiled:
            raise ReleaseError(f"for {platform}, pip chooses {file.name}")
        chosen.append((platform, file.name))
    return chosen


def pythons() -> dict[str, str]:
    """Return the path of each Python of this machine that okibi supports, by version."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = {own: sys.executable}
    for minor in range(11, 15):
        path = shutil.which(f"python3.{minor}")
        if path and f"3.{minor}" not in found:
            has_ssl = subprocess.run([path, "-c", "import ssl"], capture_output=True, check=False)
            if has_ssl.returncode == 0:
                found[f"3.{minor}"] = path
    return found


def run_demo(file: Path, version: str, python: str, examples: Path) -> DemoResult:
    """Install an artifact into a new environment and run the demo.

    Args:
        file: the artifact.
        version: the Python's version.
        python: the path of the Python.
        examples: a folder that contains only `examples/`.

    Raises:
        ReleaseError: the artifact does not install, is not what is imported, or the demo fails.
    """
    artifact = parse_artifact(file.name)
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder, "venv", "bin", "python")
        run(TOOLS / "uv", "venv", "--quiet", "--python", python, Path(folder, "venv"))
        run(TOOLS / "uv", "pip", "install", "--quiet", "--python", inside, file)
        installed, encoder = run(inside, "-P", "-c", INSTALLED, cwd=examples).split()
        if installed != project_version() or (artifact.has_encoder and encoder == "no"):
            raise ReleaseError(f"{file.name} installs okibi {installed}, encoder: {encoder}")
        began = time.perf_counter()
        run(inside, "-m", "examples.demo", cwd=examples)
    return DemoResult(artifact, version, encoder, time.perf_counter() - began)


def run_demos(folder: Path) -> list[DemoResult]:
    """Run the demo of the sdist from each artifact, on each Python."""
    (sdist,) = folder.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as unpacked:
        with tarfile.open(sdist) as opened:
            opened.extractall(unpacked, filter="data")
        (source,) = Path(unpacked).iterdir()
        (examples := Path(unpacked, "demo")).mkdir()
        (source / "examples").rename(examples / "examples")
        shutil.rmtree(source)
        return [
            run_demo(file, version, python, examples)
            for file in sorted(folder.iterdir())
            for version, python in pythons().items()
        ]


def write_sbom(file: Path, epoch: str) -> int:
    """Write the SBOM of `pip install okibi` with the versions of uv.lock; return its packages.

    Raises:
        ReleaseError: uv.lock does not match pyproject.toml, a package states no licence, or the
            document does not follow CycloneDX's schema.
    """
    uv_export = (TOOLS / "uv", "export", "--quiet", "--locked")
    exported = json.loads(run(*uv_export, "--format", "cyclonedx1.5"))
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder, "requirements.txt")
        run(*uv_export, "--no-emit-project", "--output-file", locked)
        run(
            TOOLS / "uv", "pip", "install", "--quiet", "--no-deps", "--requirements", locked,
            "--target", Path(folder, "installed"),
        )  # fmt: skip
        found = [Distribution.at(info) for info in Path(folder, "installed").glob("*.dist-info")]
        licences = {normalize(each.name): read_licences(each.metadata) for each in found}
    time_of_commit = datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sbom = complete_sbom(exported, licences, time_of_commit)
    text = json.dumps(sbom, indent=2) + "\n"
    unlicensed = [each["name"] for each in sbom["components"] if not each["licenses"]]
    if unlicensed:
        raise ReleaseError(f"the metadata of {', '.join(unlicensed)} states no licence")
    if (fault := JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)) is not None:
        raise ReleaseError(f"the SBOM does not follow CycloneDX's schema: {fault}")
    file.write_text(text, "utf-8")
    return len(sbom["components"])


def release() -> None:
    """Build, check, run, and print one table.

    Raises:
        ReleaseError: a step fails.
    """
    epoch = commit_time()
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    build(DIST, epoch, umask=0o022)
    with tempfile.TemporaryDirectory() as second:
        build(Path(second), epoch, umask=0o077)
        check_reproducible(hashes(DIST), hashes(Path(second)))
    (sdist,) = DIST.glob("*.tar.gz")
    count = check_sdist(sdist)
    check_files(sorted(DIST.iterdir()))
    chosen = check_choices_of_pip(DIST)
    rows = [("artifact", "bytes", "Python", "encoder", "demo")]
    for result in run_demos(DIST):
        size = f"{(DIST / result.artifact.name).stat().st_size:,}"
        took = f"passes, {result.seconds:.1f} s"
        rows.append((result.artifact.name, size, result.python, result.encoder, took))
    sbom = DIST / f"okibi-{project_version()}.cdx.json"
    packages = write_sbom(sbom, epoch)
    print(format_table(rows))
    print(f"\nTwo builds have the same bytes (SOURCE_DATE_EPOCH={epoch}).")
    print(f"The sdist has {count} files: all files in git that belong in it. It builds the wheels.")
    print("twine check --strict and abi3audit --strict pass.")
    print(f"{sbom.name} lists {packages} packages and their licences.")
    for platform, name in chosen:
        print(f"pip chooses {name} for {platform}.")


def check_release() -> None:
    """Check a complete release in dist/.

    Raises:
        ReleaseError: a file is missing, or a check fails.
    """
    files = [file for file in sorted(DIST.iterdir()) if file.suffix != ".json"]
    artifacts = [parse_artifact(file.name) for file in files]
    if problems := find_problems(artifacts, project_version()):
        raise ReleaseError("\n".join(problems))
    check_files(files)
    print(f"The {len(artifacts)} files in dist/ are a complete release of {project_version()}.")


def main() -> int:
    """Return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--check", action="store_true", help="check a complete release in dist/")
    options.add_argument(
        "--rehearse", action="store_true", help="accept pages that are not for a release yet"
    )
    chosen = options.parse_args()
    try:
        if chosen.check:
            check_release()
        elif not chosen.rehearse and (refused := find_unreleased(ROOT)):
            raise ReleaseError(refused)
        else:
            release()
    except ReleaseError as error:
        print(f"make {'check-release' if chosen.check else 'release'}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
