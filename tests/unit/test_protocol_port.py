"""The ZeroMQ socket in the loop."""

import asyncio
from pathlib import Path

import zmq

from infsup.protocol.port import Port

LIMIT_S = 5.0


def test_port_peer_that_comes_back_before_it_was_missed_is_heard(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path / 'socket'}"

    async def exchange() -> None:
        arrived: asyncio.Queue[list[bytes]] = asyncio.Queue()
        with zmq.Context() as context:
            router = Port(context, zmq.ROUTER, arrived.put_nowait)
            router.start(bind=endpoint)
            peers: list[Port] = []
            try:
                for number in range(2):  # the first one stays: to the router the second is the same peer, once more
                    answers: asyncio.Queue[list[bytes]] = asyncio.Queue()
                    peers.append(Port(context, zmq.DEALER, answers.put_nowait))
                    peers[-1].start(connect=endpoint, identity=b"token")
                    peers[-1].send([b"hello", b"%d" % number])
                    async with asyncio.timeout(LIMIT_S):
                        assert await arrived.get() == [b"token", b"hello", b"%d" % number]
                        assert router.send([b"token", b"to", b"%d" % number])
                        assert await answers.get() == [b"to", b"%d" % number]
            finally:
                for port in (*peers, router):
                    port.close()

    asyncio.run(exchange())
