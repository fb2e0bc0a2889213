"""How the store is told to end: by whoever owns the thread in which it works."""

from typing import Protocol

from holdfast.domain.errors import HoldfastError


class Stops(Protocol):
    """What tells a thread to end."""

    @property
    def is_set(self) -> bool:
        """Whether the thread should end now."""
        ...

    def wait(self, seconds: float) -> bool:
        """Pause for `seconds`, or less when told to end meanwhile; returns whether it was told."""
        ...


class Interrupted(HoldfastError):
    """A check of the store was told to end before it had looked at everything."""

    exit_code = 1


def require_going(flag: Stops | None, what: str) -> None:
    """Raise `Interrupted` when told to end. Without a flag nobody can tell."""
    if flag is not None and flag.is_set:
        raise Interrupted(f"{what}: told to end before it was done\n  start again")
