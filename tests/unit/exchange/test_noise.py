"""Seeded noise by name."""

from holdfast.exchange.noise import noise


def test_the_same_name_draws_the_same_and_another_name_another() -> None:
    """Seed, kind and key all count."""
    names = [(1, "path", "A"), (2, "path", "A"), (1, "gap", "A"), (1, "path", "B")]
    drawn = [tuple(noise(*name).integers(0, 2**40, 3).tolist()) for name in names]
    assert drawn == [tuple(noise(*name).integers(0, 2**40, 3).tolist()) for name in names]
    assert len(frozenset(drawn)) == len(names)
