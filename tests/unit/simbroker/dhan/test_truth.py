"""What the server saw: nothing in it is ever faulty."""

from holdfast.simbroker.dhan.truth import REMEMBERED
from holdfast.simbroker.dhan.wire_faults import Endpoint
from tests.unit.simbroker.dhan.served import Served, in_server


def test_requests_about_orders_are_kept_with_their_bodies_and_what_became_of_them() -> None:
    """The time of receipt, the raw body, the answer's status and the order it is about."""

    async def test(served: Served) -> None:
        _, told = await served.place(correlationId="mine")
        served.wait(0.2)
        await served.ask("DELETE", f"/orders/{told['orderId']}")
        await served.place(quantity=None)
        await served.ask("GET", "/orders")
        first, second, third = served.server.truth.requests
        assert (first["fate"], second["fate"], third["fate"]) == ("200", "400", "400")
        assert (first["order_id"], second["order_id"]) == (told["orderId"], told["orderId"])
        assert (second["method"], second["endpoint"]) == ("DELETE", "cancel")
        assert second["at_ns"] - first["at_ns"] == 200_000_000
        assert [one["number"] for one in served.server.truth.requests] == [0, 1, 2]
        assert served.server.truth.counts == {"place": 2, "cancel": 1, "orders": 1}

    in_server(test)


def test_a_body_is_kept_as_it_came() -> None:
    """Byte for byte, also one that cannot be read."""

    async def test(served: Served) -> None:
        url = f"{served.ready.urls['rest']}/orders"
        headers = {"access-token": served.token}
        async with served.session.post(url, data=b'{"quantity": 65', headers=headers) as answered:
            assert answered.status == 400
        await served.place()
        bodies = [one["body"] for one in served.server.truth.requests]
        assert bodies[0] == '{"quantity": 65'
        assert '"securityId": "40005"' in bodies[1]

    in_server(test)


def test_connections_are_told_in_order() -> None:
    """With the instant and what was said about them."""

    async def test(served: Served) -> None:
        served.server.truth.connection("feed", "opened", number=1)
        served.wait(1)
        served.server.truth.connection("feed", "closed", number=1)
        told = served.server.truth.connections
        assert [(one["stream"], one["what"], one["number"]) for one in told] == [
            ("feed", "opened", 1),
            ("feed", "closed", 1),
        ]
        assert told[1]["at_ns"] - told[0]["at_ns"] == 1_000_000_000

    in_server(test)


def test_what_is_remembered_changes_something() -> None:
    """Reads are only counted."""
    assert Endpoint.PLACE in REMEMBERED
    assert Endpoint.ORDERS not in REMEMBERED
