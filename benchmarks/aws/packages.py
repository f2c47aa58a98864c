"""Build the packages of a route by `okibi package`, and container images by Docker."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from .cloud import RunError
from .routes import DeploymentRoute
from .templates import Settings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DEMO = Path("examples", "visits", "app.py")


def docker_answers() -> bool:
    """Return whether a Docker daemon can be reached."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def write_project(folder: Path) -> None:
    """Write the functions into a folder, as a user would have them."""
    (folder / DEMO).parent.mkdir(parents=True)
    shutil.copy(ROOT / DEMO, folder / DEMO)
    for file in (HERE / "functions").glob("*.py"):
        shutil.copy(file, folder)


@attrs.frozen
class Artifacts:
    """The files that this machine builds for a route.

    Args:
        zips: the zip of each handler.
        contexts: the folder for Docker of each handler's image.
        layer: the zip of a layer, or None.
        runtime: the folder for Docker of a customer-managed runtime, or None.
    """

    zips: Mapping[str, Path] = attrs.Factory(dict[str, Path])
    contexts: Mapping[str, Path] = attrs.Factory(dict[str, Path])
    layer: Path | None = None
    runtime: Path | None = None


def build(route: DeploymentRoute, settings: Settings, project: Path, interpreter: str) -> Artifacts:
    """Build what a route needs, beside the project's folder.

    Args:
        route: the route.
        settings: Python and architecture.
        project: the folder with the functions.
        interpreter: the Python for a zip with its own Python, or "".

    Raises:
        RunError: `okibi package` fails.
    """
    target = project.parent / route.name
    target.mkdir()

    def package(output: Path, handler: str = "") -> Path:
        command = [
            sys.executable, "-m", "okibi.cli", "package", *([handler] if handler else []),
            "--python", settings.python, "--arch", settings.architecture,
            "--format", route.format, "--output", str(output),
        ]  # fmt: skip
        if "interpreter" in route.needs:
            command += ["--interpreter", interpreter]
        run(*command, cwd=project)
        return output

    if route.format == "image":
        return Artifacts(contexts={each: package(target / each, each) for each in route.handlers})
    if route.format in ("managed", "bundled"):
        return Artifacts({each: package(target / f"{each}.zip", each) for each in route.handlers})
    # The functions are their own code only.
    code = shutil.make_archive(str(target / "code"), "zip", project)
    zips = dict.fromkeys(route.handlers, Path(code))
    if route.format == "layer":
        return Artifacts(zips, layer=package(target / "layer.zip"))
    if route.format == "runtime":
        return Artifacts(zips, runtime=package(target / "runtime"))
    return Artifacts(zips)


def push_image(context: Path, uri: str, settings: Settings, password: str) -> None:
    """Build the image of a folder and push it.

    Args:
        context: the folder with the Dockerfile.
        uri: repository and tag.
        settings: the architecture.
        password: the registry's password.

    Raises:
        RunError: Docker fails.
    """
    platform = "linux/arm64" if settings.architecture == "arm64" else "linux/amd64"
    registry = uri.partition("/")[0]
    run("docker", "login", "--username", "AWS", "--password-stdin", registry, text=password)
    # Lambda refuses images with an attestation.
    run("docker", "build", "--provenance=false", "--platform", platform, "--tag", uri, str(context))
    run("docker", "push", uri)


def run(*command: str, cwd: Path | None = None, text: str = "") -> str:
    """Run a command and return its output.

    Raises:
        RunError: the command fails.
    """
    done = subprocess.run(
        command, cwd=cwd, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RunError(f"{' '.join(command[:4])} ... failed: {done.stdout.strip()[-1000:]}")
    return done.stdout
