"""Failed starts that fail on Lambda too, and their cures."""

import pytest

from okibi.packaging.failed_start import FailedStart, find_missing

NO_STRIPE = "Runtime.ImportModuleError: Unable to import module 'app': No module named 'stripe.x'"
NO_BOTO3 = "Runtime.ImportModuleError: Unable to import module 'app': No module named 'boto3'"
NO_HANDLER = "Runtime.HandlerNotFound: Handler 'f' missing on module 'app'"
SYNTAX = "Runtime.UserCodeSyntaxError: Syntax error in module 'app': invalid syntax"


@pytest.mark.parametrize(
    ("problem", "cure"),
    [(NO_STRIPE, "add the package that has stripe to requirements.txt, unless a layer has it"),
     ("Runtime.ImportModuleError: cannot import name 'x' from 'y'", "correct the import"),
     (NO_HANDLER, "correct the handler's name"),
     (SYNTAX, "correct the file"),
     ("Runtime.MalformedHandlerName: Bad handler 'app'", "write module.name, as in app.handler")],
    ids=["module", "name", "handler", "syntax", "malformed"],
)  # fmt: skip
def test_an_error_that_lambda_has_too_is_a_warning_with_the_cure(problem: str, cure: str) -> None:
    failed = FailedStart("app.f", problem)

    assert failed.warning() == f"warning: app.f does not load: {problem}; {cure}"
    assert failed.note() == "what was imported before the start failed"


@pytest.mark.parametrize(
    "problem",
    ["KeyError: 'TABLE'",
     "Runtime.ImportModuleError: libGL.so.1: cannot open shared object file: No such file",
     "Runtime.ImportModuleError: Unable to import module 'app': No module named 'placeholderx1'"],
)  # fmt: skip
def test_an_error_that_lambda_may_not_have_is_not_verified(problem: str) -> None:
    failed = FailedStart("app.f", problem)

    assert failed.warning() == (
        f"not verified: app.f does not start here: {problem}; put the variables that the start"
        " needs into environment of the function's table in pyproject.toml, or add --no-record"
    )
    assert failed.note() == "what was imported before the start failed"


def test_boto3_may_be_left_to_aws_s_own_python() -> None:
    failed = FailedStart("app.f", NO_BOTO3)

    assert failed.warning() == ""
    assert failed.note() == (
        "what was imported before boto3, which is not in the package; add boto3 to"
        " requirements.txt: AWS's own copy is not in the image, and may change"
    )


def test_boto3_is_missing_where_the_package_brings_its_python() -> None:
    failed = FailedStart("app.f", NO_BOTO3, has_aws_modules=False)

    assert failed.warning().endswith(
        "; add boto3 to requirements.txt: only AWS's own Pythons have it"
    )


def test_a_module_that_was_left_out_is_to_be_included() -> None:
    problem = "Runtime.ImportModuleError: Unable to import module 'app': No module named 'tests'"

    warning = FailedStart("app.f", problem, is_left_out=True).warning()

    assert warning.endswith(
        "; tests is in your folder and left out of the package: name it in include of"
        " [tool.okibi.package]"
    )


@pytest.mark.parametrize(
    ("problem", "is_packaged", "warns"),
    [(NO_STRIPE, True, False), (NO_STRIPE, False, True), (NO_HANDLER, False, True),
     (SYNTAX, False, False), ("Runtime.ImportModuleError: cannot import name 'x'", False, False)],
    ids=["in the package", "nowhere", "handler", "another Python", "another library"],
)  # fmt: skip
def test_what_only_this_environment_lacks_is_no_warning(
    problem: str, is_packaged: bool, warns: bool
) -> None:
    failed = FailedStart("app.f", problem, is_elsewhere=True, is_packaged=is_packaged)

    assert (failed.warning() != "") == warns


def test_the_note_names_what_this_environment_lacks() -> None:
    note = FailedStart("app.f", NO_STRIPE, is_elsewhere=True, is_packaged=True).note()

    assert note.startswith("what was imported before stripe, which is not installed beside okibi:")


def test_the_missing_module_is_the_top_level_one() -> None:
    assert find_missing(NO_STRIPE) == "stripe"
    assert find_missing("KeyError: No module named 'x'") == ""
