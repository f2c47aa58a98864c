"""A Stage whose children are in applications; the hooks write to the same log."""

from functools import partial
from typing import Any

import trio

from okibi.actors import Ref
from okibi.supervisors import Application, ApplicationController
from tests.support.child_stage import Stage


class ApplicationStage(Stage):
    def app(self, ids: str, *needs: Application, **fields: Any) -> Application:
        """An application with these children, named after the first in upper case."""
        name = ids[0].upper()
        tree = fields.pop("tree", self.tree(ids, intensity=0))
        hooks = {which: partial(self.hook, name, which) for which in ("prep_stop", "stop")}
        return Application(name, tree, needs, **{**hooks, **fields})

    async def hook(self, name: str, which: str) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"{which} {name}")


async def running_names(controller: Ref[ApplicationController]) -> str:
    """The names of the running applications, joined in start order."""
    running = await controller.call(ApplicationController.which_applications)
    return "".join(info.application.name for info in reversed(running))
