"""The metrics: promtool takes them, the documents and contrib/ know them, and they are true."""

import gc
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from reports import metrics_sources
from sessions_house import House

from chainchat.chat.commands import Forget
from chainchat.chat.refusals import Code
from chainchat.node.tally import Distribution
from chainchat.web import metrics

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "contrib/prometheus/alerts.yml"
DASHBOARD = ROOT / "contrib/grafana/chainchat.json"
NAME = re.compile(r"\bchainchat_[a-z_]+")
SUFFIX = re.compile(r"_(bucket|sum|count)$")


class Scraped:
    """The metrics of a house, as somebody has scraped them."""

    def __init__(self, house, data, **changes):
        self._house, self._data, self._changes = house, data, changes

    @property
    def text(self):
        sources = metrics_sources(self._house, self._data, **self._changes)
        return metrics.rendered(metrics.registry(sources, lambda: 0)).decode()

    @property
    def families(self):
        return list(text_string_to_metric_families(self.text))

    def __getitem__(self, name):
        """The value of a sample, with all its labels, as it is written."""
        [line] = [x for x in self.text.splitlines() if x.startswith(f"chainchat_{name} ")]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def house():
    return House()


@pytest.fixture
def scraped(house, tmp_path):
    return Scraped(house, tmp_path)


def names(scraped):
    """What a query may name; of a histogram, its parts."""
    return {sample for family in scraped.families for sample in family_names(family)}


def family_names(family):
    if family.type == "histogram":
        return [f"{family.name}{suffix}" for suffix in ("_bucket", "_sum", "_count")]
    return [f"{family.name}_total" if family.type == "counter" else family.name]


def needs_promtool(skip_or_fail):
    if shutil.which("promtool") is None:
        skip_or_fail("promtool is missing: it comes with Debian's prometheus")


# --- the format --------------------------------------------------------------------------


def test_promtool_finds_nothing_to_object_to(scraped, skip_or_fail):
    needs_promtool(skip_or_fail)
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=scraped.text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, "")


def test_all_metrics_have_our_prefix_and_are_about_forty(scraped):
    families = scraped.families
    assert all(family.name.startswith("chainchat_") for family in families)
    assert 40 <= len(families) <= 60


def test_a_histogram_counts_what_is_at_most_its_bound():
    distribution = Distribution((1.0, 10.0))
    for value in (0.5, 1.0, 5.0, 100.0):
        distribution.add(value)
    assert distribution.counts == [2, 1, 1]
    assert (distribution.count, distribution.total) == (4, 106.5)


# --- what they say -----------------------------------------------------------------------


def test_a_chain_that_is_well(scraped):
    assert scraped["serving"] == scraped["confirms"] == scraped['role{role="only"}'] == 1
    assert scraped["epoch"] == scraped["members"] == scraped['member_place{member="solo"}'] == 1
    assert scraped['changes_total{kind="found"}'] == 1
    assert scraped["log_committed"] == scraped["log_last"] == scraped["log_applied"] == 1


def test_a_chain_that_cannot_confirm(house, scraped):
    house.cannot_confirm()
    assert (scraped["serving"], scraped["confirms"]) == (1, 0)
    assert scraped['waiting_for{peer="other"}'] == 1


def test_messages_and_entries_are_counted(house, scraped):
    before = scraped["entries_total"]
    house.client("alice", "one", "two")
    assert scraped["messages_total"] == 2
    assert scraped["entries_total"] >= before + 2  # LOGIN, and the messages, which may share one
    assert scraped["commit_seconds_count"] >= 1
    assert scraped["sync_seconds_count"] == scraped["batch_entries_count"] >= 2
    assert scraped["turn_seconds_count"] > 2


def test_sessions_are_counted_by_mode(house, scraped):
    house.client("alice")
    house.program("bot")
    assert scraped['sessions{mode="human",transport="plain"}'] == 1
    assert scraped['sessions{mode="machine",transport="plain"}'] == 1
    assert scraped['sessions{mode="human",transport="tls"}'] == 0
    assert scraped["accounts"] == 2
    assert scraped["sessions_behind"] == 0


def test_pushes_are_counted(house, scraped):
    house.client("alice")
    house.client("bob", "hello")
    assert scraped["pushes_total"] >= 1


