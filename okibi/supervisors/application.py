"""Applications as values: a named tree, its dependencies, and the effect of its exit on others.

OTP: application, application_controller, application_master.

An application is a supervision tree with a name. Its dependencies start before it and stop after
it; a shared dependency starts once. Applications start all or none: if one fails, those started
before it stop again. An application exits when its top supervisor exits. The kind decides:

    exit of the top       PERMANENT                TRANSIENT                TEMPORARY
    normal, shutdown      all applications stop    log                      log
    crashed, killed       all applications stop    all applications stop    log

Stopping an application on request never stops others. Every exit takes the same steps:

    prep_stop hook, stop of the tree, stop hook, cancellation of the tasks in its nursery

Differences from OTP:

 * The default kind is PERMANENT. `application:start/1` defaults to temporary, but releases, used
   in production, start applications as permanent. Also, an exit that is only logged looks like
   success to a monitor outside the process.
 * Both `normal` and `shutdown` count as normal exits. In OTP a supervisor that gives up exits with
   `shutdown`, so OTP cannot count `shutdown` as normal, and OTP's manual calls `transient` of
   little practical use. In okibi giving up is a crash; `shutdown` is an automatic shutdown after
   significant children.
 * A failed start never stops applications that already run, and the caller gets the error. In
   OTP, a failed start of a permanent or transient application stops the node.
 * After its exit an application is no longer started: `stop_application` raises NotFound, and
   `ensure_all_started` starts the application again. OTP lists it as started until it is stopped.
 * No start phases. Children in start order and `continue_with` cover their use.
 * Nothing is loaded or looked up in files. An application is a value and depends on other values.
   Two controllers, or two runs, share nothing.
"""

# Arguments are checked at run time as well: a caller may not use a type checker.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, cast

import attrs

from ..actors import ExitReason
from ..actors.safe_repr import describe_value
from ..actors.start import GRACE
from .any_supervisor_spec import AnySupervisorSpec, is_number
from .spec_error import SpecError, wrong_value

Hook: TypeAlias = Callable[[], Awaitable[object]]


class ApplicationKind(enum.Enum):
    """The rule for the exits of an application that stop all applications (OTP: `restart_type()`).

    PERMANENT: every exit. TRANSIENT: a crash or a kill. TEMPORARY: none.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


def as_applications(applications: Iterable["Application"]) -> tuple["Application", ...]:
    """Convert the `applications` argument to a tuple and check its items.

    Raises:
        SpecError: the argument is not iterable, or an item is not an Application.
    """
    given: object = applications
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise wrong_value("applications", "a list of Application", applications)
    found = tuple(applications)
    for at, application in enumerate(found):
        if not isinstance(application, Application):
            raise SpecError(
                f"applications[{at}] must be an Application, got {describe_value(application)}",
                field="applications",
                value=application,
            )
    return found


@attrs.frozen
class Application:
    """A named supervision tree with dependencies and hooks (OTP: application).

    | field | default | meaning |
    | --- | --- | --- |
    | name | | a non-empty string without a slash, unique in one controller; part of the path |
    | tree | | the spec of the top supervisor: a SupervisorSpec or another supervisor's spec |
    | applications | () | the dependencies: start before this application, stop after it |
    | kind | PERMANENT | an ApplicationKind: which exits stop all applications |
    | prep_stop | None | an async callable, run before the tree stops, or after the tree's exit |
    | stop | None | an async callable, run after the tree has stopped |
    | hook_timeout | 5.0 | seconds > 0 for each hook; a hook that exceeds them is cancelled |

    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Application, Child, SupervisorSpec
    >>> from okibi.supervisors.application import start_order
    >>> class Pool(Server): ...
    >>> class Shop(Server): ...
    >>> DATABASE = Application("database", SupervisorSpec([Child(Pool)]))
    >>> SHOP = Application("shop", SupervisorSpec([Child(Shop)]), applications=[DATABASE])
    >>> [application.name for application in start_order([SHOP])]
    ['database', 'shop']
    >>> Application("database", SupervisorSpec(), applications=[SHOP])
    Traceback (most recent call last):
    ...
    okibi...SpecError: circular dependency: database needs shop needs database

    Raises:
        SpecError: a field has an illegal value, or the dependencies are circular.
    """

    name: str
    tree: AnySupervisorSpec[Any]
    applications: tuple["Application", ...] = attrs.field(default=(), converter=as_applications)
    kind: ApplicationKind = attrs.field(default=ApplicationKind.PERMANENT, kw_only=True)
    prep_stop: Hook | None = attrs.field(default=None, kw_only=True)
    stop: Hook | None = attrs.field(default=None, kw_only=True)
    hook_timeout: float = attrs.field(default=GRACE, kw_only=True)

    def __attrs_post_init__(self) -> None:
        name: object = self.name
        where = (
            f"application {name!r}" if type(name) is str else f"application {describe_value(name)}"
        )
        for field, (good, rule) in self._rules().items():
            if not good:
                raise wrong_value(field, rule, getattr(self, field), where=where)
        start_order([self])

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """Return for each field whether its value is legal, and the rule."""
        name: object = self.name
        timeout: object = self.hook_timeout
        fits = isinstance(name, str) and bool(name) and "/" not in name
        positive = is_number(timeout) and cast("float", timeout) > 0
        prep_stop = self.prep_stop is None or callable(self.prep_stop)
        stop = self.stop is None or callable(self.stop)
        return {
            "name": (fits, "non-empty text without a slash"),
            "tree": (
                isinstance(self.tree, AnySupervisorSpec),
                "a SupervisorSpec or another supervisor spec",
            ),
            "kind": (
                isinstance(cast("object", self.kind), ApplicationKind),
                "an ApplicationKind",
            ),
            "prep_stop": (prep_stop, "an async callable or None"),
            "stop": (stop, "an async callable or None"),
            "hook_timeout": (positive, "seconds > 0"),
        }


def start_order(applications: Iterable[Application]) -> tuple[Application, ...]:
    """Sort applications and their dependencies: each once, after its own dependencies.

    Raises:
        SpecError: the dependencies are circular, or two different applications share a name.
    """
    order: dict[str, Application] = {}

    def visit(application: Application, needed_by: tuple[str, ...]) -> None:
        name = application.name
        if name in needed_by:
            circle = " needs ".join((*needed_by[needed_by.index(name) :], name))
            raise SpecError(
                f"circular dependency: {circle}", field="applications", value=application
            )
        if name not in order:
            for other in application.applications:
                visit(other, (*needed_by, name))
            order[name] = application
        refuse_namesake(order[name], application)

    for application in applications:
        visit(application, ())
    return tuple(order.values())


def refuse_namesake(known: Application, application: Application) -> None:
    """Refuse an application that shares its name with a different application.

    Raises:
        SpecError: the two are not equal.
    """
    if known != application:
        raise SpecError(
            f"two different applications are named {known.name!r}: rename one of them",
            field="name",
            value=known.name,
        )


def ends_all(kind: ApplicationKind, reason: ExitReason) -> bool:
    """Return whether the exit of an application stops all applications: the table above."""
    if kind is ApplicationKind.TRANSIENT:
        return not reason.quiet
    return kind is ApplicationKind.PERMANENT
