"""As many clients as somebody likes: what a node needs for itself is never given to them."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from cluster import Cluster, wait_for_log
from talking import Caller, Person, let_in

from chainchat.sessions.admission import reserve

FILES = 160
"""Files that the crowded node may have open."""

CALLERS = 300
"""More than that, when all places are taken."""


@pytest.mark.plain("with TLS, few of so many who are refused read why")
def test_clients_leave_a_node_the_files_that_it_needs(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster()
    node, room = cluster["head"], FILES - reserve(3)
    node.launcher = ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh"]
    cluster.start()
    with ExitStack() as stack:
        for number in range(room):
            person = stack.enter_context(let_in(node.address))
            assert person.log_in(f"person{number}").startswith("+OK ")
        callers = [stack.enter_context(Caller(node.address)) for _ in range(CALLERS)]
        answers = {caller.hear(r"^(\*|-ERR 422 )").string for caller in callers}
        assert answers == {f"-ERR 422 this node has {room} connections already; try another node"}
        cluster.kill("tail")
        with Person(cluster["middle"].address, "alice") as alice:
            assert alice.ask("still there").startswith("+OK ")
        cluster["tail"].start()
        wait_for_log(cluster["tail"], "serving in epoch 3 (head -> middle -> tail)")
    cluster.wait_until_it_serves()
    log = node.log_text()
    assert f"limit of open files, {FILES}, leaves room for {room} clients" in log
    assert log.count("refusing clients: ") == 1
    assert "EMFILE" not in log
