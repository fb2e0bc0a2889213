"""Every story of this folder, played: under each behaviour of the broker where one answers itself."""

from pathlib import Path

import pytest

from tests.support.notation import Story, read_story
from tests.support.player import play

STORIES = [read_story(path) for path in sorted(Path(__file__).parent.glob("*.txt"))]


def _marks(story: Story, behaviour: str) -> list[pytest.MarkDecorator]:
    """What waits for code must fail until it is there."""
    marks: list[pytest.MarkDecorator] = [pytest.mark.proves(*story.proves)]
    if story.waits and (not story.waits_under or behaviour in story.waits_under):
        marks.append(pytest.mark.xfail(reason=story.waits, strict=True))
    return marks


ROWS = [
    pytest.param(
        story,
        behaviour,
        id=f"{story.name}-{behaviour}" if story.is_simulated else story.name,
        marks=_marks(story, behaviour),
    )
    for story in STORIES
    for behaviour in story.behaviours
]


@pytest.mark.parametrize(("story", "behaviour"), ROWS)
def test_story(story: Story, behaviour: str) -> None:
    """What the story says happens, line by line, and no order command that it does not tell."""
    play(story, behaviour)
