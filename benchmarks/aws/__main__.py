"""`make aws`: deploy okibi to AWS by each route, check it, measure it, and remove everything.

make aws AWS="--region eu-central-1"          about ten minutes; asks before it starts
make aws AWS="--only managed --cold 3"        one route, fewer cold starts
make aws AWS="--endpoint-url URL --yes"       an emulator: the routes that it knows
make aws-clean                                remove what all runs have left; lists it, and asks
make aws-clean AWS="--yes"                    the same without the question
"""

import argparse
import datetime
import functools
import platform
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs

import okibi
from benchmarks.reporting.rows import at_least_one
from okibi.bench.prices import read_prices
from okibi.project.bad_input import BadInput

from . import checks, packages
from .cleanup import SHARED, find_stacks, plan_cleanup
from .cloud import Answer, Cloud, RunError
from .estimate import Rounds, describe, estimate_cents
from .judgements import Finding, Verdict
from .markdown import RouteResult, RunInfo, render
from .routes import EMULATED, ROUTES, Conditions, DeploymentRoute, choose_routes
from .templates import Built, Settings, function_name, route_template, shared_template

PREFIX = "okibi-aws"
# Seconds in which Lambda may end a replaced sandbox after all is measured.
SHUTDOWN_WAIT = 90.0


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@attrs.define
class Run:
    """One run: its arguments and its results.

    Args:
        cloud: the account.
        settings: the settings that all functions share.
        rounds: the numbers of cold starts and warm invocations to measure.
        interpreter: the Python for a zip with its own Python, or "".
        folder: a folder for packages.
    """

    cloud: Cloud
    settings: Settings
    rounds: Rounds
    interpreter: str
    folder: Path
    sizes: dict[str, int] = attrs.Factory(dict[str, int])
    results: list[RouteResult] = attrs.Factory(list[RouteResult])

    def deploy(self, routes: Sequence[DeploymentRoute]) -> dict[DeploymentRoute, dict[str, str]]:
        """Create the stacks; return the outputs of those that succeed."""
        run = self.settings.run
        shared = f"{run}-{SHARED}"
        images = any("docker" in route.needs for route in routes)
        say(f"Creating the stack {shared} ...")
        self.cloud.create_stack(shared, run, shared_template(self.settings, repository=images))
        outputs = self.cloud.wait_for_stack(shared)
        project = self.folder / "project"
        packages.write_project(project)
        begun = [route for route in routes if self._goes_on(route, self._begin, project, outputs)]
        deployed: dict[DeploymentRoute, dict[str, str]] = {}
        for route in begun:
            self._goes_on(route, self._finish, deployed)
        return deployed

    def _begin(self, route: DeploymentRoute, project: Path, outputs: dict[str, str]) -> None:
        say(f"Building and deploying: {route.title} ...")
        built = self._upload(route, project, outputs)
        template = route_template(
            self.settings, route, built, role=outputs["Role"], bucket=outputs["Bucket"]
        )
        run = self.settings.run
        self.cloud.create_stack(f"{run}-{route.name}", run, template)

    def _finish(
        self, route: DeploymentRoute, deployed: dict[DeploymentRoute, dict[str, str]]
    ) -> None:
        deployed[route] = self.cloud.wait_for_stack(f"{self.settings.run}-{route.name}")

    def _upload(self, route: DeploymentRoute, project: Path, outputs: dict[str, str]) -> Built:
        """Build what a route needs, and upload zips and images."""
        built = packages.build(route, self.settings, project, self.interpreter)

        def upload(file: Path) -> str:
            key = f"{route.name}/{file.name}"
            self.sizes[key] = file.stat().st_size
            self.cloud.upload(outputs["Bucket"], key, file)
            return key

        def push(context: Path) -> str:
            uri = f"{outputs['Repository']}:{route.name}-{context.name}"
            packages.push_image(context, uri, self.settings, self.cloud.registry_password())
            return uri

        return Built(
            keys={handler: upload(file) for handler, file in built.zips.items()},
            images={handler: push(context) for handler, context in built.contexts.items()},
            layer=upload(built.layer) if built.layer else "",
            runtime=push(built.runtime) if built.runtime else "",
        )

    def check(self, deployed: dict[DeploymentRoute, dict[str, str]]) -> None:
        """Check and measure the deployed routes; keep what is found, also if interrupted."""
        findings: dict[DeploymentRoute, list[Finding]] = {route: [] for route in deployed}
        measured: dict[DeploymentRoute, list[list[Answer]]] = {route: [] for route in deployed}
        try:
            good = [
                route
                for route, outputs in deployed.items()
                if self._goes_on(route, self._check_route, outputs.get("Url", ""), findings[route])
            ]
            good = self._measure(good, measured)
            end = time.monotonic() + (0.0 if self.cloud.endpoint else SHUTDOWN_WAIT)
            for route in good:
                if not route.is_official:
                    self._goes_on(route, self._check_log, end, findings[route])
        finally:
            for route in deployed:
                samples = checks.as_samples(route, measured[route])
                self.results.append(
                    RouteResult(route, findings=tuple(findings[route]), samples=samples)
                )

    def _check_route(self, route: DeploymentRoute, url: str, found: list[Finding]) -> None:
        run = self.settings.run
        for handler in route.handlers:
            name = function_name(run, route, handler)
            self.cloud.wait_until_active(name, checks.version_of(route))
        if route.is_official:
            return
        say(f"Checking: {route.title} ...")
        self._keep(checks.check_route(self.cloud, run, route, url), found)
        if route.ends_sandboxes:
            checks.replace_sandbox(self.cloud, run, route)

    def _check_log(self, route: DeploymentRoute, end: float, found: list[Finding]) -> None:
        say(f"Reading the log: {route.title} ...")
        self._keep(checks.check_log(self.cloud, self.settings.run, route, end=end), found)

    def _keep(self, findings: Iterable[Finding], found: list[Finding]) -> None:
        for finding in findings:
            say(f"  {finding.verdict.value:8} {finding.check}: {finding.detail}")
            found.append(finding)

    def _measure(
        self, routes: list[DeploymentRoute], measured: dict[DeploymentRoute, list[list[Answer]]]
    ) -> list[DeploymentRoute]:
        """Measure routes in turns, so that a slow minute is slow for all; return the good ones."""
        say(f"Measuring {self.rounds.cold} cold starts of each route ...")
        for number in range(1, self.rounds.cold + 1):
            # A snapshot is restored for the first event of a new sandbox only.
            routes = [
                route
                for route in routes
                if (route.snapstart and number > 1)
                or self._goes_on(route, self._measure_round, number, measured[route])
            ]
        return routes

    def _measure_round(
        self, route: DeploymentRoute, number: int, measured: list[list[Answer]]
    ) -> None:
        measured.append(
            checks.measure_round(self.cloud, self.settings.run, route, number, self.rounds.warm)
        )

    def _goes_on(
        self, route: DeploymentRoute, step: Callable[..., None], *arguments: object
    ) -> bool:
        """Do one step of a route; report a failure, and go on with the other routes."""
        try:
            step(route, *arguments)
        except RunError as error:
            say(f"  {route.name}: {error}")
            self.results.append(RouteResult(route, problem=str(error)))
            return False
        return True


