"""The log of a run: lines of JSON in its folder, and no reason to stop."""

import json
from pathlib import Path

import pytest
import structlog

from holdfast.app.log import FILE_NAME, _Lines, logging_to


def test_what_is_logged_lies_in_the_folder_as_lines_of_json(tmp_path: Path) -> None:
    """Each with its level and its time in UTC; before and after the block nothing goes there."""
    log = structlog.get_logger("router")
    with logging_to(tmp_path):
        log.warning("notify", severity="alarm", where=Path("x"))
        log.debug("chatter")
        try:
            int("odd")
        except ValueError:
            log.exception("failed")
    with structlog.testing.capture_logs():
        log.warning("after")
    first, second = map(json.loads, (tmp_path / FILE_NAME).read_text().splitlines())
    assert (first["event"], first["level"], first["where"]) == ("notify", "warning", "x")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_line_that_cannot_be_written_is_counted_and_raises_nothing() -> None:
    """A full disk must not reach the code that closes positions."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        lines = _Lines(full)
        lines.msg(b"{}")
        lines.warning(b"{}")
    assert lines.lost == 2
