"""Applications as values: a named tree, what it needs before it, what its end means to the others.

Theory of operation (OTP: application, application_controller, application_master).

An application is a tree with a name. Those that it needs are started before it and stopped after
it; one that several need is started once. Started are all or none: when one fails, those before
it are stopped again. It ends when its top supervisor does, and then its kind decides:

    its top ended          PERMANENT                TRANSIENT                TEMPORARY
    normal, shutdown       all applications end     it is reported           it is reported
    crashed, killed        all applications end     all applications end     it is reported

To stop one on request never takes others along. However it ends, the course is the same:

    prep_stop hook, stop of the tree, stop hook, end of every task that is left in its nursery

Where this differs from OTP, and why:

 * The kind is PERMANENT if nobody says otherwise. `application:start/1` says temporary, but a
   release, which is what goes into production, starts its applications as permanent; and an end
   that is only reported looks like success to whoever watches the process from outside.
 * A quiet end is any that is no error, `shutdown` as well as `normal`. In OTP a supervisor that
   gives up ends with `shutdown`, so there it cannot count as quiet, and transient is, as its
   manual says, of little use. Here giving up is a crash, and `shutdown` is a supervisor whose
   significant children are done.
 * A start that fails ends nobody that ran before, whatever the kind: who asked for it is told. In
   OTP one of a permanent or transient application is the end of the node.
 * One that has ended is no more started: `stop_application` does not find it, and
   `ensure_all_started` starts it anew. OTP keeps it as started until it is stopped.
 * There are no start phases: they step through a tree that stands already, which children in
   start order and `continue_with` do where the state is.
 * Nothing is loaded, and nothing looked up by name in a file: an application is a value, and
   needs other values. Two runs, or two controllers in one run, have nothing in common.
"""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, cast

import attrs

from ..actors import ExitReason
from ..actors.safe_repr import misplaced
from ..actors.start import GRACE
from .any_supervisor_spec import AnySupervisorSpec, is_number
from .spec_error import SpecError, wrong_value

Hook: TypeAlias = Callable[[], Awaitable[object]]


class ApplicationKind(enum.Enum):
    """What the end of an application means to the others (OTP: `restart_type()`)."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


def as_applications(applications: Iterable["Application"]) -> tuple["Application", ...]:
    """The applications of a value, each of them an Application.

    Raises:
        SpecError: it is no list, or something else is in it.
    """
    given: object = applications
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise wrong_value("applications", "a list of Application", applications)
    found = tuple(applications)
    for at, application in enumerate(found):
        if not isinstance(application, Application):
            raise SpecError(
                f"applications[{at}] must be an Application, got {misplaced(application)}",
                field="applications",
                value=application,
            )
    return found


@attrs.frozen
class Application:
    """A named tree with what it needs and what its end means (OTP: application).

    | field | default | legal |
    | --- | --- | --- |
    | name | | text without a slash, unique among those that run together; a part of its path |
    | tree | | SupervisorSpec, or the flags of another kind of supervisor: its top supervisor's |
    | applications | () | those that are started before it and stopped after it |
    | kind | PERMANENT | PERMANENT, TRANSIENT, TEMPORARY: whether its end is the end of all |
    | prep_stop | None | an async callable, run before its tree stops, or when that has ended |
    | stop | None | an async callable, run when its tree has ended |
    | hook_timeout | 5.0 s | seconds that each of the two may take; then it is cancelled |

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
        SpecError: a field is wrong; `field` names it.
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
        where = f"application {name!r}" if type(name) is str else f"application {misplaced(name)}"
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
    """The applications and all that they need, each once and after what it needs.

    Raises:
        SpecError: one needs itself, or two different ones have the same name.
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
    """Refuse an application whose name another one has.

    Raises:
        SpecError: they are not the same.
    """
    if known != application:
        raise SpecError(
            f"two different applications are named {known.name!r}: rename one of them",
            field="name",
            value=known.name,
        )


def ends_all(kind: ApplicationKind, reason: ExitReason) -> bool:
    """Whether the end of an application's top supervisor is the end of all: the table above."""
    if kind is ApplicationKind.TRANSIENT:
        return not reason.quiet
    return kind is ApplicationKind.PERMANENT
