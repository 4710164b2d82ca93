"""The fixture itself: a server that dies and comes back is the tests' own tool."""

from tests.redis_server import StartRedis, client_of


def test_a_server_that_is_killed_forgets_and_comes_back(start_redis: StartRedis) -> None:
    server = start_redis()
    with client_of(server.url) as client:
        client.set("key", b"value")
        server.kill()
        server.restart()
        assert client.get("key") is None
