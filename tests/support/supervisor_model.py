"""A model of OTP's supervisor, after its manual: lists of children, no processes."""

from tests.support.trees import PERIOD, Kid, Tree, World


class Model:
    """One supervisor. `live` has the running children: None for a worker."""

    def __init__(self, tree: Tree, world: World) -> None:
        self.tree, self.world, self.specs = tree, world, {kid.id: kid for kid in tree.kids}
        self.times, self.live = list[float](), dict[str, "Model | None"]()

    def fill(self, keys: list[str]) -> str:
        """Start children in order. Return the child that failed, or an empty string."""
        for key in keys:
            sub = Model(tree, self.world) if (tree := self.specs[key].sub) else None
            fate = sub.fill(list(sub.specs)) if sub else self.world.fate(key)
            if sub or not fate:
                self.live[key] = sub
            if fate == "ignore" and self.specs[key].restart == "temporary":
                del self.specs[key]
            elif fate and fate != "ignore":
                self.stop([key])
                return key
        return ""

    def stop(self, keys: list[str], how: str = "shutdown") -> None:
        """Stop running children, the last first. Drop the specs of temporary children."""
        for key in [key for key in reversed(self.specs) if key in keys and key in self.live]:
            if sub := self.live.pop(key):
                sub.stop(list(sub.live), "killed" if how == "killed" else "shutdown")
            else:
                self.world.term(key, how)
            if self.specs[key].restart == "temporary":
                del self.specs[key]

    def end(self, who: str, how: str, now: float) -> str:
        """Handle the end of a child below. Return how this supervisor ends, or an empty string."""
        for key, sub in self.live.items():
            fate = how if key == who else sub and sub.end(who, how, now)
            if fate:
                kid = self.specs[key]
                self.stop([key], fate)
                return self.decide(kid, fate in ("crashed", "killed"), now)
        return ""

    def decide(self, kid: Kid, crash: bool, now: float) -> str:
        if kid.restart == "temporary" or (kid.restart == "transient" and not crash):
            others = any(self.specs[key].significant for key in self.live)
            over = kid.significant and not (others and self.tree.auto == "all_significant")
            return "shutdown" if over else ""
        failed = kid.id
        while failed:
            self.times.append(now)
            if sum(now - time <= PERIOD for time in self.times) > self.tree.intensity:
                return "crashed"
            keys = list(self.specs)
            rest = keys[keys.index(failed) :]
            reach = {"one_for_one": [failed], "rest_for_one": rest}.get(self.tree.strategy, keys)
            self.stop(reach)
            failed = self.fill([key for key in reach if key in self.specs])
        return ""

    def admin(self, request: str, kid: Kid) -> str:
        key, known, lives = kid.id, kid.id in self.specs, kid.id in self.live
        if known is (request == "start_child"):
            return "NotFound" if not known else "AlreadyStarted" if lives else "AlreadyPresent"
        if lives and request != "terminate_child":
            return "Running"
        self.specs.setdefault(key, kid)
        self.stop([key])
        failed = self.fill([key]) if request in ("start_child", "restart_child") else ""
        if request == "delete_child" or (failed and not known):
            self.specs.pop(key, None)
        return "ChildFailed" if failed else "done"
