"""Build the packages of a route by `okibi package`, and container images by Docker."""

import shutil
import subprocess
import sys
from pathlib import Path

from .cloud import AwsError
from .routes import Route
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


def build_package(
    route: Route, handler: str, settings: Settings, project: Path, interpreter: str
) -> Path:
    """Build the package of one handler; return the zip, or the folder of an image.

    Args:
        route: the route.
        handler: the handler.
        settings: Python and architecture.
        project: the folder with the functions.
        interpreter: the Python for a zip with its own Python.

    Raises:
        AwsError: `okibi package` fails.
    """
    target = project.parent / f"{route.name}-{handler.partition('.')[0]}"
    if route.is_official:
        shutil.make_archive(str(target), "zip", project, "plain.py")
        return target.with_suffix(".zip")
    output = target if "docker" in route.needs else target.with_suffix(".zip")
    command = [
        sys.executable, "-m", "okibi.cli", "package", handler, "--python", settings.python,
        "--arch", settings.architecture, "--format", route.format, "-o", str(output),
    ]  # fmt: skip
    if "interpreter" in route.needs:
        command += ["--interpreter", interpreter]
    run(*command, cwd=project)
    return output


def push_image(context: Path, uri: str, settings: Settings, password: str) -> None:
    """Build the image of a folder and push it.

    Args:
        context: the folder with the Dockerfile.
        uri: repository and tag.
        settings: the architecture.
        password: of the registry.

    Raises:
        AwsError: Docker fails.
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
        AwsError: the command fails.
    """
    done = subprocess.run(
        command, cwd=cwd, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise AwsError(f"{' '.join(command[:4])} ... failed: {done.stdout.strip()[-1000:]}")
    return done.stdout
