"""Every name that okibi exports, for a type checker to find."""

import okibi

EXPORTED: list[object] = [
    okibi.ActorExited,
    okibi.Application,
    okibi.Cached,
    okibi.Child,
    okibi.Context,
    okibi.DeadlineExceeded,
    okibi.Down,
    okibi.DynamicSupervisorSpec,
    okibi.FetchError,
    okibi.Function,
    okibi.Group,
    okibi.Handler,
    okibi.HttpEvent,
    okibi.Name,
    okibi.PartitionSupervisorSpec,
    okibi.Prelude,
    okibi.Ref,
    okibi.Refusal,
    okibi.Restart,
    okibi.Server,
    okibi.StateMachine,
    okibi.Strategy,
    okibi.SupervisorSpec,
    okibi.TaskSupervisorSpec,
    okibi.Workers,
    okibi.actors,
    okibi.run_task,
    okibi.runtime,
    okibi.snapshot,
    okibi.start,
    okibi.stop,
    okibi.streaming,
    okibi.supervise,
    okibi.supervisors,
]
VERSION: str = okibi.__version__


class Visits(okibi.actors.Server):
    async def visit(self) -> int:
        return 1


VISITS = okibi.Name("visits", Visits)


async def visit() -> int:
    return await VISITS.call(Visits.visit)