def clean_all(cloud: Cloud, account: str, *, is_asked: bool) -> int:
    """List the stacks of all runs, ask, and remove them; return the exit code.

    A run that goes on may be a colleague's.
    """
    stacks = find_stacks(cloud.describe_stacks())
    for stack in sorted(stacks, key=lambda stack: stack.name):
        say(f"  {stack.name}  {stack.status}")
    if stacks and is_asked:
        say(
            f"These stacks are of all runs of `make aws` in account {account}, {cloud.region}, also"
            " those of others, and those that go on."
        )
        if not is_confirmed():
            say('Nothing was removed. make aws-clean AWS="--yes" does not ask.')
            return 2
    return 0 if clean(cloud) else 1


def clean(cloud: Cloud, run: str = "") -> bool:
    """Remove the stacks of a run, or of all runs; return whether all are gone."""
    try:
        plan = plan_cleanup(find_stacks(cloud.describe_stacks(), run))
    except RunError as error:
        # Expired credentials, for example: the report is still written.
        say(f"  {error}\nSomething may be left: run `make aws-clean`.")
        return False
    if plan.is_empty:
        say("Nothing of `make aws` is left.")
        return True
    say(f"Removing {', '.join((*plan.routes, *plan.shared))} ...")
    steps = [
        *(functools.partial(cloud.delete_stack, name) for name in plan.routes),
        *(functools.partial(cloud.wait_until_deleted, name) for name in plan.routes),
        *(functools.partial(cloud.empty, bucket) for bucket in plan.buckets),
        *(functools.partial(cloud.delete_stack, name) for name in plan.shared),
        *(functools.partial(cloud.wait_until_deleted, name) for name in plan.shared),
    ]
    failed = [step for step in steps if not _attempt(step)]
    say("Something is left: run `make aws-clean`." if failed else "Everything is removed.")
    return not failed


