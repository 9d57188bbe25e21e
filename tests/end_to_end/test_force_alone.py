"""An operator's last resort: one node goes on alone, by a promise that the others are off."""

import pytest
from cluster import Cluster, Node
from commands import run_twistd
from talking import Person

STARTS_WITHIN = 20.0


def refused(node: Node, fenced: str, typed: str) -> str:
    """What a node that is to be forced says when it ends without having started."""
    arguments = ["-n", "--pidfile=", "chainchat", "--position", node.position, "--config"]
    arguments += [str(node.config), "--force-alone", "--fenced", fenced]
    ended = run_twistd(node.config.parent, *arguments, typed=typed, within=STARTS_WITHIN)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def fallen(new_cluster) -> Cluster:
    """A chain of which no process is left."""
    cluster: Cluster = new_cluster()
    cluster.start().wait_until_it_serves()
    with Person(cluster["head"].address, "alice") as alice:
        assert alice.ask("kept on three disks").startswith("+OK")
    cluster.kill("head", "middle", "tail")
    return cluster


def test_nothing_is_forced_without_the_exact_confirmation(fallen):
    said = refused(fallen["tail"], "head,middle", "yes\n")
    assert "tail will go on ALONE" in said
    assert "Type: head,middle are off" in said
    assert "not confirmed; nothing was changed" in said


def test_every_other_member_has_to_be_fenced(fallen):
    said = refused(fallen["tail"], "head", "head are off\n")
    assert "middle may be alive: name every other member as fenced" in said


def test_it_serves_alone_and_a_fenced_node_comes_back_as_a_learner(fallen):
    tail = fallen["tail"]
    tail.start("--force-alone", "--fenced", "head,middle", typed="head,middle are off\n")
    chain = fallen.wait_until_it_serves("tail")
    assert chain["members"] == "tail"
    assert int(chain["epoch"]) > 1_000
    with Person(tail.address, "alice") as alice:
        assert "kept on three disks" in alice.listed("/last")[0]
        assert alice.ask("said alone").startswith("+OK")
    fallen.start("head")
    assert fallen.wait_until_it_serves("tail", "head")["members"] == "tail,head"
    with Person(fallen["head"].address, "bob") as bob:
        assert "said alone" in bob.listed("/last")[-1]
