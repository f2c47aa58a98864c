"""Rules for the workflows of GitHub Actions."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def parse(path: Path) -> dict[Any, Any]:
    # YAML 1.1 reads the key `on` as true.
    return msgspec.yaml.decode(path.read_bytes(), type=dict[Any, Any])


def steps_of(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow_for_tests_docs_and_releases() -> None:
    assert {"docs", "release", "tests"} <= {path.stem for path in WORKFLOWS}


@each_workflow
def test_each_make_target_of_a_workflow_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {*re.findall(r"^([\w./-]+):", makefile, re.M)}
    commands = [step["run"] for step in steps_of(parse(path)) if "run" in step]

    assert {target for run in commands for target in re.findall(r"make ([\w./-]+)", run)} <= targets


@each_workflow
def test_each_module_and_file_of_a_workflow_exists(path: Path) -> None:
    commands = [step["run"] for step in steps_of(parse(path)) if "run" in step]

    for run in commands:
        for module in re.findall(r"python3? -m ([\w.]+)", run):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), run
        for file in re.findall(r"examples/[\w/]+", run):
            assert (ROOT / f"{file}.py").exists(), run


@each_workflow
def test_actions_have_a_major_version_the_publishing_one_a_commit(path: Path) -> None:
    used = [step["uses"] for step in steps_of(parse(path)) if "uses" in step]

    pinned = r"(?!pypa/)[\w/-]+@v\d+|pypa/[\w-]+@[0-9a-f]{40}"
    assert [name for name in used if not re.fullmatch(pinned, name)] == []


@each_workflow
def test_a_workflow_may_only_read_and_only_publishing_jobs_get_a_token(path: Path) -> None:
    workflow = parse(path)
    writing = {
        name
        for name, job in workflow["jobs"].items()
        if "write" in job.get("permissions", {}).values()
    }

    assert workflow["permissions"] == {"contents": "read"}
    assert writing <= {"publish"}
    for name in writing:
        assert "environment" in workflow["jobs"][name]


@each_workflow
def test_jobs_of_a_workflow_need_jobs_that_exist(path: Path) -> None:
    jobs = parse(path)["jobs"]

    for job in jobs.values():
        needs = job.get("needs", [])
        assert {*([needs] if isinstance(needs, str) else needs)} <= {*jobs}
