"""Tests speak to this machine only."""

import socket

import pytest


def test_another_machine_cannot_be_reached() -> None:
    """The attempt fails the test even where the code under test swallows `OSError`."""
    with socket.socket() as stranger, pytest.raises(pytest.fail.Exception, match="this machine"):
        stranger.connect(("192.0.2.1", 9))


def test_this_machine_can() -> None:
    """A listener on loopback is reached as ever."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
