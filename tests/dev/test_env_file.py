"""--env-file: the syntax that users of Docker and python-dotenv know; no value in an error."""

import time
from pathlib import Path

import pytest

from okibi.dev.env_file import MALFORMED, parse_variables, read_env_file
from okibi.project.bad_input import BadInput


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("export A=1\r\n\texport  B = 2 \r\n", {"A": "1", "B": "2"}),
        ("A=\nB=''\nC=\"\"", {"A": "", "B": "", "C": ""}),
        ("# comment\n\n  # another\nA=1 # rest\nB=1#no", {"A": "1", "B": "1#no"}),
        ("A=# all a comment\nB='#no' # comment", {"A": "", "B": "#no"}),
        (r"A='a\n$B'" + "\n" + r'B="a\n\"b\" \$C \\"', {"A": r"a\n$B", "B": 'a\n"b" $C \\'}),
        ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
        ("URL=postgres://a:b=c@host/db?x=1", {"URL": "postgres://a:b=c@host/db?x=1"}),
        ("A=a b 'c'", {"A": "a b 'c'"}),
        ("HOME\nMISSING\nA=1", {"HOME": "/home/ada", "A": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("", {}),
    ],
)
def test_variables_are_read_as_docker_compose_reads_them(
    text: str, variables: dict[str, str]
) -> None:
    assert parse_variables(text, {"HOME": "/home/ada"}) == variables


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A=1\n=secret", f"line 2: {MALFORMED}"),
        ("A secret", f"line 1: {MALFORMED}"),
        ("\nA= 'secret", f"line 2: {MALFORMED}"),
        ("A='secret' secret", f"line 1: {MALFORMED}"),
        ("\nB='\n'\n_HANDLER=secret", "line 4: Lambda sets _HANDLER itself; remove it"),
    ],
)
def test_a_wrong_line_is_named_without_its_value(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(text)

    with pytest.raises(BadInput) as caught:
        read_env_file(str(tmp_path / "env"))

    assert str(caught.value) == f"--env-file {tmp_path / 'env'}, {reason}"


def test_the_time_for_a_file_grows_with_its_lines_only() -> None:
    begun = time.process_time()

    with pytest.raises(ValueError, match=r"line 60000: must be NAME=value"):
        parse_variables("A=1\n" * 59_999 + "=2", {})

    assert time.process_time() - begun < 8


def test_a_file_of_sam_local_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text('{"Visits": {"KEY": "secret"}}')

    with pytest.raises(BadInput, match="is JSON; write a line NAME=value for"):
        read_env_file(str(tmp_path / "env.json"))


def test_a_missing_file_is_bad_input() -> None:
    with pytest.raises(BadInput, match="--env-file gone: cannot be read"):
        read_env_file("gone")
