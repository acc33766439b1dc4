"""When a gateway counts as stuck."""

from infsup.supervisor.gateway_health import SILENCE_SECONDS, START_SECONDS, GatewayHealth


def test_gateway_health_silent_gateway_is_stuck_after_its_limit() -> None:
    health = GatewayHealth(100.0)
    health.on_ready(101.0)
    health.on_word(110.0)
    assert health.find_stall(110.0 + SILENCE_SECONDS, 0.0) is None
    assert health.find_stall(110.5 + SILENCE_SECONDS, 0.0) == "nothing heard for 15.5 s (the limit is 15 s)"


def test_gateway_health_silence_while_the_supervisor_did_not_listen_does_not_count() -> None:
    health = GatewayHealth(0.0)
    health.on_ready(0.0)
    assert health.find_stall(40.0, 35.0) is None
    assert health.find_stall(45.0, 0.0) is None
    assert health.find_stall(35.5 + SILENCE_SECONDS, 0.0) is not None


def test_gateway_health_gateway_that_never_serves_is_stuck_although_it_talks() -> None:
    health = GatewayHealth(0.0)
    health.on_word(START_SECONDS - 1.0)
    assert health.find_stall(START_SECONDS, 0.0) is None
    assert health.find_stall(START_SECONDS + 1.0, 0.0) == "does not serve for 61.0 s (the limit is 60 s)"
