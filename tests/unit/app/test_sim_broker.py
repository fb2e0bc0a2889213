"""What starts the simulated broker."""

import re

import pytest

from holdfast.app.sim_broker import SimBroker, at_clock
from holdfast.simbroker.dhan.doubts import Doubts
from holdfast.simbroker.dhan.tokens import Login
from tools import CHECKOUT


@pytest.mark.parametrize(
    ("text", "seconds"), [("09:10", 33_000), ("09:15:30", 33_330), ("00:00", 0), ("23:59", 86_340)]
)
def test_a_time_of_day_is_seconds_after_midnight(text: str, seconds: int) -> None:
    """With or without its seconds."""
    assert at_clock(text) == seconds


@pytest.mark.parametrize("text", ["9", "25:00", "soon", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=r".*"):
        at_clock(text)


def test_the_defaults_are_a_day_of_one_index_before_its_open() -> None:
    """At ten past nine, at the wall's speed, for the account that everybody knows."""
    asked = SimBroker()
    assert (asked.start_s, asked.speed, asked.underlyings) == (33_000, 1, ("NIFTY",))
    assert asked.client_id == Login().client_id


def test_every_switch_stands_in_the_manual() -> None:
    """And the manual names none that is not there."""
    text = (CHECKOUT / "docs" / "sim-broker.md").read_text("utf-8")
    named = re.findall(r"^\| `(\w+)` \|", text.partition("| name |")[2], re.MULTILINE)
    assert named == list(Doubts.__struct_fields__)
