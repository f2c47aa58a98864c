"""From an empty folder to a function on MiniStack, as a new user: pip, okibi deploy, invoke.

The tests run in order: each begins with the stack that the one before has left.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from tests.deploy.conftest import copy_clone
from tests.deploy.ministack import REGION, aws_environment, run_ministack

FUNCTION = """
import attrs
from okibi import Child, Context, Function, Handler, Name, Server


@attrs.define(eq=False)
class Visits(Server):
    total: int = 0

    async def visit(self) -> int:
        self.total += 1
        return self.total


VISITS = Name("visits", Visits)


@attrs.define(eq=False)
class Greeter(Handler[dict]):
    async def handle(self, event: dict, context: Context) -> dict:
        if "Records" in event:
            failed = [r["messageId"] for r in event["Records"] if r["body"] == "poison"]
            return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}
        print("greeting", event.get("name"))
        if event.get("name") == "nobody":
            raise ValueError("no such name")
        return {"message": "hello", "visit": await VISITS.call(Visits.visit)}


function = Function(handler=Greeter, children=[Child(Visits, name=VISITS)])
"""
PROJECT = """
[project]
name = "shop"
version = "1"
dependencies = ["jmespath"]

[tool.okibi.functions.visits]
handler = "app.function"
timeout = 5
environment = {TOKEN = "hush-hush"}
url = {streaming = true, auth = "none"}
routes = ["$default"]
queue = {max_receive_count = 1, batch_size = 10}
table = {partition_key = "id"}
entities = true
schedule = "rate(1 day)"
alias = "live"
alarms = true
"""
SECRET = "hush-hush"
POISON, GOOD = "poison", "good"
HIDDEN = 10


@attrs.frozen
class Done:
    """A finished command."""

    code: int
    out: str
    err: str


@attrs.frozen
class Project:
    """A folder with a project, a virtual environment with okibi, and MiniStack.

    Args:
        folder: the folder of the project.
        bin: the folder of the virtual environment's programs.
        url: the URL of MiniStack.
    """

    folder: Path
    bin: Path
    url: str

    def run(
        self, command: list[str | Path], code: int = 0, stdin: int = subprocess.DEVNULL
    ) -> Done:
        """Run a command in the project's folder."""
        environment = {**aws_environment(), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=120, stdin=stdin,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def okibi(self, *arguments: str, code: int = 0) -> Done:
        """Run `okibi` with MiniStack in place of AWS."""
        return self.run([self.bin / "okibi", *arguments, "--endpoint-url", self.url], code)

    def deploy(self, *arguments: str, code: int = 0) -> Done:
        """Run `okibi deploy` for an emulator, which has no managed Python."""
        return self.okibi("deploy", "--runtime", "provided.al2023", *arguments, code=code)

    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        formation = self.client("cloudformation")
        (stack,) = formation.describe_stacks(StackName="visits")["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.folder / name
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))


@pytest.fixture(scope="module")
def project(first_steps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "app.py").write_text(FUNCTION)
    with run_ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield Project(folder, first_steps / "venv" / "bin", url)


def wait_for(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask again until there is an answer."""
    limit = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < limit
        time.sleep(0.1)
    return answer


def find_another_python() -> str:
    """Find a Python that is not the first of this machine, and so not the one `uvx` chooses."""
    say = "import ensurepip, sys; print(*sys.version_info[:2], sep='.')"
    versions = dict[str, str]()
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        if found := shutil.which(name, path=without_environments()):
            done = subprocess.run([found, "-c", say], capture_output=True, text=True)
            # A shim of pyenv is there, and fails, if pyenv does not select its version.
            if done.returncode == 0:
                versions.setdefault(done.stdout.strip(), found)
    if len(versions) < 2:
        pytest.skip(f"this machine has no other Python than {list(versions)}")
    return list(versions.values())[-1]


def without_environments() -> str:
    """PATH without virtual environments."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(
        each for each in folders if not (Path(each).parent / "pyvenv.cfg").exists()
    )


