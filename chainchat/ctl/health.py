"""``chainchatctl status``: the state of nodes, in words and as an exit status.

A node elsewhere is asked at its client port, for what it tells everybody before the login.
"""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chainchat import config
from chainchat.ctl.asking import Connection, UnreachableError, is_here
from chainchat.ctl.tables import aligned, size, span
from chainchat.network.addresses import host_port

WELL, DEGRADED, DOWN = 0, 1, 2
"""Exit statuses: all is well; the chain confirms, but something is wrong; it does not confirm."""

PATIENCE, LEAST_PATIENCE = 3.0, 0.1
"""Seconds for a node to answer; at the end of a longer waiting, no less than the other."""

POLL_SECONDS = 0.2

MEMBERS = ("head", "middle", "tail", "only")

LEARNER = "learner"

GOALS = ("serving", "member", "full")

_ANSWER = re.compile(r"(?:\+OK|-ERR (?P<code>\d+))(?: @\S+)? (?P<rest>.*)")
_CATCHES_UP = re.compile(r"this node is catching up with the chain \((?P<members>.+)\)")
_QUESTION = b"/hello chainchat/1 client=chainchatctl\r\n@1 CHAIN\r\n"


@dataclass(frozen=True)
class Seen:
    """What one node has answered.

    Attributes:
        report: its status; empty without an answer.
    """

    position: str
    report: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def confirms(self) -> bool:
        return bool(self.report.get("confirms"))

    def in_reserve(self, founding: int) -> bool:
        """True if the node waits outside a whole chain to take a lost member's place."""
        report = self.report
        learns = report.get("role") == LEARNER
        return learns and len(report["members"]) >= founding and not report["away"]

    def state(self, founding: int) -> str:
        if not self.report:
            return "down"
        if self.in_reserve(founding):
            return "in reserve"
        if self.report["drained"]:
            return "drained"
        if not self.report["serving"]:
            return "not serving"
        if not self.confirms:
            return "not confirming"
        return "taking nothing new" if self.report.get("low") else "serving"

    def troubles(self, founding: int) -> Iterator[str]:
        """Yield what is not well at this node; ``founding``: members of a whole chain."""
        report = self.report
        if not report:
            yield self.error
            return
        if report["reason"] and not self.in_reserve(founding):
            yield report["reason"]
        for position in report["away"]:
            yield f"{position} is away"
        members = report["members"]
        if len(members) < founding:
            yield f"the chain has {len(members)} of {founding} members: {', '.join(members)}"
        if "nearly full" not in report["reason"]:
            for position in report.get("low", ()):
                yield f"the disk of {position} is nearly full"
        yield from report.get("warnings", ())


def seen(settings: config.Settings, position: str, patience: float = PATIENCE) -> Seen:
    """Ask one node, at its control socket, or at its client port if it is elsewhere.

    ``patience``: seconds until a node that says nothing is taken for one that does not answer.
    """
    node = settings.nodes[position]
    try:
        if is_here(node):
            return Seen(position, _asked_here(node, patience))
        return Seen(position, _asked_elsewhere(settings, node, patience))
    except UnreachableError as error:
        return Seen(position, error=str(error))


def _asked_here(node: config.NodeSettings, patience: float) -> dict[str, Any]:
    def give_up() -> None:  # a node answers this itself, whatever the chain does
        raise UnreachableError(
            f"{node.position} does not answer: its process stands still, or is much too busy"
        )

    connection = Connection(node)
    try:
        [report] = connection.ask("status", give_up, patience=patience)
    finally:
        connection.close()
    return dict(report)


def _asked_elsewhere(
    settings: config.Settings, node: config.NodeSettings, patience: float
) -> dict[str, Any]:
    port = node.client_port or node.tls_port
    where = host_port(node.client_host, port)
    try:
        with socket.create_connection((node.client_host, port), patience) as plain:
            plain.settimeout(patience)
            talking = plain if node.client_port else _encrypted(settings, node, plain)
            with talking, talking.makefile("rb") as lines:
                talking.sendall(_QUESTION)
                return _heard(node, [line.decode(errors="replace") for line in _until_told(lines)])
    except (OSError, ssl.SSLError) as error:
        raise UnreachableError(
            f"{node.data} is not on this machine, and {where} does not answer: {error}"
        ) from None


def _encrypted(
    settings: config.Settings, node: config.NodeSettings, plain: socket.socket
) -> socket.socket:
    ca = settings.tls.ca if settings.tls.ca.exists() else None
    return ssl.create_default_context(cafile=ca).wrap_socket(
        plain, server_hostname=node.client_host
    )


def _until_told(lines: Any) -> Iterator[bytes]:
    for line in lines:
        yield line
        if line.startswith((b"+OK @1 ", b"-ERR ")):
            return


def _heard(node: config.NodeSettings, lines: list[str]) -> dict[str, Any]:
    """As much of a status as the answer to CHAIN tells."""
    found = _ANSWER.fullmatch(lines[-1].rstrip("\r\n")) if lines else None
    if found is None:
        raise UnreachableError(f"{node.client_host} answers, but not as chainchat")
    told = dict(word.split("=", 1) for word in found["rest"].split() if "=" in word)
    if found["code"] or "epoch" not in told:  # it takes no clients, and says why
        reason = found["rest"].partition("; try ")[0]
        learner = _CATCHES_UP.match(reason)
        return {
            "position": node.position,
            **dict.fromkeys(("epoch", "committed", "version"), None),
            "role": LEARNER if learner else None,
            "serving": False,
            "drained": "is drained" in reason,
            "confirms": False,
            "reason": reason,
            "away": [],
            "members": learner["members"].split(", ") if learner else [],
        }
    waiting = any(line.startswith("* waiting ") for line in lines)
    return {
        "position": told["node"],
        "role": told["role"],
        "epoch": int(told["epoch"]),
        "committed": int(told["committed"]),
        "version": told.get("version"),
        "serving": True,
        "drained": False,
        "confirms": not waiting,
        "reason": "the chain cannot confirm, or something has to wait" if waiting else "",
        "away": list(filter(None, told.get("away", "").split(","))),
        "members": told["members"].split(","),
    }


