"""The features of a template or project that `okibi dev` ignores."""

import attrs


@attrs.frozen
class LeftOut:
    """Something in a template or project that `okibi dev` does not do.

    Args:
        resource: the logical id, and the property if there is one, as in `Visits.Layers`.
        reason: the reason or the cure, in one clause.
    """

    resource: str
    reason: str
