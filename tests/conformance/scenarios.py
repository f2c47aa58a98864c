"""The scenarios, what Erlang/OTP was recorded to do in them, and where okibi differs on purpose.

A scenario is data: flags and children with OTP's keys, and steps. `otp/record.escript` performs
it on OTP's own supervisor; `replay` on okibi's. Each step has a line in the recording: the step,
the reply to it, and all that followed from it.

    ["exit", "a", "x"]       the process last started as a ends by itself, with this reason
    ["kill", "a"]            it is killed
    ["meanwhile", S, ...]    S is pending for; before it is describe_call the other steps are done
    ["sleep", 2100]          milliseconds pass
    any other                a function of OTP's supervisor; `<a>` is who was last started as a

A child is its id, or an object: OTP's keys, and

    starts       how its n-th start goes: ok, info, ignore, fail (init fails), error and junk (the
                 start function gives no process); "slow": when somebody needs the supervisor; "..."
                 repeats the one before; after the last all is ok
    terminate    ok, hang, "sleep 20", "exit x", or wait: until somebody needs the supervisor
    registered   whether it bears its id as a name

A scenario with a `server` is about one gen_server, s, label_in messages say what it does with them:
`otp/erlang/server.erl` lists that. Its steps are call (with a time limit), requests, cast, info,
monitor, gen_server:stop and some of sys.

`each` makes one scenario for every combination of the values. `adapted` names the differences from
OTP that are meant: `otp/adapted.json` says why, and which texts of the recording okibi replaces.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

HERE = Path(__file__).parent / "otp"
Line = list[Any]


@attrs.frozen
class Adaptation:
    """A difference that is meant.

    Attributes:
        why: the line that says how the case is adapted.
        texts: what OTP's recording says, and what okibi does instead.
    """

    why: str
    texts: tuple[tuple[str, str], ...]

    def __call__(self, line: str) -> str:
        for otp, okibi in self.texts:
            line = line.replace(otp, okibi)
        return line


@attrs.frozen
class Scenario:
    """What to do, and what OTP does then.

    Attributes:
        case: the suite's case, or the first words of a row of our own.
        name: the case, and which variant of it.
        theme: the file it is in.
        given: the scenario as its file says it.
        recorded: OTP's lines.
        adapted: where okibi differs.
    """

    case: str
    name: str
    theme: str
    given: dict[str, Any]
    recorded: list[Line]
    adapted: tuple[Adaptation, ...]

    @property
    def simple(self) -> bool:
        """Whether its children have no order: OTP's simple_one_for_one."""
        strategy: str = self.given.get("flags", {}).get("strategy", "")
        return strategy == "simple_one_for_one"

    @property
    def expected(self) -> list[str]:
        """What okibi is to do, a line for a step."""
        lines = [to_text(line) for line in self.recorded]
        for adaptation in self.adapted:
            lines = [adaptation(line) for line in lines]
        return lines


def to_text(line: Line) -> str:
    """A line of a recording as text."""
    return json.dumps(line, sort_keys=True)


def substitute(given: Any, key: str, value: str) -> Any:
    if isinstance(given, dict):
        return {name: substitute(each, key, value) for name, each in given.items()}
    if isinstance(given, list):
        return [substitute(each, key, value) for each in given]
    return value if given == f"${key}" else given


def variants(name: str, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A scenario, once for every combination of the values in `each`."""
    made = [(name, given)]
    for key, values in sorted(given.get("each", {}).items()):
        made = [(f"{n}, {value}", substitute(g, key, value)) for n, g in made for value in values]
    yield from made


def read_adaptations() -> dict[str, Adaptation]:
    """All differences from OTP that are meant, by what they are called."""
    found = json.loads((HERE / "adapted.json").read_text("utf-8"))
    return {
        name: Adaptation(each["why"], tuple((otp, okibi) for otp, okibi in each["texts"]))
        for name, each in found.items()
    }


def read_theme(theme: str) -> list[Scenario]:
    """The scenarios of a file."""
    scenarios = json.loads((HERE / "scenarios" / f"{theme}.json").read_text("utf-8"))
    recorded = json.loads((HERE / "recorded" / f"{theme}.json").read_text("utf-8"))
    return [
        Scenario(
            case=family.split(":")[0],
            name=name,
            theme=theme,
            given=given,
            recorded=recorded[name],
            adapted=tuple(ADAPTED[name] for name in given.get("adapted", ())),
        )
        for family, template in scenarios.items()
        for name, given in variants(family, template)
    ]


ADAPTED = read_adaptations()
THEMES = tuple(sorted(path.stem for path in (HERE / "scenarios").glob("*.json")))
ALL = {scenario.name: scenario for theme in THEMES for scenario in read_theme(theme)}


def scenarios_of(case: str) -> list[Scenario]:
    """All scenarios of a case of the suite."""
    return [scenario for scenario in ALL.values() if scenario.case == case]