# --- judging


def judged(found: list[Seen], founding: int) -> tuple[int, list[str]]:
    """An exit status, and the troubles, each with the node that tells it."""
    troubles = [f"{one.position}: {text}" for one in found for text in _troubles(one, founding)]
    alone = len(found) == 1 and found[0].in_reserve(founding)
    if not alone and not any(one.confirms for one in found):
        return DOWN, troubles
    return (DEGRADED if troubles else WELL), troubles


def _troubles(one: Seen, founding: int) -> Iterator[str]:
    seen: set[str] = set()
    for text in one.troubles(founding):
        if text not in seen:
            seen.add(text)
            yield text


def reached(goal: str, one: Seen, founding: int) -> bool:
    report = one.report
    if not report:
        return False
    if goal == "serving":
        return report["serving"] and one.confirms
    if one.in_reserve(founding):
        return True
    if goal == "member":
        return report["role"] in MEMBERS and one.confirms
    return one.confirms and len(report["members"]) == founding and not report["away"]


# --- showing

COLUMNS = ("NODE", "ROLE", "STATE", "EPOCH", "COMMITTED", "IN FLIGHT", "CLIENTS", "FREE", "VERSION")


def _row(one: Seen, founding: int) -> tuple[str, ...]:
    report = one.report

    def cell(key: str) -> str:
        value = report.get(key)
        return "-" if value is None else str(value)

    free = (report.get("disk") or {}).get("free")
    return (
        one.position,
        cell("role"),
        one.state(founding),
        *(cell(key) for key in ("epoch", "committed", "in_flight", "clients")),
        "-" if free is None else size(free),
        cell("version"),
    )


def table(found: list[Seen], founding: int) -> Iterator[str]:
    status, troubles = judged(found, founding)
    yield from aligned([COLUMNS, *(_row(one, founding) for one in found)])
    yield from troubles
    for one in found:
        yield from (f"{one.position}: {text}" for text in _kept_unread(one.report))
    yield ("the chain is well", "the chain is degraded", "the chain is down")[status]


def described(report: dict[str, Any]) -> Iterator[str]:
    yield "{position} of {chain}, chainchat {version}, started {started}".format(**report)
    yield from report["shown"]
    state = Seen(report["position"], report).state(len(report.get("founding", ())))
    yield "{0} since {since}, {clients} clients".format(state, **report)
    yield "log: {last} last, {committed} committed, {applied} applied here".format(**report)
    if report.get("removed"):  # an older release does not tell
        yield "removed: messages before {removed}; the log here begins with {first}".format(
            **report
        )
    yield from _kept_unread(report)
    disk = report["disk"]
    if disk["free"] is not None:
        seconds = disk["left"]
        left = f", {span(seconds)} left at the present rate" if seconds is not None else ""
        yield f"disk: {size(disk['free'])} free{left}, {size(sum(disk['files'].values()))} used"
    for certificate in report["certificates"]:
        yield "certificate: {whose} expires {expires}".format(**certificate)


def _kept_unread(report: dict[str, Any]) -> Iterator[str]:
    """Name the account that keeps old messages: as intended, or a program that only sends."""
    if kept := report.get("kept_unread"):  # an older release does not tell
        yield "old messages stay: {account} has seen none after {after}, since {since}".format(
            **kept
        )


# --- the command


def status(settings: config.Settings, positions: list[str], *, as_json: bool) -> int:
    found = [seen(settings, position) for position in positions]
    _show(settings, found, as_json=as_json)
    return judged(found, len(settings.founding))[0]


def wait(
    settings: config.Settings,
    positions: list[str],
    goal: str,
    timeout: float,
    *,
    as_json: bool,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Ask until all these nodes are what ``goal`` says, and show their answers.

    Raises:
        UnreachableError: the timeout (seconds) is over.
    """
    end = clock() + timeout
    founding = len(settings.founding)
    while True:
        patience = min(PATIENCE, max(end - clock(), LEAST_PATIENCE))
        found = [seen(settings, position, patience) for position in positions]
        late = [one for one in found if not reached(goal, one, founding)]
        if goal == "serving" and len(found) > 1:
            late = [one for one in late if not one.in_reserve(founding)]
        if not late:
            _show(settings, found, as_json=as_json)
            return judged(found, founding)[0]
        if clock() >= end:
            whys = [next(iter(one.troubles(founding)), one.state(founding)) for one in late]
            texts = [f"{one.position}: {why}" for one, why in zip(late, whys, strict=True)]
            raise UnreachableError(f"not {goal} within {timeout:g} s: {'; '.join(texts)}")
        time.sleep(POLL_SECONDS)


def _show(settings: config.Settings, found: list[Seen], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            print(json.dumps(one.report or {"position": one.position, "error": one.error}))
    elif len(found) == 1:
        if found[0].error:
            raise UnreachableError(found[0].error)
        for line in described(found[0].report) if "shown" in found[0].report else table(found, 0):
            print(line)
    else:
        for line in table(found, len(settings.founding)):
            print(line)
