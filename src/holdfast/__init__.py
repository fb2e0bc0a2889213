"""holdfast: a supervised trading runtime for one account."""

__version__ = "0.1.0"
