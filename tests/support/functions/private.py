"""A function whose actors hold secrets and end in all ways; tests search all output for the
secrets.
"""

import attrs
import trio

from okibi.actors import ActorExited, Exit, Name, Server, Status, shutdown
from okibi.actors import debug as look
from okibi.runtime import Function, Handler
from okibi.supervisors import Child, snapshot

SSN, PASSWORD, TOKEN = "078-05-1120", "hunter2", "tok-9f8e7d"


@attrs.define(eq=False)
class Payments(Server):
    ssn: str = SSN
    password: str = PASSWORD
    cards: list[str] = attrs.Factory(lambda: [TOKEN])

    async def charge(self, ssn: str, *, password: str, way: str) -> None:
        match way:
            case "crash":
                raise ValueError("no such plan")
            case "beside":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.charge, ssn)
            case "exit":
                raise Exit(shutdown((ssn, password)))
            case "kill":
                self.ref.kill()
        await trio.sleep_forever()


class Discreet(Payments):
    """Puts secrets into exceptions, and hides the reason."""

    async def charge(self, ssn: str, *, password: str, way: str) -> None:
        raise KeyError(ssn) from ValueError(password)

    def format_status(self, status: Status) -> Status:
        return attrs.evolve(status, state={}, message="a charge", reason="it failed")


class Broken(Discreet):
    def format_status(self, status: Status) -> Status:
        raise RuntimeError(self.ssn)


@attrs.define(eq=False)
class Unready(Discreet):
    async def init(self) -> None:
        raise KeyError(self.ssn) from ValueError(self.password)


class Teller(Handler[dict[str, str]]):
    async def handle(self, event, context):
        name = NAMES[event["who"]]
        if event["way"] == "look":
            await look.trace(name)
            print(await look.get_status(name), snapshot(), flush=True)
            return "looked"
        given = {"password": PASSWORD, "way": event["way"]}
        if event["way"] == "beside the handler":
            self.nursery.start_soon(name.call, Payments.charge, SSN)
            await trio.sleep_forever()
        try:
            with trio.fail_after(1):
                return await name.call(Payments.charge, SSN, **given)
        except ActorExited as gone:
            if event["way"] == "crash":
                raise LookupError("no payment") from gone
            raise


KINDS = {"plain": Payments, "discreet": Discreet, "broken": Broken}
NAMES = {key: Name(key, kind) for key, kind in KINDS.items()}
CHILDREN = [Child(kind, name=NAMES[key]) for key, kind in KINDS.items()]
function = Function(Teller, CHILDREN, intensity=100)
unready = Function(Teller, [Child(Unready, id="payments")])
