"""Small disks and a client that says as much as it can: nothing new is taken before one is full."""

from collections.abc import Callable
from pathlib import Path

from cluster import Cluster, wait_for_log
from commands import ctl
from talking import Person, Program, until

MB = 1_000_000
IN_ONE_GO = 20
"""SENDs of a kilobyte: so few that the tail's word is told before the others' disks are low."""

REASON = "the disk of tail is nearly full: nothing new is taken until there is room"


def flood(program: Program, first: int) -> int:
    """Say as much as is taken; the number of the SEND that was refused."""
    while True:
        numbers = range(first, first + IN_ONE_GO)
        replies = program.ask_all([f"SEND {n} * :{'x' * 900}" for n in numbers])
        refused = [n for n, reply in zip(numbers, replies, strict=True) if reply[:4] != "+OK "]
        if refused:
            assert replies[refused[0] - first].startswith(f"-ERR 453 {REASON}"), replies
            return refused[0]
        first += IN_ONE_GO


def test_nobody_fills_the_disks(
    small_disk: Callable[[Path], None], new_cluster: Callable[..., Cluster]
) -> None:
    cluster = new_cluster(sections="[storage]\nstop = 8 MB")
    for node in cluster.nodes.values():
        small_disk(node.data)
    ballast = cluster["tail"].data / "somebody else's"
    ballast.write_bytes(bytes(4 * MB))
    cluster.start()
    with (
        Person(cluster["head"].address, "alice") as alice,
        Program(cluster["middle"].address, "flooder", "flooder") as flooder,
    ):
        number = flood(flooder, 1)
        assert number > 1_000
        until(lambda: alice.ask("hello?").startswith(f"-ERR 453 {REASON}"), lambda: "it is taken")
        assert len(alice.listed("/last 5")) == 5
        with Person(cluster["tail"].address, "alice2") as new:
            assert new.welcome.startswith(f"-ERR 453 no new account: {REASON}")
        assert flooder.ask("PING") == "+OK"
        alice.say("/chain")
        assert any(REASON in line for line in alice.lines_to(r"^\. "))
        status = ctl(cluster, "status", "--all").stdout
        assert status.count("taking nothing new") == len(cluster.nodes)
        assert status.count("the disk of tail is nearly full") == len(cluster.nodes), status
        wait_for_log(
            cluster["tail"], " MB: no chain with this node takes anything new until it is 8.8"
        )
        ballast.unlink()
        until(lambda: alice.ask("hello!").startswith("+OK "), lambda: "nothing is taken again")
        again = f"SEND {number} * :x"
        until(lambda: flooder.ask(again).startswith("+OK id="), lambda: "nor here")
    assert cluster.epoch == 1
