"""100 faults in a real process: do its metrics say what happened? `make faults`.

python -m tests.endurance.faults [SEED]
"""

import sys

import trio

from tests.support.faults import add_metrics, run_faults

KINDS = {
    "failing handler": 25,
    "late event": 20,
    "dying worker": 15,
    "crashing actor": 30,
    "actor that keeps crashing": 3,
    "full mailbox": 5,
    "held loop": 2,
}


async def _main(seed: int) -> int:
    began = trio.current_time()
    faults, found = await run_faults(KINDS, seed)
    counted = add_metrics(found)
    for key in sorted({*faults.happened, *counted}):
        what, path = key
        wrong = "" if faults.happened[key] == counted[key] else "   DIFFERS"
        print(f"{what:20}{path:32}{faults.happened[key]:5} happened{counted[key]:5} counted{wrong}")
    print(
        f"{faults.faults} faults by {faults.events} events, {len(found)} lines of metrics, seed"
        f" {seed}, {trio.current_time() - began:.0f} s"
    )
    return int(counted != faults.happened or len(found) > faults.events + 1)


if __name__ == "__main__":
    sys.exit(trio.run(_main, int(sys.argv[1]) if len(sys.argv) > 1 else 1))
