"""Access tokens: one is active, and none lives longer than a day."""

import base64
import json

import pyotp

from holdfast.simbroker.dhan.tokens import DAY_NS, Consumer, Login, Tokens, TokenState

AT = 1_795_146_000_000_000_000


def test_a_token_is_a_jwt_with_the_claims_that_were_seen() -> None:
    """Of the length that was seen; its end is in its claims."""
    for consumer, claim in ((Consumer.SELF, "webhookUrl"), (Consumer.APP, "partnerId")):
        made = Tokens(Login(), 1).mint(AT, consumer=consumer, by="pin")
        assert 280 <= len(made.secret) <= 303
        middle = made.secret.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        assert claims["exp"] == made.until_ns // 1_000_000_000
        assert claims["tokenConsumerType"] == consumer.value
        assert claims["dhanClientId"] == "1000000001"
        assert claim in claims


def test_a_new_token_kills_the_one_before() -> None:
    """And its own day ends it."""
    tokens = Tokens(Login(), 1)
    heard: list[int] = []
    tokens.on_change(lambda: heard.append(1))
    first = tokens.mint(AT, consumer=Consumer.SELF, by="page")
    assert tokens.state(first.secret, AT + DAY_NS - 1) is TokenState.GOOD
    assert tokens.state(first.secret, AT + DAY_NS) is TokenState.EXPIRED
    second = tokens.mint(AT, consumer=Consumer.APP, by="pin")
    assert second.secret != first.secret
    assert tokens.state(first.secret, AT) is TokenState.UNKNOWN
    assert tokens.state(second.secret, AT) is TokenState.GOOD
    assert heard == [1, 1]


def test_the_same_seed_and_instant_make_the_same_token() -> None:
    """So a server that returns knows it without having written it down."""
    made = [Tokens(Login(), 7).mint(AT, consumer=Consumer.SELF, by="page") for _ in range(2)]
    assert made[0] == made[1]


def test_a_code_is_good_for_the_steps_beside_it() -> None:
    """Thirty seconds early or late; not more."""
    login = Login()
    tokens = Tokens(login, 1)
    codes = [pyotp.TOTP(login.totp_secret).at(AT // 1_000_000_000 + 30 * step) for step in range(4)]
    assert [tokens.knows_totp(code, AT) for code in codes] == [True, True, False, False]
    assert not tokens.knows_totp("", AT)
