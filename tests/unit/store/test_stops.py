"""Being told to end: a check that runs for seconds does not outlast the wish."""

import pytest

from holdfast.runtime.threads import StopFlag
from holdfast.store.stops import Interrupted, Stops, require_going


def test_a_thread_of_the_register_has_such_a_flag() -> None:
    """What the runtime gives is what the store asks for."""
    flag: Stops = StopFlag()
    assert not flag.is_set


def test_only_a_flag_that_is_set_ends_a_check() -> None:
    """And it says what was not looked at to the end."""
    flag = StopFlag()
    require_going(None, "a check")
    require_going(flag, "a check")
    flag.set()
    with pytest.raises(Interrupted, match="the check of x: told to end before it was done"):
        require_going(flag, "the check of x")
