"""The scenarios, OTP's recordings, and the intended differences of okibi.

A scenario is data: flags and children with OTP's keys, and steps. `otp/record.escript` performs a
scenario on OTP, `replay` on okibi. The recording has one line for each step: the step, its reply,
and the log of its effects.

    ["exit", "a", "x"]       the last process started as a exits with this reason
    ["kill", "a"]            the same process is killed
    ["meanwhile", S, ...]    call S; perform the other steps before S has its reply
    ["sleep", 2100]          milliseconds pass
    any other                a function of OTP's supervisor; `<a>` is the last process started as a

A child is its id, or an object with OTP's keys and these:

    starts       how each start goes: ok, info, ignore, fail (init fails), error or junk (the start
                 function returns no process); "slow ..." waits until a step needs the supervisor;
                 "..." repeats the entry before it; starts after the last entry are ok
    terminate    ok, hang, "sleep 20", "exit x", or wait: until a step needs the supervisor
    registered   whether the child's id is its registered name

A scenario with a `server` is about one gen_server, s. Its messages say what the server does with
them: see `otp/erlang/server.erl`. Its steps are call (with a timeout), requests, cast, info,
monitor, gen_server:stop and some functions of sys. A scenario with a `machine` is about one
gen_statem, s, in the states closed, open and half: see `otp/erlang/machine.erl`.

`each` makes one scenario for every combination of the values. `adapted` names the intended
differences from OTP: `otp/adapted.json` has the reason, and the texts that okibi replaces.
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
    """An intended difference from OTP.

    Attributes:
        why: the reason, one line.
        texts: pairs of a text in OTP's recording and its replacement for okibi.
    """

    why: str
    texts: tuple[tuple[str, str], ...]

    def __call__(self, line: str) -> str:
        for otp, okibi in self.texts:
            line = line.replace(otp, okibi)
        return line


@attrs.frozen
class Scenario:
    """The steps to perform, and what OTP does.

    Attributes:
        case: the case of OTP's suite, or okibi's own name for a case.
        name: the case and its variant.
        theme: name of the file.
        given: the data of the file.
        recorded: OTP's lines.
        adapted: the intended differences of okibi.
    """

    case: str
    name: str
    theme: str
    given: dict[str, Any]
    recorded: list[Line]
    adapted: tuple[Adaptation, ...]

    @property
    def simple(self) -> bool:
        """Whether the children have no order: OTP's simple_one_for_one."""
        strategy: str = self.given.get("flags", {}).get("strategy", "")
        return strategy == "simple_one_for_one"

    @property
    def expected(self) -> list[str]:
        """The lines expected of okibi, one for each step."""
        lines = [to_text(line) for line in self.recorded]
        for adaptation in self.adapted:
            lines = [adaptation(line) for line in lines]
        return lines


def to_text(line: Line) -> str:
    """Convert a line of a recording to text."""
    return json.dumps(line, sort_keys=True)


def substitute(given: Any, key: str, value: str) -> Any:
    """Replace `$key` by the value, everywhere in the data."""
    if isinstance(given, dict):
        return {name: substitute(each, key, value) for name, each in given.items()}
    if isinstance(given, list):
        return [substitute(each, key, value) for each in given]
    return value if given == f"${key}" else given


def variants(name: str, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the scenario once for every combination of the values in `each`."""
    made = [(name, given)]
    for key, values in sorted(given.get("each", {}).items()):
        made = [(f"{n}, {value}", substitute(g, key, value)) for n, g in made for value in values]
    yield from made


def read_adaptations() -> dict[str, Adaptation]:
    """Read the intended differences from OTP, by name."""
    found = json.loads((HERE / "adapted.json").read_text("utf-8"))
    return {
        name: Adaptation(each["why"], tuple((otp, okibi) for otp, okibi in each["texts"]))
        for name, each in found.items()
    }


def read_theme(theme: str) -> list[Scenario]:
    """Read the scenarios of a file and their recordings."""
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
    """Return all scenarios of a case."""
    return [scenario for scenario in ALL.values() if scenario.case == case]
