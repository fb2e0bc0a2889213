"""The page of promises names tests: each of them must exist, or the promise is only a sentence."""

import re

from tools import CHECKOUT

NAMED = re.compile(r"`(?P<path>[\w/]+\.py)?::(?P<name>\w+)`")
FLOOR = 60


def test_every_test_that_a_promise_names_exists() -> None:
    """A name without a file is in the file named before it."""
    text = (CHECKOUT / "docs" / "promises.md").read_text("utf-8")
    path, named, missing = "", 0, []
    for found in NAMED.finditer(text):
        path = found["path"] or path
        file = CHECKOUT / "tests" / path
        named += 1
        if not file.is_file() or f"def {found['name']}(" not in file.read_text("utf-8"):
            missing.append(f"{path}::{found['name']}")
    print(f"{named} tests named, floor {FLOOR}")  # noqa: T201 the floor beside the result
    assert missing == []
    assert named >= FLOOR
