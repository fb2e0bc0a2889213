"""What the documents say of the code's lists is made from the code."""

from collections import Counter

import pytest

from tools import CHECKOUT
from tools.generate_docs import SECTION, SECTIONS, documents, renewed

DOCUMENTS = {path.relative_to(CHECKOUT).as_posix(): path for path in documents()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_sections_are_up_to_date(name: str) -> None:
    """`make docs` would change nothing."""
    text = DOCUMENTS[name].read_text("utf-8")
    assert renewed(text) == text, "run: make docs"


def test_each_section_stands_in_one_document() -> None:
    """A list that no document holds, or two hold, is a fault; so is a mark without its end."""
    texts = [path.read_text("utf-8") for path in DOCUMENTS.values()]
    found = Counter(mark["name"] for text in texts for mark in SECTION.finditer(text))
    assert found == Counter(list(SECTIONS))
    assert sum(text.count("<!-- generated:") for text in texts) == sum(found.values())


def test_a_stale_section_is_renewed_and_the_rest_is_left_alone() -> None:
    """Only what stands between the marks belongs to the generator."""
    text = "# Rules\n\n<!-- generated: rules -->\nold\n<!-- end -->\n\nOurs: | a | table |\n"
    made = renewed(text)
    assert "old" not in made
    assert made.startswith("# Rules\n\n<!-- generated: rules -->\n\n|")
    assert made.endswith("|\n\n<!-- end -->\n\nOurs: | a | table |\n")
    assert renewed(made) == made


def test_a_section_that_nobody_makes_is_refused() -> None:
    """A typing error in a mark must not leave a section that is never renewed."""
    with pytest.raises(KeyError):
        renewed("<!-- generated: no-such-thing -->\n<!-- end -->")
