"""What each kind of value takes, what it refuses, and what it guesses was meant."""

from datetime import date, time

import pytest

from holdfast.app.kinds import (
    Address,
    ClockTime,
    Day,
    Fraction,
    Kind,
    Moment,
    Name,
    Names,
    Switch,
    Unfit,
    Unit,
    Whole,
    Word,
    is_here,
)

COUNT = Whole(low=1, high=50)
BPS = Whole(low=100, high=9_000, unit=Unit.BPS)
SMALL_BPS = Whole(low=10, high=1_000, unit=Unit.BPS)
BPS_OR_NONE = Whole(low=100, high=50_000, unit=Unit.BPS, zero="no target")
RUPEES = Whole(low=100, high=1_000_000, unit=Unit.RUPEES)
SECONDS = Whole(low=1, high=60, unit=Unit.SECONDS)
TIME = ClockTime(low_s=9 * 3_600, high_s=15 * 3_600)
WORD = Word(options=("sim", "replay"))
NAMES = Names(options=("NIFTY", "BANKNIFTY"))

WEB = Address(schemes=("http", "https"))


# (kind, given, kept)
TAKEN: list[tuple[Kind, object, object]] = [
    (COUNT, 1, 1),
    (COUNT, 50, 50),
    (BPS, 100, 100),
    (BPS, 9_000, 9_000),
    (BPS_OR_NONE, 0, 0),
    (RUPEES, 100, 100_00),
    (RUPEES, 1_000_000, 1_000_000_00),
    (TIME, "09:00", 32_400),
    (TIME, "15:00", 54_000),
    (Fraction(low=0.1, high=5), 0.1, 0.1),
    (Fraction(low=0.1, high=5), 5, 5.0),
    (Fraction(low=0.1, high=5), 1.125, 1.125),
    (Day(), "2026-11-20", "2026-11-20"),
    (WORD, "replay", "replay"),
    (Name(), "SIM0001", "SIM0001"),
    (NAMES, ["BANKNIFTY", "NIFTY"], ("BANKNIFTY", "NIFTY")),
    (Switch(), False, False),
    (Moment(), "2026-11-20 09:10:00", "2026-11-20 09:10:00"),
    (Moment(), "now", "now"),
    (WEB, "https://api.dhan.co/v2", "https://api.dhan.co/v2"),
    (WEB, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    (WEB, "http://localhost:8080/v2", "http://localhost:8080/v2"),
    (WEB, "http://[::1]:8080", "http://[::1]:8080"),
]


@pytest.mark.parametrize(("kind", "given", "kept"), TAKEN)
def test_what_fits_is_kept_in_the_programs_unit_and_shown_as_written(
    kind: Kind, given: object, kept: object
) -> None:
    """Both ends of a range belong to it."""
    parsed = kind.parse("key", given)
    assert parsed == kept
    assert type(parsed) is type(kept)
    assert kind.shown(parsed) == given


# (kind, given, what it says, what it proposes)
REFUSED: list[tuple[Kind, object, str, str]] = [
    (COUNT, 0, "key = 0 is out of range", "key takes 1 to 50"),
    (COUNT, 51, "key = 51 is out of range", "key takes 1 to 50"),
    (COUNT, -1, "out of range", "key takes 1 to 50"),
    (COUNT, True, "key = true is not a whole number", "key takes 1 to 50"),
    (COUNT, 3.0, "key = 3.0 is not a whole number", "did you mean key = 3?"),
    (COUNT, float("nan"), "is not a whole number", "key takes"),
    (COUNT, float("inf"), "is not a whole number", "key takes"),
    (COUNT, [3], "key = [3] is not a whole number", "key takes"),
    (COUNT, {"a": 1}, "key = {...} is not", "key takes"),
    # A percentage, a ratio, and words, where basis points are meant.
    (BPS, 12, "key = 12 (0.12 %) is out of range", "did you mean key = 1200 (12 %)?"),
    (BPS, 12.5, "not a whole number of basis points", "did you mean key = 1250 (12.5 %)?"),
    (BPS, 0.12, "not a whole number of basis points", "did you mean key = 1200 (12 %)?"),
    (BPS, "12%", 'key = "12%" is not', "did you mean key = 1200 (12 %)?"),
    (BPS, "12 %", 'key = "12 %" is not', "did you mean key = 1200 (12 %)?"),
    (BPS, "1200 bps", 'key = "1200 bps" is not', "did you mean key = 1200 (12 %)?"),
    (BPS, 0, "out of range", "key takes 100 (1 %) to 9000 (90 %)"),
    (BPS, 9_001, "key = 9001 (90.01 %) is out of range", "key takes 100 (1 %) to 9000 (90 %)"),
    (SMALL_BPS, 0.5, "not a whole number", "did you mean key = 50 (0.5 %)?"),
    (SMALL_BPS, 0.01, "not a whole number", "did you mean key = 100 (1 %)?"),
    (BPS_OR_NONE, 25, "(0.25 %) is out of range", "did you mean key = 2500 (25 %)?"),
    (BPS_OR_NONE, -25, "out of range", "or 0: no target"),
    (RUPEES, 99, "key = 99 is out of range", "key takes 100 to 1000000"),
    (RUPEES, 10_000.0, "not a whole number of rupees", "did you mean key = 10000?"),
    (RUPEES, "₹5,00,000", "not a whole number of rupees", "did you mean key = 500000?"),
    (RUPEES, "five lakh", "not a whole number of rupees", "key takes"),
    (SECONDS, "5s", "not a whole number of seconds", "did you mean key = 5?"),
    (SECONDS, "5 minutes", "not a whole number of seconds", "key takes 1 to 60"),
    (TIME, "9:20", "not a time of day", 'did you mean key = "09:20"?'),
    (TIME, "09.20", "not a time of day", 'did you mean key = "09:20"?'),
    (TIME, 920, "not a time of day", 'did you mean key = "09:20"?'),
    (TIME, time(9, 20), "not a time of day", 'did you mean key = "09:20"?'),
    (TIME, "24:00", "not a time of day", "key takes"),
    (TIME, "09:60", "not a time of day", "key takes"),
    (TIME, "08:59", "out of range", 'key takes "09:00" to "15:00"'),
    (TIME, "15:01", "out of range", 'key takes "09:00" to "15:00"'),
    (Fraction(low=0.1, high=5), 0.05, "does not fit", "0.1 to 5 seconds"),
    (Fraction(low=0.1, high=5), 0.1234, "does not fit", "0.1 to 5 seconds"),
    (Fraction(low=0.1, high=5), float("nan"), "does not fit", "0.1 to 5 seconds"),
    (Fraction(low=0.1, high=5), True, "does not fit", "0.1 to 5 seconds"),
    (Fraction(low=0.1, high=5), "1", "does not fit", "0.1 to 5 seconds"),
    (Day(), date(2026, 11, 20), "no quotes", 'did you mean key = "2026-11-20"?'),
    (Day(), "2026-02-30", "is not a day", "2026-11-20"),
    (Day(), "20261120", "is not a day", "2026-11-20"),
    (Day(), 20_261_120, "is not a day", "2026-11-20"),
    (WORD, "Sim", 'key = "Sim" is not known', 'did you mean "sim"?'),
    (WORD, "demo", "is not known", 'key takes "sim" or "replay"'),
    (WORD, 1, "is not known", 'key takes "sim" or "replay"'),
    (Name(), 1_100_000_001, "is not a client id", 'did you mean key = "1100000001"?'),
    (Name(), "a/b", "is not a client id", "4 to 20 letters and digits"),
    (Name(), "../up", "is not a client id", "4 to 20 letters and digits"),
    (Name(), "abc", "is not a client id", "4 to 20 letters and digits"),
    (NAMES, "NIFTY", "is not a list", 'write key = ["NIFTY"]'),
    (NAMES, ["NIFTTY"], "is not known", 'did you mean "NIFTY"?'),
    (NAMES, [], "is empty or repeats", "a list of"),
    (NAMES, ["NIFTY", "NIFTY"], "is empty or repeats", "a list of"),
    (Switch(), 1, "is no switch", "true or false"),
    (Switch(), "true", "is no switch", "true or false"),
    (Moment(), "2026-11-31 09:10:00", "is not a moment", "2026-11-20 09:10:00"),
    (Moment(), "2026-11-20 9:10:00", "is not a moment", "2026-11-20 09:10:00"),
    (Moment(), "", "is not a moment", '"now"'),
    (Moment(), 20_261_120, "is not a moment", "2026-11-20 09:10:00"),
    # In the open to another host, of another sort, or with what must not stand in an address.
    (WEB, "http://api.dhan.co", "does not fit", '"https://HOST/PATH"'),
    (WEB, "http://127.0.0.1.example.com", "does not fit", "https://HOST"),
    (WEB, "ws://127.0.0.1:1", "does not fit", "https://HOST"),
    (WEB, "https://user:word@api.dhan.co", "does not fit", "https://HOST"),
    (WEB, "https://api.dhan.co/?token=1", "does not fit", "https://HOST"),
    (WEB, "https://[::1", "does not fit", "https://HOST"),
    (WEB, "https://api.dhan.co:port", "does not fit", "https://HOST"),
    (WEB, "api.dhan.co", "does not fit", "https://HOST"),
    (WEB, "", "does not fit", "https://HOST"),
    (WEB, 8080, "does not fit", "https://HOST"),
]

DISGUISED = [
    *(
        "https://api.dhan.co@example.com",
        "https://api.dhan.co\\@example.com",
        "https://api.dhan.co?",
    ),
    *("https://api.dhan.co#", "https://[::1]example.com", "https://api.dhan.co /v2", "https://%2e"),
    *("http://127.0.0.1@example.com", "http://127.0.0.1:80@example.com", "http://@127.0.0.1"),
    *("http://:@example.com", "http://127.0.0.1\\@example.com", "http://127.0.0.1\\.example.com"),
    *("http://localhost.example.com", "http://127.0.0.1.example.com", "http://127.example.com"),
    *("http://[::1]example.com", "http://[::1].example.com", "http://[::1%25.example.com]"),
    *(
        "http://[::1%eth0]",
        "http://[1::2::3]",
        "https://[1::2::3]",
        "http://127.0.0.1%2eexample.com",
    ),
    *("http://127.0.0.1;example.com", "http://127.0.0.1&@example.com", "http://127.1"),
    *("http://127.0.0.1?", "http://127.0.0.1#", "http://127.0.0.1?@example.com"),
    *("http://127.0.0.1/%2f", "http://127.0.0.1//example.com", "http://127.0.0.1/\\example.com"),
    *(" http://127.0.0.1", "http://127.0.0.1 ", "http://127.0.0.1\t", "ht\ntp://127.0.0.1"),
    *(
        "http://127.0.0.1\x00",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:80:9",
    ),
    *("http:127.0.0.1", "http:///127.0.0.1", "//127.0.0.1", "http://0.0.0.0", "http://[::]"),
    *("http://[::ffff:8.8.8.8]", "http://2130706433", "http://10.0.0.1", "http://\u0661.example"),
]
"""What a reader, or another parser, could take for this machine, or for another one than we do."""


@pytest.mark.parametrize("given", DISGUISED)
def test_an_address_that_could_be_read_in_two_ways_is_none(given: str) -> None:
    """A token would travel in the open to whoever is meant by it."""
    with pytest.raises(Unfit):
        WEB.parse("rest_url", given)
    assert not is_here(given) or given.startswith(("http://127.0.0.1:0", "http://127.0.0.1:65536"))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:80/v2", "ws://127.9.9.9", "https://[::1]:1", "http://LOCALHOST:2/"],
)
def test_this_machine_is_known_by_each_of_its_addresses(url: str) -> None:
    """By number, by either family and by its name."""
    assert is_here(url)


@pytest.mark.parametrize(("kind", "given", "what", "remedy"), REFUSED)
def test_what_does_not_fit_is_refused_with_what_was_probably_meant(
    kind: Kind, given: object, what: str, remedy: str
) -> None:
    """Never converted, never guessed into force."""
    with pytest.raises(Unfit) as caught:
        kind.parse("key", given)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.proves("B-13")
@pytest.mark.parametrize("given", [10_000.0, 10_000.5, "10000.50", float("nan")])
def test_money_is_never_a_fraction(given: object) -> None:
    """Rupees are whole in the file and paise in the program; a float is refused, not rounded."""
    with pytest.raises(Unfit):
        RUPEES.parse("loss_rupees", given)
    assert type(RUPEES.parse("loss_rupees", 10_000)) is int
