"""NATS: JetStream with three replicas, and the core, which keeps nothing."""

import json
from collections.abc import Sequence

from lab.connections import PATIENCE, Greeting, connected, hear
from lab.peers import ROOM, LineWriter, Listener, Peer, addresses, until
from lab.processes import ServerError

HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
STREAM = {"name": "ROOM", "subjects": ["room"], "storage": "file", "num_replicas": 3}

SINGLE = """
listen: "{host}:{port}"
ping_interval: "1h"
"""

CLUSTERED = """
server_name: "{name}"
listen: "{host}:{port}"
ping_interval: "1h"
jetstream {{ store_dir: "{folder}" }}
cluster {{
  name: "bench"
  listen: "{host}:{cluster_port}"
  routes: [{routes}]
}}
"""


def greeting(subscription: bytes = b"") -> Greeting:
    """Log in, subscribe to a subject if there is one, and have it confirmed."""
    subscribe = b"SUB %s 1\r\n" % subscription if subscription else b""
    return Greeting(HELLO + subscribe + b"PING\r\n", b"PONG\r\n", b"-ERR")


class Nats(Peer):
    """One server, without JetStream."""

    name = "NATS core"
    program = package = "nats-server"

    def begin(self) -> None:
        """Start it."""
        (self._address,) = addresses(1)
        host, port = self._address
        config = self.folder / "nats.conf"
        config.write_text(SINGLE.format(host=host, port=port))
        self.start("server", "-c", str(config))
        self.wait_for_port(port)

    def writers(self, count: int, text: bytes) -> Sequence[LineWriter]:
        """Publishers, who are told nothing."""
        request = b"PUB %s %d\r\n%s\r\n" % (ROOM, len(text), text)
        return [LineWriter(self._address, greeting(), request, lines=0) for _ in range(count)]

    def receivers(self, count: int) -> Sequence[Listener]:
        """Subscribers."""
        return [Listener(self._address, greeting(ROOM)) for _ in range(count)]

    idlers = receivers


class JetStream(Peer):
    """Three servers; a stream on all of them, in files."""

    name = "NATS JetStream R3"
    program = package = "nats-server"

    def begin(self) -> None:
        """Start them, and make the stream."""
        self._addresses = addresses(3)
        between = addresses(3)
        routes = ", ".join(f'"nats://{host}:{port}"' for host, port in between)
        for i, (host, port) in enumerate(self._addresses):
            name = f"server{i + 1}"
            config = self.folder / f"{name}.conf"
            text = CLUSTERED.format(name=name, host=host, port=port, cluster_port=between[i][1],
                                    routes=routes, folder=self.new_folder(name))  # fmt: skip
            config.write_text(text)
            self.start(name, "-c", str(config))
        for _, port in self._addresses:
            self.wait_for_port(port)
        until(self._stream_made, lambda: "JetStream makes no stream", 2 * PATIENCE)

    def _stream_made(self) -> bool:
        """Try to make the stream: the servers have to elect who decides that first."""
        asked = json.dumps(STREAM).encode()
        with connected(self._addresses[0]) as connection:
            connection.settimeout(2.0)
            connection.sendall(greeting(b"answer").ask)
            connection.sendall(
                b"PUB $JS.API.STREAM.CREATE.ROOM answer %d\r\n%s\r\n" % (len(asked), asked)
            )
            try:
                answer = hear(connection, b'"type":', b"-ERR")
            except (TimeoutError, ServerError):
                return False
        return b'"error"' not in answer

    def writers(self, count: int, text: bytes) -> Sequence[LineWriter]:
        """Publishers, at all servers in turn, who ask for an acknowledgement of each message."""
        made = []
        for index in range(count):
            inbox = b"_INBOX.%d" % index
            made.append(
                LineWriter(
                    self._addresses[index % len(self._addresses)],
                    greeting(inbox),
                    b"PUB %s %s %d\r\n%s\r\n" % (ROOM, inbox, len(text), text),
                    lines=2,
                    last=b'{"stream":"ROOM"',
                    refusal=b'"error"',
                )
            )
        return made
