"""The samples for Terraform and the CDK, and the names in the tables beside them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hcl2
import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from okibi.dev.templates.functions import from_template
from tests.deploy.test_accepted_templates import REGION, lint

PAGE = (Path(__file__).parents[2] / "docs" / "infrastructure.md").read_text("utf-8")
# What the command `cdk synth` sets: the template then names the file of an asset.
CONTEXT = json.dumps({"aws:cdk:enable-asset-metadata": True})
STARTS_OKIBI = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap"}
# Names of Terraform's AWS provider 6, from its schema in cdktf-cdktf-provider-aws 21.22.1.
ARGUMENTS = {
    "architectures", "capacity_provider_config", "code_signing_config_arn", "dead_letter_config",
    "description", "durable_config", "environment", "ephemeral_storage", "file_system_config",
    "filename", "function_name", "handler", "image_config", "image_uri", "kms_key_arn", "layers",
    "logging_config", "memory_size", "package_type", "publish", "publish_to", "region",
    "replace_security_groups_on_destroy", "replacement_security_group_ids",
    "reserved_concurrent_executions", "role", "runtime", "s3_bucket", "s3_key",
    "s3_object_version", "skip_destroy", "snap_start", "source_code_hash", "source_kms_key_arn",
    "tags", "tenancy_config", "timeout", "timeouts", "tracing_config", "vpc_config",
}  # fmt: skip
OTHERS = {"aws_lambda_provisioned_concurrency_config", "permissions_boundary"}


def sample(language: str, word: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return next(str(text) for text in found if word in text)


def plain(value: Any) -> Any:
    """Return a value of the parser, which keeps the quotes of strings."""
    return json.loads(value) if isinstance(value, str) and value.startswith('"') else value


def test_the_terraform_sample_starts_okibi() -> None:
    (resource,) = hcl2.loads(sample("terraform", "resource"))["resource"]
    ((kind, named),) = resource.items()
    (function,) = named.values()
    given = {name: value for name, value in function.items() if name != "__is_block__"}

    assert plain(kind) == "aws_lambda_function"
    assert given.keys() <= ARGUMENTS
    ((environment),) = given["environment"]
    assert {name: plain(value) for name, value in environment["variables"].items()} == STARTS_OKIBI
    (processor,) = map(plain, given["architectures"])
    python = plain(given["runtime"]).removeprefix("python")
    command = f"okibi package {plain(given['handler'])} --python {python} --arch {processor}\n"
    assert command in PAGE


def test_names_in_the_table_are_those_of_cloudformation_and_terraform() -> None:
    table = PAGE.partition("| what | CloudFormation | Terraform | with okibi |\n")[2]
    rows = [line.split("|") for line in table.partition("\n\n")[0].splitlines()[1:]]
    properties = {
        name
        for kind in ("AWS::Lambda::Function", "AWS::Lambda::Alias", "AWS::IAM::Role")
        for name in PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema["properties"]
    }

    assert {name for row in rows for name in re.findall("`(.+?)`", row[2])} <= properties
    assert {name for row in rows for name in re.findall("`(.+?)`", row[3])} <= ARGUMENTS | OTHERS
    assert len(rows) == 9


def test_the_sample_of_the_cdk_is_accepted_by_cfn_lint_and_served(tmp_path: Path) -> None:
    pytest.importorskip("aws_cdk", reason="aws-cdk-lib needs node, and is large")
    (tmp_path / "function.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    (tmp_path / "cdk_app.py").write_text(sample("python", "aws_cdk"))

    subprocess.run(
        [sys.executable, "cdk_app.py"],
        cwd=tmp_path,
        env={**os.environ, "CDK_OUTDIR": "cdk.out", "CDK_CONTEXT_JSON": CONTEXT},
        capture_output=True,
        check=True,
    )

    file = tmp_path / "cdk.out" / "visits.template.json"
    template = json.loads(file.read_text("utf-8"))
    # W3005: the CDK writes dependencies that CloudFormation infers.
    assert [each for each in lint(template) if each.rule.id != "W3005"] == []
    (function,) = [
        each["Properties"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function"
    ]
    assert function["Environment"]["Variables"] == STARTS_OKIBI
    assert (function["Handler"], function["Runtime"]) == ("app.function", "python3.13")
    (served,), _ = from_template(file, {}, None, "visits", REGION, tmp_path / "unpacked")
    assert served.settings.handler == "app.function"
