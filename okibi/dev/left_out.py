"""What `okibi dev` does not do."""

import attrs


@attrs.frozen
class LeftOut:
    """Something in a template or project that `okibi dev` does not do.

    Args:
        resource: the logical id, and the property if there is one, as in `Visits.Layers`.
        reason: one clause.
    """

    resource: str
    reason: str
