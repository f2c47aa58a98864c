"""Leave out the validators of attrs until they are used.

attrs imports `attr.validators` with its other modules: 14 classes of attrs, 1.5 ms of a start.
During `import trio`, placeholders of `lean_trio` stand in for `attr.validators` and
`attrs.validators`. Of all validators, outcome's class `Error` takes `instance_of`, and gets
`LateInstanceOf`. Afterwards the first `attrs.validators` imports the real module, by the
`__getattr__` of the package (PEP 562).
"""

import sys
from types import ModuleType
from typing import Any

from .late_trio import LateName, LateNames

PACKAGES = ("attr", "attrs")
LATE = "validators"
LATE_MODULES = tuple(f"{package}.{LATE}" for package in PACKAGES)


class LateInstanceOf:
    """`attr.validators.instance_of`, which is imported when it refuses a value or is looked at.

    Args:
        type: a class, or a tuple of classes.
    """

    def __init__(self, type: Any) -> None:  # noqa: A002
        self._accepted = type

    def __call__(self, instance: object, attribute: object, value: object) -> None:
        """Check a value.

        Raises:
            TypeError: the value is of another class; the message is attrs' own.
        """
        if not isinstance(value, self._accepted):
            self._real()(instance, attribute, value)

    def __getattr__(self, name: str) -> object:
        if name == "_accepted":
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __repr__(self) -> str:
        return repr(self._real())

    def _real(self) -> Any:
        __import__(LATE_MODULES[0])
        return vars(sys.modules[LATE_MODULES[0]])["instance_of"](self._accepted)


def import_validators_when_used(placeholder: type[ModuleType]) -> None:
    """Let the validators be imported when first used, where attrs has a placeholder of them.

    Args:
        placeholder: the class of placeholders.
    """
    for package, late in zip(PACKAGES, LATE_MODULES, strict=True):
        module = sys.modules.get(package)
        if module is not None and isinstance(vars(module).get(LATE), placeholder):
            LateNames(module, {LATE: LateName(late, "")}, _keep).install()


def _keep(_name: str, _values: object) -> None:
    """Leave the objects of a module as they are."""
