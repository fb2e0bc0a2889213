"""The notation of stories: what it reads, and what it says of a line that it does not understand."""

from pathlib import Path

import pytest

from holdfast.domain.event import Action
from holdfast.domain.order import Purpose, Refusal, Side
from tests.stories.test_stories import STORIES
from tests.support.desk import CALL, OPEN, SECOND
from tests.support.notation import BEHAVIOURS, Named, StoryError, Wanted, parse_story
from tests.support.player import Untrue, play

HEAD = "# It holds.\nproves: T2\n\n"
SEEN = "=> nothing\n"

SHOWN = (
    *(f"RACE-{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 11)),
    *(f"T{number}" for number in (*range(1, 10), *range(11, 19), *range(21, 26))),
    *(f"I-{number:02d}" for number in (1, 4, 7, 25, *range(27, 43), *range(44, 49))),
    *(f"I-{number:02d}" for number in (50, 51, 52, 55, 56, 67, 99, 102, 103, 104, 120, 127, 130)),
    *("B-08", "B-10", "B-11", "B-14", "B-19"),
)
"""The ids of races, orders, fills, reconciliation and rules of which a story tells."""


def test_a_story_is_read() -> None:
    """Heads, times, verbs, values and options; comments are for people."""
    text = (
        "# What holds,\n# in words.\nproves: T2 I-42\nwaits: [refuses] for that\n"
        "broker: simulated\nsettings: exits.stop_bps=900\n\n"
        "09:16:05.250  refuse modify stop-2.3/1 not_modifiable   # said late\n"
        "  accepts,ignores => place exit-1 SELL 195 LIMIT 80.00..88.00\n"
    )
    story = parse_story(Path("any.txt"), text)
    happens, seen = story.lines
    assert (story.sentence, story.proves) == ("What holds, in words.", ("T2", "I-42"))
    assert (story.waits, story.waits_under) == ("for that", ("refuses",))
    assert story.behaviours == BEHAVIOURS
    assert dict(story.settings) == {"exits.stop_bps": "900"}
    assert happens.at_ns == OPEN + 65 * SECOND + SECOND // 4
    assert happens.said.values == (
        Action.MODIFY,
        Named(Purpose.STOP, 2, 3, 1),
        Refusal.NOT_MODIFIABLE,
    )
    assert (seen.is_seen, seen.only, seen.at_ns) == (True, ("accepts", "ignores"), None)
    wanted = Wanted(side=Side.SELL, quantity=195, kind="LIMIT", price=(8_000, 8_800))
    assert seen.said.values == (Named(Purpose.EXIT, 1, 1, 0), wanted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            HEAD + "09:16:00  jump stop-1\n" + SEEN,
            r"it.txt:4: 'jump' is nothing that happens.*quote, ",
        ),
        (HEAD + "=> jump\n", r"it.txt:4: 'jump' is nothing that can be seen; allowed: place, "),
        (HEAD + "ack\n" + SEEN, r"it.txt:4: the form is 'ack ORDER'"),
        (HEAD + "ack stop\n" + SEEN, r"it.txt:4: .*'stop' is no ORDER \(entry-1, stop-1, "),
        (HEAD + "quote GOLD 1.00\n" + SEEN, r"it.txt:4: .*'GOLD' is no CONTRACT \(CALL, PUT, "),
        (HEAD + "quote CALL 1.001\n" + SEEN, r"it.txt:4: .*'1.001' is no PRICE"),
        (HEAD + "quote CALL 1.00 bid\n" + SEEN, r"it.txt:4: the form is 'quote .*\[bid PRICE\]"),
        (HEAD + "fill stop-1 1 rea\n" + SEEN, r"it.txt:4: .*'rea' does not fit"),
        (HEAD + "refuse modify stop-1 no\n" + SEEN, r"it.txt:4: .*'no' is no REFUSAL \(beyond_"),
        (HEAD + "feed on\n" + SEEN, r"it.txt:4: .*'on' is no stops\|goes"),
        (HEAD + "book orders\n" + SEEN, r"it.txt:4: a book lists ORDER .*not 'orders'"),
        (HEAD + "=> place stop-1 SELL some\n", r"it.txt:4: 'some' is no part of terms: \[CONTRACT"),
        (HEAD + "=> place stop-1 LIMIT 1..b\n", r"it.txt:4: '1..b' is no price; 88.00 is one"),
        (HEAD + "maybe => nothing\n", r"it.txt:4: before '=>' stand behaviours: accepts, "),
        (HEAD + "wait\n", r"it.txt: a story has a sentence .* and sees something"),
        ("proves: T2\n" + SEEN, r"it.txt: a story has a sentence in comment lines"),
        ("# It.\nproves: T2 X\n" + SEEN, r"it.txt: 'proves:' names ids .*not \['X'\]"),
        ("# It.\nproves: T2\nbroker: mine\n" + SEEN, r"it.txt: 'broker:' is 'by hand' or"),
        ("# It.\nshows: T2\n" + SEEN, r"it.txt:2: no head 'shows'; there are proves, "),
    ],
)
def test_a_line_that_says_nothing_is_named_with_what_is_allowed(text: str, says: str) -> None:
    """File, line, and the forms that would do."""
    with pytest.raises(StoryError, match=says):
        parse_story(Path("it.txt"), text)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("=> modify stop-1 SELL 195 LIMIT\n", "no such modify left"),
        (
            "09:16:05  ask close position 1\n=> cancel stop-1\n",
            "next left modify .*it is no cancel",
        ),
        ("09:16:05  ask close position 1\n=> modify stop-1 65\n", "another quantity"),
        ("09:16:05  ask close position 1\n=> decided 1 operator\n", "that the story does not tell"),
        ("09:16:05  ask close position 1\n=> decided 1 stop_loss\n", "decided were .*operator"),
        ("09:16:05  wait\n=> held 1 65\n", "open_quantity is 195"),
        ("09:16:05  wait\n=> flat\n", "not flat"),
    ],
)
def test_a_story_that_does_not_hold_says_where_and_what_was_seen_instead(
    lines: str, says: str
) -> None:
    """Every order command that leaves must be told: a story cannot hold by saying less."""
    story = parse_story(Path("it.txt"), f"{HEAD}09:16:00.200  hold\n{lines}")
    with pytest.raises(Untrue, match=f"(?s)it.txt:\\d+: .*{says}"):
        play(story, "by hand")


def test_there_is_a_story_of_every_race_incident_and_rule() -> None:
    """Floors: so many stories, exits under three brokers, and each id told by at least one."""
    told = {claim for story in STORIES for claim in story.proves}
    exits = [story for story in STORIES if story.is_simulated]
    rows = sum(len(story.behaviours) for story in STORIES)
    print(f"{len(STORIES)} stories, {len(exits)} of exits, {rows} plays")  # noqa: T201 the floors
    assert [claim for claim in SHOWN if claim not in told] == []
    assert (len(STORIES) >= 100, len(exits) >= 12) == (True, True)
    assert all(story.behaviours == BEHAVIOURS for story in exits)


def test_times_are_those_of_the_exchange() -> None:
    """09:15 is the opening."""
    story = parse_story(Path("it.txt"), HEAD + "09:15:00  quote CALL 1.00\n" + SEEN)
    assert story.lines[0].at_ns == OPEN
    assert story.lines[0].said.values == (CALL, 100)
