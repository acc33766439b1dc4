"""Who may call a real gateway: keys and origins."""

from collections.abc import Iterator

import pytest

from .gateway_harness import FakeSupervisor, call, fake_supervisor

CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    with fake_supervisor(tmp_path_factory.mktemp("gw")) as made:
        made.start(api_keys=["secret-1", "sécret-2"], cors_origins=["https://app.example"])
        yield made


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic secret-1"])
def test_gateway_without_a_known_key_is_401(gateway: FakeSupervisor, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for method, path in (("GET", "/"), ("GET", "/v1/models"), ("POST", CHAT), ("GET", "/nothing")):
        answer = call(gateway.port, method, path, **headers)
        assert (answer.status, answer.error()["code"]) == (401, "invalid_api_key")


def test_gateway_health_needs_no_key(gateway: FakeSupervisor) -> None:
    assert call(gateway.port, "GET", "/health").status == 200


def test_gateway_known_key_is_the_fairness_key(gateway: FakeSupervisor) -> None:
    for key in ("secret-1", "sécret-2"):
        authorization = f"Bearer {key}".encode().decode("latin-1")
        assert call(gateway.port, "POST", CHAT, BODY, Authorization=authorization).status == 200
    clients = [gateway.next_job().header.client for _ in range(2)]
    assert len(set(clients)) == 2
    assert all(client.startswith("key:") and len(client) == 12 for client in clients)


def test_gateway_listed_origin_gets_cors_headers(gateway: FakeSupervisor) -> None:
    origin = "https://app.example"
    preflight = call(
        gateway.port,
        "OPTIONS",
        CHAT,
        Origin=origin,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization, x-stainless-os",
    )
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == origin
    assert preflight.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    answer = call(gateway.port, "POST", CHAT, BODY, Origin=origin, Authorization="Bearer secret-1")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
    refused = call(gateway.port, "POST", CHAT, BODY, Origin=origin)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, origin)


def test_gateway_page_of_another_origin_may_not_post(gateway: FakeSupervisor) -> None:
    for origin in ("https://evil.example", "null"):
        for method, headers in (("POST", {}), ("OPTIONS", {"Access_Control_Request_Method": "POST"})):
            answer = call(gateway.port, method, CHAT, BODY, Origin=origin, **headers)
            assert (answer.status, answer.error()["code"]) == (403, "forbidden")
            assert "access-control-allow-origin" not in answer.headers


def test_gateway_page_of_its_own_may_post_unless_its_name_was_rebound(gateway: FakeSupervisor) -> None:
    key = "Bearer secret-1"
    own = f"127.0.0.1:{gateway.port}"
    assert call(gateway.port, "POST", CHAT, BODY, Authorization=key, Origin=f"http://{own}").status == 200
    rebound = f"evil.example:{gateway.port}"
    answer = call(gateway.port, "POST", CHAT, BODY, Authorization=key, Origin=f"http://{rebound}", Host=rebound)
    assert answer.status == 403
