"""The rows of the projections and their keys."""

import msgspec

from holdfast.store import rows


def test_every_projection_has_a_key_of_its_own_fields() -> None:
    """A row without a key could not be replaced."""
    assert set(rows.KEYS) == set(rows.Row.__subclasses__())
    for kind, key in rows.KEYS.items():
        assert set(key) <= {field.name for field in msgspec.structs.fields(kind)}
