"""Describe a recorded start that failed: whether it fails on Lambda too, and what to do."""

import re

import attrs

from .placeholders import PLACEHOLDER

# Begins the line about an error that the function has on Lambda too.
WARNING = "warning: "
# Begins the line about an error that the function may have on Lambda too.
UNVERIFIED = "not verified: "
# Ends the line about a module that is not in the package.
UNLESS_LAYER = "unless a layer has it"

IMPORT_ERROR = "Runtime.ImportModuleError"
SYNTAX_ERROR = "Runtime.UserCodeSyntaxError"
# The init errors that do not depend on the machine, each with its cure.
CURES = {
    IMPORT_ERROR: "correct the import",
    SYNTAX_ERROR: "correct the file",
    "Runtime.HandlerNotFound": "correct the handler's name",
    "Runtime.MalformedHandlerName": "write module.name, as in app.handler",
    "Runtime.BuiltInModuleConflict": "rename the module",
    "Runtime.MonkeyPatchConflict": "",
}
# The modules that AWS's own Pythons have, each with the requirement that has it.
OF_AWS = {
    "boto3": "boto3", "botocore": "boto3", "s3transfer": "boto3", "jmespath": "boto3",
    "dateutil": "python-dateutil", "six": "six", "urllib3": "urllib3",
}  # fmt: skip
MISSING = re.compile(r"No module named '([^'.]+)")
# A library of the system that this machine lacks. A layer or an image may have it.
SYSTEM_LIBRARY = "cannot open shared object file"
CURE = (
    "put the variables that the start needs into environment of the function's table in"
    " pyproject.toml, or add --no-record"
)


def find_missing(problem: str) -> str:
    """Return the top-level module that an import did not find; "" if nothing is missing."""
    found = MISSING.search(problem) if problem.startswith(IMPORT_ERROR) else None
    return found[1] if found else ""


@attrs.frozen
class FailedStart:
    """The facts about a start that failed.

    Args:
        handler: the handler that was started.
        problem: the type and the message of the error.
        requirements: the file in which the user lists requirements.
        is_elsewhere: whether the function's own folder was started in okibi's environment, because
            this machine cannot run the package.
        has_aws_modules: whether the package runs on AWS's own Python, which has boto3.
        is_packaged: whether the package has the missing top-level module.
        is_left_out: whether the user's folder has the missing module, and the package does not.
    """

    handler: str
    problem: str
    requirements: str = "requirements.txt"
    is_elsewhere: bool = False
    has_aws_modules: bool = True
    is_packaged: bool = False
    is_left_out: bool = False

    def note(self) -> str:
        """Describe what the start image has, to follow its size."""
        missing, before = find_missing(self.problem), "what was imported before"
        if self._is_of_aws():
            return (
                f"{before} {missing}, which is not in the package; add {OF_AWS[missing]} to"
                f" {self.requirements}: AWS's own copy is not in the image, and may change"
            )
        if self.warning():
            return f"{before} the start failed"
        lacking = f"{missing}, which is not installed beside okibi" if missing else self.problem
        return (
            f"{before} {lacking}: this machine cannot run the package, so the start was recorded"
            " in okibi's environment"
        )

    def warning(self) -> str:
        """Describe an error that the function has on Lambda too, or may have.

        Returns:
            A line with WARNING or UNVERIFIED at its begin; "" if only this environment lacks
            something that the package or AWS's own Python has.
        """
        kind = self.problem.partition(": ")[0]
        if self._is_of_aws() or (self.is_elsewhere and self._may_differ(kind)):
            return ""
        elsewhere = SYSTEM_LIBRARY in self.problem or PLACEHOLDER in self.problem
        if kind not in CURES or elsewhere:
            return f"{UNVERIFIED}{self.handler} does not start here: {self.problem}; {CURE}"
        cure = self._cure(kind)
        return f"{WARNING}{self.handler} does not load: {self.problem}{cure and f'; {cure}'}"

    def _is_of_aws(self) -> bool:
        missing = find_missing(self.problem)
        return self.has_aws_modules and missing in OF_AWS and not self.is_left_out

    def _may_differ(self, kind: str) -> bool:
        """Whether the package may load although this environment does not load the function."""
        if kind == IMPORT_ERROR:
            return self.is_packaged or not find_missing(self.problem)
        return kind == SYNTAX_ERROR

    def _cure(self, kind: str) -> str:
        missing = find_missing(self.problem)
        if not missing or self.is_packaged:
            return CURES[kind]
        if self.is_left_out:
            return (
                f"{missing} is in your folder and left out of the package: name it in include of"
                " [tool.okibi.package]"
            )
        if missing in OF_AWS:
            return f"add {OF_AWS[missing]} to {self.requirements}: only AWS's own Pythons have it"
        return f"add the package that has {missing} to {self.requirements}, {UNLESS_LAYER}"
