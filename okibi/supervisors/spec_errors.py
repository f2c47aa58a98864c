"""What can be wrong with a tree: an error of its own for each field (OTP: `check_childspecs`)."""

from ..actors import Refusal


# A Refusal as well: who asks a living supervisor for a child that cannot be is told by the same
# error, and the supervisor lives.
class SpecError(Refusal, ValueError):
    """A tree that cannot be: the subclass says which field, the sentence what to write."""


class InvalidStart(SpecError):
    """`start` is nothing that makes an actor."""


class InvalidName(SpecError):
    """`name` is no Name."""


class InvalidId(SpecError):
    """`id` is no text that can stand in a path."""


class InvalidRestart(SpecError):
    """`restart` is no Restart."""


class InvalidShutdown(SpecError):
    """`shutdown` is neither seconds nor BRUTAL_KILL."""


class InvalidStartTimeout(SpecError):
    """`start_timeout` is no number of seconds above zero."""


class InvalidSignificant(SpecError):
    """`significant` is no truth value."""


class BadCombination(SpecError):
    """Fields that are right alone and wrong together (OTP: `bad_combination`)."""


class InvalidChild(SpecError):
    """`children` holds something that is no Child."""


class DuplicateChild(SpecError):
    """Two children of one supervisor have the same id (OTP: `duplicate_child_name`)."""


class DuplicateName(SpecError):
    """Two children of one supervisor are to bear the same name."""


class InvalidStrategy(SpecError):
    """`strategy` is no Strategy."""


class InvalidIntensity(SpecError):
    """`intensity` is no whole number from 0."""


class InvalidPeriod(SpecError):
    """`period` is no number of seconds above zero."""


class InvalidAutoShutdown(SpecError):
    """`auto_shutdown` is no AutoShutdown."""


class InvalidMaxChildren(SpecError):
    """`max_children` is neither a whole number from 0 nor None."""


class InvalidExtraArguments(SpecError):
    """`extra_arguments` is no list of arguments."""


class InvalidBackoff(SpecError):
    """`backoff` is no Backoff, or one whose numbers make no sense."""
