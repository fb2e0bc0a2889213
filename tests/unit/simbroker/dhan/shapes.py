"""The shape of a body: its keys in order and its types, so that a sample can be compared with."""

from typing import Any


def shape(told: Any) -> Any:
    """Keys and types alone; a number is a number whether or not it has a fraction."""
    if isinstance(told, dict):
        return {key: shape(value) for key, value in told.items()}
    if isinstance(told, list):
        return [shape(told[0])] if told else []
    if isinstance(told, bool):
        return "bool"
    return "number" if isinstance(told, int | float) else type(told).__name__
