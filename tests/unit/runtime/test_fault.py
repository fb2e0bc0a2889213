"""A fault: the exception behind the groups, in words."""

import pytest

from holdfast.runtime.fault import Fault, single


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("full"), "OSError: full"),
        (ValueError(), "ValueError"),
        (ExceptionGroup("g", [OSError("full")]), "OSError: full"),
        (ExceptionGroup("g", [ExceptionGroup("h", [OSError("full")])]), "OSError: full"),
        (
            ExceptionGroup("g", [OSError("full"), ValueError("bad")]),
            "ExceptionGroup: OSError: full; ValueError: bad",
        ),
    ],
)
def test_a_group_of_one_stands_for_that_one(error: Exception, text: str) -> None:
    """A task group puts one around everything; the operator is told what happened."""
    fault = Fault.of(error)
    assert fault.text == text
    assert single(single(error)) is single(error)


@pytest.mark.proves("LOG-3")
def test_it_keeps_the_innermost_frames() -> None:
    """Where it was raised, not where the program began."""

    def deep(levels: int) -> None:
        if not levels:
            raise OSError("deep down")
        deep(levels - 1)

    with pytest.raises(OSError, match="deep down") as caught:
        deep(40)
    stack = Fault.of(caught.value).stack
    assert 'raise OSError("deep down")' in stack
    assert "in test_it_keeps" not in stack
    assert Fault.of(caught.value).fields.keys() == {"error", "message", "stack"}
