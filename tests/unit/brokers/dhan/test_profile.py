"""The profile: whose session it is, and whether options can be traded in the account."""

from pathlib import Path

import pytest

from holdfast.brokers.dhan.fields import Unreadable, ist_stamp
from holdfast.brokers.dhan.profile import DhanProfile, profile_of
from tests.support.dhan_account import NOW_NS, answer, recorded, sample
from tests.support.dhan_wire import CLIENT_ID

ALL = frozenset({"equity", "derivative", "currency", "commodity"})


def test_the_samples_are_read(shared_data: Path) -> None:
    """Letters with a trailing comma, and words; with and without the plan's end."""
    live = profile_of(answer(sample(shared_data, "profile_live.json")))
    assert live == DhanProfile(
        client_id=CLIENT_ID,
        token_until_ns=ist_stamp("2026-09-09 08:00", "%Y-%m-%d %H:%M", "it"),
        segments=ALL,
        has_data=True,
        data_until_ns=ist_stamp("2026-09-29 17:52:44", "%Y-%m-%d %H:%M:%S", "it"),
    )
    sandbox = profile_of(answer(sample(shared_data, "profile_sandbox.json")))
    assert (sandbox.segments, sandbox.has_data, sandbox.data_until_ns) == (ALL, False, None)


def test_recorded_profiles_are_read(shared_data: Path) -> None:
    """Those of others' recordings."""
    bodies = [one.body for one in recorded(shared_data) if one.uri.endswith("/profile")]
    assert bodies
    for body in bodies:
        assert profile_of(answer(body)).segments == ALL


def profile(**changed: object) -> DhanProfile:
    """One that has nothing to complain of, changed."""
    values: dict[str, object] = {"client_id": CLIENT_ID, "segments": ALL, "has_data": True}
    return DhanProfile(**{**values, **changed})  # type: ignore[arg-type]


def test_what_bars_options_is_said() -> None:
    """The segment and the data plan, in words for people."""
    assert profile().fault(NOW_NS) == ""
    assert "derivatives" in profile(segments=frozenset({"equity"})).fault(NOW_NS)
    assert "data plan" in profile(has_data=False).fault(NOW_NS)
    assert "ended" in profile(data_until_ns=NOW_NS).fault(NOW_NS)
    assert profile(data_until_ns=NOW_NS + 1).fault(NOW_NS) == ""


@pytest.mark.proves("I-94")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenValidity", '"soon"'),
        ("tokenValidity", "[]"),
        ("dataValidity", '"32/13/2026"'),
        ("dhanClientId", '""'),
        ("dhanClientId", "null"),
        ("activeSegment", "{}"),
    ],
)
def test_what_cannot_be_read_is_no_profile(key: str, value: str) -> None:
    """It raises the one error of its kind, at the edge."""
    fields = {"dhanClientId": '"1"', key: value}
    body = ",".join(f'"{name}":{text}' for name, text in fields.items())
    with pytest.raises(Unreadable):
        profile_of(answer(f"{{{body}}}"))


@pytest.mark.parametrize("none", ["null", '""', '"NA"', '"0001-01-01 00:00:00"'])
def test_the_brokers_words_for_none_are_none(none: str) -> None:
    """A token without an end, a plan without one."""
    body = f'{{"dhanClientId":"1","tokenValidity":{none},"dataValidity":{none}}}'
    read = profile_of(answer(body))
    assert (read.token_until_ns, read.data_until_ns) == (None, None)


@pytest.mark.parametrize("body", ["[]", '""', "5", "null", ""])
def test_another_shape_is_no_profile(body: str) -> None:
    """Whatever JSON it is."""
    with pytest.raises(Unreadable):
        profile_of(answer(body))
