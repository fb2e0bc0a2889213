"""Errors that cross layers, named by what happened.

There are two kinds. A programmer's error is an `assert` and ends the process. Everything the
world may do (a bad file, a full disk, a second instance) is a `HoldfastError`: its message is
written for the operator and says what to do next, and the command line turns it into an exit
code.
"""


class HoldfastError(Exception):
    """Something outside the program is not as it must be. The text says what to do next."""

    exit_code = 70


class DataRefused(HoldfastError):
    """A configuration, tape, fact file or database cannot be used as it is."""

    exit_code = 3

    def __init__(self, where: str, what: str, remedy: str) -> None:
        """`where` names file and line or row; `what` the fault; `remedy` what to do next."""
        super().__init__(f"{where}: {what}\n  {remedy}")
        self.where = where
        self.what = what
        self.remedy = remedy


class InstanceRunning(HoldfastError):
    """Another process holds the lock of this broker client id."""

    exit_code = 4


class BrokerUnavailable(HoldfastError):
    """At a start the broker, or the login there, did not answer as it must."""

    exit_code = 5


class UnknownDay(HoldfastError):
    """The calendar has no facts for a day: it is neither open nor closed, so nothing is traded."""

    exit_code = 3


class StepGivenUp(HoldfastError):
    """An event cannot be stepped, not even without strategies and entries: the process must end."""

    exit_code = 70