def _attempt(step: Callable[[], None]) -> bool:
    """Do one step of the cleanup; the others are done even if it fails."""
    try:
        step()
    except RunError as error:
        say(f"  {error}")
        return False
    return True


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    arch = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    options = argparse.ArgumentParser(
        prog="make aws", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--region", default="", help="default: the region of your AWS settings")
    add("--endpoint-url", default="", help="a local emulator, e.g. http://127.0.0.1:4566")
    names = [route.name for route in (*ROUTES, EMULATED)]
    add("--only", action="append", default=[], choices=names, help="a route; may be repeated")
    add("--python", default="3.13", help="default: 3.13")
    add("--arch", default=arch, choices=["x86_64", "arm64"], help=f"default: {arch}")
    add("--memory", type=int, default=512, help="megabytes of each function; default: 512")
    add("--cold", type=at_least_one, default=10, help="cold starts of each route; default: 10")
    add("--warm", type=at_least_one, default=5, help="warm events after each; default: 5")
    add("--interpreter", default="", help="a Python to put into a zip, e.g. python/bin/python3")
    add("--output", type=Path, help="default: okibi-on-aws-REGION-DATE.md")
    add("--yes", action="store_true", help="do not ask")
    add("--clean", action="store_true", help="remove what an earlier run has left, and end")
    return options.parse_args(arguments)


def is_confirmed() -> bool:
    """Ask whether to continue; without a terminal the answer is no."""
    try:
        return input("Continue? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def execute(options: argparse.Namespace, cloud: Cloud) -> int:
    """Ask, run, write the report, and remove everything; return the exit code."""
    account = cloud.account()
    if options.clean:
        return clean_all(cloud, account, is_asked=not options.yes)
    conditions = Conditions(
        packages.docker_answers(), options.interpreter, str(options.endpoint_url)
    )
    routes, skipped = choose_routes(options.only, conditions)
    if not any(not route.is_official for route in routes):
        for route, reason in skipped:
            say(f"not tried: {route.name} ({reason})")
        raise RunError("no route of okibi can be tried here")
    settings = Settings(
        f"{PREFIX}-{secrets.token_hex(3)}", options.python, options.arch, options.memory
    )
    rounds = Rounds(options.cold, options.warm)
    cents = estimate_cents(routes, settings, rounds, read_prices(None))
    say(
        describe(
            routes, skipped, settings, rounds, account=account, region=cloud.region, cents=cents
        )
    )
    if not options.yes and not is_confirmed():
        say("Nothing was made.")
        return 2
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(cloud, settings, rounds, options.interpreter, Path(folder))
        interrupted = False
        try:
            run.check(run.deploy(routes))
        except KeyboardInterrupt:
            say("Interrupted.")
            interrupted = True
        finally:
            gone = clean(cloud, settings.run)
    info = RunInfo(day, cloud.region, cloud.endpoint, okibi.__version__, run.sizes)
    output: Path = options.output or Path(f"okibi-on-aws-{cloud.region}-{day}.md")
    output.write_text(render(info, settings, run.results, skipped), "utf-8")
    say(f"The report is {output}.")
    failed = any(
        result.problem or any(finding.verdict is Verdict.FAILED for finding in result.findings)
        for result in run.results
    )
    return 1 if failed or interrupted or not gone else 0


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 if all checks hold, 1 if not, 2 after the answer no."""
    options = parse_options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # each removes everything
        signal.signal(number, signal.default_int_handler)
    try:
        return execute(options, Cloud(options.region, options.endpoint_url))
    except (BadInput, RunError) as error:
        print(f"make aws: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make aws: interrupted; `make aws-clean` removes what is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