def test_refusals_are_counted_by_code(house, scraped):
    house.client("alice", "/delete nobody", "/nonsense")
    assert scraped[f'refused_requests_total{{code="{Code.UNKNOWN_VERB.value}"}}'] == 1


def test_refused_connections_are_counted_by_code(house, tmp_path):
    scraped = Scraped(house, tmp_path)
    sources = metrics_sources(house, tmp_path)
    sources.admission.refused[Code.TOO_MANY_CONNECTIONS] = 3
    scraped = Scraped(house, tmp_path, admission=sources.admission)
    assert scraped['refused_connections_total{code="422"}'] == 3


def test_the_disk_is_measured(scraped, tmp_path):
    (tmp_path / "chainchat.sqlite").write_bytes(b"x" * 1_000)
    (tmp_path / "chainchat.sqlite-wal").write_bytes(b"x" * 200)
    (tmp_path / "chainchat.sqlite-shm").write_bytes(b"x" * 30)
    (tmp_path / "cut-1").write_bytes(b"x" * 4)
    assert scraped['storage_bytes{file="database"}'] == 1_000
    assert scraped['storage_bytes{file="write_ahead_log"}'] == 230
    assert scraped['storage_bytes{file="other_files"}'] == 4
    assert scraped["disk_free_bytes"] > 0


def test_a_checkpoint_grows_old_by_entries(house, scraped):
    before = scraped["checkpoint_age_entries"]
    house.client("alice", "one")
    assert scraped["checkpoint_age_entries"] > before


def test_what_was_removed_is_told(house, scraped):
    assert (scraped["removed_before"], scraped["log_first"]) == (0, 1)
    house.client("alice", "one")
    house.node.submit(Forget(3, unread=True))
    house.clock.advance(0)
    assert scraped["removed_before"] == 3


def test_open_files_are_counted(scraped, tmp_path):
    gc.collect()  # or what an earlier test has left open is closed meanwhile
    before = scraped["open_files"]
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert scraped["open_files"] == before + 2


def test_a_turn_costs_no_more_than_a_few_additions():
    tally = Distribution(range(10))
    assert not hasattr(tally, "__dict__")


# --- who else knows them -----------------------------------------------------------------


def test_the_documents_list_all_metrics_and_no_others(scraped):
    text = (ROOT / "docs/metrics.md").read_text("utf-8")
    listed = re.findall(r"`(chainchat_\w+)(?:\{[\w, ]+\})?`", text)
    assert sorted(listed) == sorted(
        f"{f.name}_total" if f.type == "counter" else f.name for f in scraped.families
    )


def test_the_alerts_name_only_metrics_that_exist(scraped):
    expressions = re.findall(r"^ +expr: (.+)$", ALERTS.read_text("utf-8"), re.MULTILINE)
    assert len(expressions) > 10
    assert set(NAME.findall(" ".join(expressions))) <= names(scraped)


def test_promtool_takes_the_alerts(skip_or_fail):
    needs_promtool(skip_or_fail)
    check = subprocess.run(
        ["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize(("members", "fires"), [(3, False), (2, True)])
def test_a_learner_outside_a_whole_chain_is_nothing_to_be_alarmed_of(
    tmp_path, skip_or_fail, members, fires
):
    needs_promtool(skip_or_fail)
    labels = {"chain": "lab", "instance": "spare:7301", "job": "chainchat"}
    values = {
        "chainchat_serving": 0,
        "chainchat_members": members,
        "chainchat_founding_members": 3,
        'chainchat_role{role="learner"}': 1,
    }
    series = []
    for name, value in values.items():
        metric, _, label = name.rstrip("}").partition("{")
        shown = ",".join([*filter(None, [label]), *(f'{k}="{v}"' for k, v in labels.items())])
        series.append({"series": f"{metric}{{{shown}}}", "values": f"{value}x30"})
    summary = f"{labels['instance']} runs, and takes no clients"
    alert = {
        "exp_labels": {**labels, "severity": "ticket"},
        "exp_annotations": {"summary": summary, "description": "/readyz says why."},
    }
    expected = {
        "eval_time": "20m",
        "alertname": "ChainchatNotServing",
        "exp_alerts": [alert] if fires else [],
    }
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [expected]}
    rules = tmp_path / "test.yml"  # JSON is YAML
    rules.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(rules)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_names_only_metrics_that_exist(scraped):
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 10
    assert set(NAME.findall(" ".join(expressions))) <= names(scraped)