def test_five_commands_pasted_at_once_lead_from_a_clone_to_a_function(
    tmp_path: Path, first_commands: list[str]
) -> None:
    assert len(first_commands) == 5
    copy_clone(tmp_path / "okibi")
    # The reader's `python3` is in a virtual environment, as with pyenv, Conda or `uv venv`: `uvx`
    # passes over it, and takes the machine's first Python.
    subprocess.run([find_another_python(), "-m", "venv", tmp_path / "readers"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    environment = {
        **aws_environment(),
        "PATH": f"{tmp_path}/readers/bin:{without_environments()}",
        "GATEWAY_PORT": port,
        "TMPDIR": str(tmp_path),
    }
    script = "\n".join(command.replace("4566", port) for command in first_commands)

    # A terminal goes on after a command that fails; `set -e` tells which one.
    with subprocess.Popen(
        ["bash", "-ec", script], cwd=tmp_path, env=environment, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as shell:  # fmt: skip
        try:
            out, err = shell.communicate(timeout=900)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)

    assert shell.returncode == 0, err + (tmp_path / "ministack.log").read_text()
    name, *_, answer = [line for line in out.splitlines() if line.startswith(("Function", "{"))]
    assert name == "FunctionName: visits"
    assert json.loads(answer)["visit"] == 1


def test_the_project_is_packaged(project: Project) -> None:
    done = project.run([project.bin / "okibi", "package", "app.function"])

    assert "function.zip: " in done.out


def test_a_dry_run_changes_nothing(project: Project) -> None:
    done = project.deploy("--package", "function.zip", "--dry-run")

    assert "account 000000000000, region us-east-1, stack visits" in done.err
    assert "+ add  Function " in done.err
    assert "dry run: nothing was changed" in done.err
    with pytest.raises(ClientError, match="does not exist"):
        project.client("cloudformation").describe_stacks(StackName="visits")
    assert project.client("s3").list_buckets()["Buckets"] == []


def test_without_a_terminal_nothing_is_deployed_unasked(project: Project) -> None:
    assert "add --yes" in project.deploy(code=2).err


def test_the_answer_no_deploys_nothing(project: Project) -> None:
    answering, terminal = os.openpty()
    os.write(answering, b"n\n")
    command: list[str | Path] = [
        project.bin / "okibi", "deploy", "--runtime", "provided.al2023",
        "--package", "function.zip", "--endpoint-url", project.url,
    ]  # fmt: skip

    done = project.run(command, code=1, stdin=terminal)

    os.close(answering)
    os.close(terminal)
    assert "public: anyone can call the function URL, $default; " in done.err
    assert "TOKEN in environment: everyone who may read the stack sees the value" in done.err
    assert "Deploy to account 000000000000, us-east-1? [y/N]" in done.err
    assert "nothing was changed" in done.err
    with pytest.raises(ClientError, match="does not exist"):
        project.outputs()


@pytest.mark.parametrize(
    ("source", "said"),
    [("import no_such_module", "warning: broken.handler does not load: Runtime.ImportModuleError"),
     ("1 / 0", "not verified: broken.handler does not start here: ZeroDivisionError")],
)  # fmt: skip
def test_a_function_that_does_not_start_is_not_deployed(
    source: str, said: str, project: Project
) -> None:
    (project.folder / "broken.py").write_text(f"{source}\nhandler = print\n")
    try:
        done = project.deploy("broken.handler", "--stack", "broken", "--yes", code=1)
    finally:
        (project.folder / "broken.py").unlink()

    assert said in done.err
    assert "okibi: nothing was deployed: " in done.err
    with pytest.raises(ClientError, match="does not exist"):
        project.client("cloudformation").describe_stacks(StackName="broken")


def test_a_project_is_deployed_by_one_command(project: Project) -> None:
    done = project.deploy("--yes")

    outputs = dict(line.split(": ", 1) for line in done.out.splitlines())
    assert outputs["FunctionName"] == "visits"
    assert {"Url", "ApiUrl", "QueueUrl", "TableName", "EntityTableName"} <= outputs.keys()
    (stack,) = project.client("cloudformation").describe_stacks(StackName="visits")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {"Key": "okibi:managed", "Value": "true"} in stack["Tags"]


def test_boto3_invokes_the_function_and_its_actor_keeps_state(project: Project) -> None:
    functions = project.client("lambda")

    visits = [
        json.load(functions.invoke(FunctionName="visits", Payload=b"{}")["Payload"])["visit"]
        for _ in range(2)
    ]

    assert visits == [1, 2]


def test_the_variables_of_entities_name_what_was_made(project: Project) -> None:
    configuration = project.client("lambda").get_function_configuration(FunctionName="visits")
    variables = configuration["Environment"]["Variables"]

    table = project.client("dynamodb").describe_table(TableName=variables["OKIBI_ENTITIES"])
    assert table["Table"]["KeySchema"] == [{"AttributeName": "k", "KeyType": "HASH"}]
    group = variables["OKIBI_ENTITIES_GROUP"]
    assert project.client("scheduler").get_schedule_group(Name=group)["Name"] == group
    role = variables["OKIBI_ENTITIES_ROLE"]
    found = project.client("iam").get_role(RoleName=role.rpartition("/")[2])
    assert found["Role"]["Arn"] == role


def test_the_function_url_answers(project: Project) -> None:
    url = project.client("lambda").get_function_url_config(FunctionName="visits", Qualifier="live")
    host = url["FunctionUrl"].split("/")[2]
    request = urllib.request.Request(project.url, headers={"Host": host})

    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["message"] == "hello"
    assert url["InvokeMode"] == "RESPONSE_STREAM"


def test_the_http_api_answers(project: Project) -> None:
    api = project.outputs()["ApiUrl"].split("/")[2].split(".")[0]
    host = f"{api}.execute-api.localhost"
    request = urllib.request.Request(f"{project.url}/any/path", headers={"Host": host})

    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["message"] == "hello"


def test_okibi_invokes_it_and_shows_its_log(project: Project) -> None:
    done = project.okibi("invoke", "--remote", "visits", '{"name": "bob"}')

    assert json.loads(done.out)["message"] == "hello"
    assert "greeting bob" in done.err


def test_an_error_of_the_function_is_the_command_s_exit_code(project: Project) -> None:
    done = project.okibi("invoke", "--remote", "app.function", '{"name": "nobody"}', code=1)

    assert json.loads(done.out)["errorType"] == "ValueError"


def test_okibi_prints_the_log(project: Project) -> None:
    done = project.okibi("logs")

    assert "greeting bob" in done.out.splitlines()


def test_okibi_follows_the_log_until_ctrl_c(project: Project) -> None:
    command: list[str | Path] = [
        project.bin / "okibi",
        "logs",
        "visits",
        "-f",
        "--endpoint-url",
        project.url,
    ]
    with subprocess.Popen(
        command, cwd=project.folder, env=aws_environment(), stdout=subprocess.PIPE, text=True
    ) as follower:
        project.client("lambda").invoke(FunctionName="visits", Payload=b'{"name": "carol"}')

        assert follower.stdout is not None
        for line in follower.stdout:
            if line == "greeting carol\n":
                break
        follower.send_signal(signal.SIGINT)
        # A closed pipe would end it before Ctrl-C does.
        follower.stdout.read()

    assert follower.returncode == 130


def test_only_the_poison_record_ends_in_the_dead_letter_queue(project: Project) -> None:
    sqs, urls = project.client("sqs"), project.outputs()
    # Six time-outs would be thirty seconds. The function has this long to answer.
    sqs.set_queue_attributes(
        QueueUrl=urls["QueueUrl"], Attributes={"VisibilityTimeout": str(HIDDEN)}
    )

    sqs.send_message_batch(
        QueueUrl=urls["QueueUrl"],
        Entries=[
            {"Id": str(n), "MessageBody": POISON if n == 3 else GOOD} for n in range(8)
        ],
    )  # fmt: skip

    def dead() -> list[str]:
        found = sqs.receive_message(
            QueueUrl=urls["DeadLetterQueueUrl"], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [message["Body"] for message in found.get("Messages", ())]

    def left() -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = sqs.get_queue_attributes(QueueUrl=urls["QueueUrl"], AttributeNames=names)
        return sum(map(int, told["Attributes"].values()))

    assert wait_for(dead) == [POISON]
    wait_for(lambda: left() == 0)
    assert dead() == [POISON]


def test_the_same_again_changes_nothing(project: Project) -> None:
    assert "nothing to change" in project.deploy("--yes").err


def test_a_change_of_code_and_settings_is_deployed(project: Project) -> None:
    project.edit("app.py", '"message": "hello"', '"message": "welcome"')
    project.edit("pyproject.toml", "timeout = 5", "timeout = 6")

    done = project.deploy("--yes")

    (line,) = [each for each in done.err.splitlines() if " Function " in each]
    assert "~ modify" in line
    assert "Code" in line
    assert "Timeout" in line
    assert "only if Queue.Arn changes: FunctionRole, QueueMapping" in done.err
    assert "may replace it" not in done.err
    # By the alias: a new version was published, and the alias moved to it.
    answer = project.client("lambda").invoke(FunctionName="visits:live", Payload=b"{}")
    assert json.load(answer["Payload"])["message"] == "welcome"
    assert answer["ExecutedVersion"] == "2"


def test_a_second_stack_of_a_function_stands_beside_the_first(project: Project) -> None:
    project.deploy("app.function", "--stack", "visits-test", "--package", "function.zip", "--yes")

    named = project.okibi("invoke", "--remote", "visits", "--stack", "visits-test")
    assert json.loads(named.out) == {"message": "hello", "visit": 1}
    assert "greeting None" in project.okibi("logs", "--stack", "visits-test").out

    answer = project.client("lambda").invoke(FunctionName="visits-test", Payload=b"{}")
    assert json.load(answer["Payload"]) == {"message": "hello", "visit": 1}


def test_a_stack_that_okibi_has_not_made_is_refused(project: Project) -> None:
    topic = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    formation = project.client("cloudformation")
    formation.create_stack(StackName="foreign", TemplateBody=json.dumps(topic))

    done = project.deploy("--stack", "foreign", "--yes", code=2)

    assert "stack foreign was not made by okibi" in done.err
    (stack,) = formation.describe_stacks(StackName="foreign")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_of_another_project_is_refused(project: Project) -> None:
    project.edit("pyproject.toml", 'name = "shop"', 'name = "other"')
    try:
        refused = [
            project.deploy("--yes", code=2),
            project.okibi("invoke", "--remote", "visits", code=2),
            project.okibi("logs", code=2),
        ]
    finally:
        project.edit("pyproject.toml", 'name = "other"', 'name = "shop"')

    for done in refused:
        assert "stack visits belongs to project shop, not to other" in done.err


def test_a_function_that_is_not_there_is_told_with_the_cure(project: Project) -> None:
    for command in (("invoke", "--remote"), ("logs",)):
        done = project.okibi(*command, "nothing", code=2)
        assert "function nothing does not exist in us-east-1; run okibi deploy first" in done.err


def test_a_wrong_address_is_one_sentence(project: Project) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{bound.getsockname()[1]}"
        for command in (("deploy", "--yes"), ("invoke", "--remote", "visits"), ("logs",)):
            okibi: list[str | Path] = [project.bin / "okibi", *command, "--endpoint-url"]
            (line,) = project.run([*okibi, "127.0.0.1:4566"], 2).err.splitlines()
            assert "must be http:// or https://" in line
            if command[0] != "deploy":
                (line,) = project.run([*okibi, closed], 2).err.splitlines()
                assert f"nothing listens at {closed}" in line


def test_a_bucket_that_is_not_there_leaves_no_stack(project: Project) -> None:
    done = project.deploy(
        "--stack", "nowhere", "--bucket", "no-such-bucket", "--package", "function.zip", "--yes",
        code=2,
    )  # fmt: skip

    assert "bucket no-such-bucket does not exist (NoSuchBucket); make it" in done.err
    with pytest.raises(ClientError, match="does not exist"):
        project.client("cloudformation").describe_stacks(StackName="nowhere")


def test_a_failed_deployment_tells_why(project: Project) -> None:
    layer = "arn:aws:lambda:us-east-1:000000000000:layer:none:1"
    project.edit("pyproject.toml", "timeout = 6", f'timeout = 7\nlayers = ["{layer}"]')

    done = project.deploy("--package", "function.zip", "--yes", code=1)

    assert "failed: Function (AWS::Lambda::Function): " in done.err
    assert "the deployment failed; stack visits is UPDATE_ROLLBACK_COMPLETE" in done.err
