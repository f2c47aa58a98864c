"""An AWS Lambda runtime for Python built from actors.

`okibi` exports the names of a first function. `okibi.actors`, `okibi.supervisors` and
`okibi.runtime` export all public names. The first use of a name imports its layer; `import okibi`
alone imports none of the layers.

    >>> from okibi import Child, Function, Name, Server, Strategy
"""

from importlib import import_module

# As typing's. A start imports typing later, from a faster finder.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import actors, runtime, supervisors
    from .actors import (
        ActorExited,
        Down,
        Group,
        Name,
        Ref,
        Refusal,
        Server,
        StateMachine,
        start,
        stop,
    )
    from .cached import Cached, FetchError
    from .runtime import (
        Context,
        DeadlineExceeded,
        Function,
        Handler,
        HttpEvent,
        Prelude,
        Workers,
        streaming,
    )
    from .supervisors import (
        Application,
        Child,
        DynamicSupervisorSpec,
        PartitionSupervisorSpec,
        Restart,
        Strategy,
        SupervisorSpec,
        TaskSupervisorSpec,
        run_task,
        snapshot,
        supervise,
    )

    __version__: str
else:  # hidden from type checkers, which would believe in any name then

    def __getattr__(name: str) -> object:
        """Import what bears a name, when the name is first used."""
        value: object
        if name == "__version__":
            from importlib.metadata import version

            value = version("okibi")
        elif name in _LAYERS:
            return import_module(f".{name}", __name__)
        elif name in _LAYER_OF:
            value = getattr(import_module(f".{_LAYER_OF[name]}", __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


__all__ = [
    "ActorExited",
    "Application",
    "Cached",
    "Child",
    "Context",
    "DeadlineExceeded",
    "Down",
    "DynamicSupervisorSpec",
    "FetchError",
    "Function",
    "Group",
    "Handler",
    "HttpEvent",
    "Name",
    "PartitionSupervisorSpec",
    "Prelude",
    "Ref",
    "Refusal",
    "Restart",
    "Server",
    "StateMachine",
    "Strategy",
    "SupervisorSpec",
    "TaskSupervisorSpec",
    "Workers",
    "actors",
    "run_task",
    "runtime",
    "snapshot",
    "start",
    "stop",
    "streaming",
    "supervise",
    "supervisors",
]

_LAYERS = ("actors", "runtime", "supervisors")
_LAYER_OF = {
    "ActorExited": "actors",
    "Application": "supervisors",
    "Cached": "cached",
    "Child": "supervisors",
    "Context": "runtime",
    "DeadlineExceeded": "runtime",
    "Down": "actors",
    "DynamicSupervisorSpec": "supervisors",
    "FetchError": "cached",
    "Function": "runtime",
    "Group": "actors",
    "Handler": "runtime",
    "HttpEvent": "runtime",
    "Name": "actors",
    "PartitionSupervisorSpec": "supervisors",
    "Prelude": "runtime",
    "Ref": "actors",
    "Refusal": "actors",
    "Restart": "supervisors",
    "Server": "actors",
    "StateMachine": "actors",
    "Strategy": "supervisors",
    "SupervisorSpec": "supervisors",
    "TaskSupervisorSpec": "supervisors",
    "Workers": "runtime",
    "run_task": "supervisors",
    "snapshot": "supervisors",
    "start": "actors",
    "stop": "actors",
    "streaming": "runtime",
    "supervise": "supervisors",
}


def __dir__() -> list[str]:
    """Return the names for completion in a shell, those not yet imported included."""
    return sorted({*globals(), *__all__, "__version__"})
