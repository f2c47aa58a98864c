"""Credentials: the environment, the container endpoint, profiles."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from okibi.aws.credential_source import EARLY, CredentialSource
from okibi.aws.credentials import NoCredentials
from okibi.aws.profiles import read_credentials, read_region
from tests.support.aws_server import KEYS, Received, answer, aws_server, environment

FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


def issue(number: int, seconds: float = 3600.0) -> bytes:
    expires = datetime.fromtimestamp(time.time() + seconds, UTC)
    stamp = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {"AccessKeyId": f"AK{number}", "SecretAccessKey": "secret", "Token": "token"}
    return answer({**keys, "Expiration": stamp})


# -- the environment


async def test_keys_of_the_environment_go_first() -> None:
    with environment({**KEYS, "AWS_SESSION_TOKEN": "t", FULL_URI: "http://127.0.0.1:9"}):
        keys = await CredentialSource().get()

    assert (keys.access_key, keys.secret_key, keys.token) == ("AKID", "secret", "t")


async def test_a_variable_that_is_empty_names_no_endpoint() -> None:
    empty = {FULL_URI: "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": ""}
    with environment(empty), pytest.raises(NoCredentials, match="AWS_ACCESS_KEY_ID and"):
        await CredentialSource().get()


# -- the container endpoint


async def test_keys_are_fetched_once_for_all_callers() -> None:
    async def respond(request: Received) -> bytes:
        return issue(len(server.requests))

    async with aws_server(respond) as server:
        variables = {FULL_URI: f"{server.url}/keys?a=1", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "tok"}
        source, found = CredentialSource(), set[str]()

        async def get() -> None:
            found.add((await source.get()).access_key)

        with environment(variables):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(get)

    assert found == {"AK1"}
    (request,) = server.requests
    assert (request.path, request.headers["authorization"]) == ("/keys?a=1", "tok")


async def test_the_token_may_be_in_a_file(tmp_path: Path) -> None:
    async def respond(request: Received) -> bytes:
        return issue(1)

    (tmp_path / "token").write_text("from the file\n")
    async with aws_server(respond) as server:
        file = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}
        with environment({FULL_URI: server.url, **file}):
            await CredentialSource().get()

    assert server.requests[0].headers["authorization"] == "from the file"


async def test_a_cancelled_fetch_is_begun_anew_by_the_next_caller() -> None:
    async def respond(request: Received) -> bytes:
        if len(server.requests) == 1:
            scope.cancel()
            await trio.sleep_forever()
        return issue(len(server.requests))

    async with aws_server(respond) as server:
        with environment({FULL_URI: server.url}):
            source = CredentialSource()
            with trio.CancelScope() as scope:
                await source.get()

            assert (await source.get()).access_key == "AK2"


async def test_keys_are_fetched_again_before_they_expire() -> None:
    async def respond(request: Received) -> bytes:
        return issue(len(server.requests), EARLY - 1 if len(server.requests) == 1 else 3600)

    async with aws_server(respond) as server:
        with environment({FULL_URI: server.url}):
            source = CredentialSource()
            found = [(await source.get()).access_key for _ in range(3)]

    assert found == ["AK1", "AK2", "AK2"]


async def test_old_keys_serve_while_no_new_ones_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def respond(request: Received) -> bytes:
        return issue(1, EARLY - 1) if len(server.requests) == 1 else answer({}, 500)

    async with aws_server(respond) as server:
        with environment({FULL_URI: server.url}):
            source = CredentialSource()
            found = [(await source.get()).access_key for _ in range(5)]
            assert found == ["AK1"] * 5
            assert len(server.requests) == 2

            later = time.time() + EARLY
            monkeypatch.setattr(time, "time", lambda: later)
            with pytest.raises(NoCredentials, match="HTTP 500"):
                await source.get()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"Message":"secret"}', "no 'AccessKeyId'"),
        (b"secret", "Expecting value"),
        (b'["secret"]', "list indices"),
        (b'{"AccessKeyId":"a","SecretAccessKey":"secret","Expiration":"x"}', "Invalid isoformat"),
    ],
)
async def test_an_answer_without_keys_is_refused_and_not_shown(body: bytes, why: str) -> None:
    async def respond(request: Received) -> bytes:
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async with aws_server(respond) as server:
        with environment({FULL_URI: server.url}), pytest.raises(NoCredentials, match=why) as caught:
            await CredentialSource().get()

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://example.com/keys", "http://169.254.169.254/", "ftp://a"])
async def test_a_host_that_is_not_the_platforms_gets_no_token(url: str) -> None:
    variables = {FULL_URI: url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "tok"}
    with environment(variables), pytest.raises(NoCredentials, match="https"):
        await CredentialSource().get()


@pytest.mark.parametrize(("path", "token"), [("/a\r\nx: 1", "hidden"), ("/a", "hidden\n")])
async def test_a_line_break_adds_no_header(path: str, token: str) -> None:
    async def respond(request: Received) -> bytes:
        raise AssertionError

    async with aws_server(respond) as server:
        variables = {FULL_URI: server.url + path, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}
        with environment(variables), pytest.raises(NoCredentials, match="line break") as caught:
            await CredentialSource().get()

    assert "hidden" not in str(caught.value)


# -- profiles


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-west-3\n[profile sso]\nsso_session = a\nregion = us-east-2\n"
        "[profile work]\naws_access_key_id = of the config\naws_secret_access_key = s\n"
    )
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AK\naws_secret_access_key = a%b\naws_session_token = t\n"
        "[work]\naws_access_key_id = WORK\naws_secret_access_key = s\n"
    )
    names = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}
    return {variable: str(tmp_path / name) for variable, name in names.items()}


def test_a_profile_has_keys_and_region(files: dict[str, str]) -> None:
    default, work = read_credentials(files), read_credentials({**files, "AWS_PROFILE": "work"})

    assert (default.access_key, default.secret_key, default.token) == ("AK", "a%b", "t")
    assert work.access_key == "WORK"
    assert read_region({**files, "AWS_PROFILE": "sso"}) == "us-east-2"
    assert read_region({**files, "AWS_PROFILE": "work"}) is None


async def test_a_profile_is_used_where_there_is_nothing_else(files: dict[str, str]) -> None:
    with environment(files):
        assert (await CredentialSource().get()).access_key == "AK"


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ("sso", "'sso' has no aws_access_key_id .*aws configure export-credentials --profile sso"),
        ("none", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, .* no profile 'none'"),
    ],
)
def test_a_profile_without_keys_names_the_way(
    files: dict[str, str], profile: str, text: str
) -> None:
    with pytest.raises(NoCredentials, match=text):
        read_credentials({**files, "AWS_PROFILE": profile})


def test_a_file_that_is_no_configuration_is_named_and_not_shown(files: dict[str, str]) -> None:
    path = Path(files["AWS_CONFIG_FILE"])
    path.write_text("secret = 1\n")

    with pytest.raises(NoCredentials, match="config cannot be read") as caught:
        read_credentials(files)
    assert "secret" not in str(caught.value)
