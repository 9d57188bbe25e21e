"""From chain.ini to ``Settings``."""

import configparser
import os
from collections.abc import Iterator
from pathlib import Path

from chainchat.config import keys, kinds
from chainchat.config.networks import EXEMPT
from chainchat.config.sections import ConfigError, Section, parse, read
from chainchat.config.settings import (
    AccountRules,
    LogFormat,
    NewAccounts,
    NodeSettings,
    Plaintext,
    Settings,
    TLSFiles,
)

FIRST_CLIENT_PORT = 7001
FIRST_CHAIN_PORT = 7101


def load(path: Path) -> Settings:
    """Read chain.ini, whose relative paths start at its folder.

    Raises:
        ConfigError: the file cannot be used.
    """
    try:
        path = path.absolute()
    except FileNotFoundError:
        raise ConfigError(f"{path}: the present folder is gone: change to another") from None
    return _settings(path, parse(path, read(path)))


def _settings(path: Path, parser: configparser.RawConfigParser) -> Settings:
    chain = Section(path, parser, "chain", keys.CHAIN_KEYS)
    clients = Section(path, parser, "clients", keys.CLIENTS_KEYS)
    limits = Section(path, parser, "limits", keys.LIMITS_KEYS)
    storage = Section(path, parser, "storage", keys.STORAGE_KEYS)
    accounts = Section(path, parser, "accounts", keys.ACCOUNTS_KEYS)
    tls = Section(path, parser, "tls", keys.TLS_KEYS)
    log = Section(path, parser, "log", keys.LOG_KEYS)
    keep_days, keep_octets = storage.take("keep", kinds.KEEP, (0, 0))
    chain.must_exist("name and founding are required")
    name = chain.take("name", kinds.CLUSTER_NAME)
    founding = chain.take("founding", kinds.FOUNDING)
    return Settings(
        path=path,
        name=name,
        founding=founding,
        suspect_after=chain.take("suspect-after", kinds.SUSPECT_AFTER, 1.0),
        rejoin_pause=chain.take("rejoin-pause", kinds.REJOIN_PAUSE, 60.0),
        refusal_is_death=chain.take("refusal-is-death", kinds.YES_OR_NO, True),
        max_line=clients.take("max-line", kinds.MAX_LINE, 1024),
        max_connections=clients.take("max-connections", kinds.MAX_CONNECTIONS, 10_000),
        per_address=limits.take("per-address", kinds.PER_ADDRESS, 64),
        exempt=limits.take("exempt", kinds.NETWORKS, EXEMPT),
        connects_per_minute=limits.take("connects-per-minute", kinds.RATE, 120),
        new_accounts=limits.take("new-accounts", kinds.RATE, 30),
        most_accounts=limits.take("most-accounts", kinds.MOST_ACCOUNTS, 100_000),
        send_rate=limits.take("send-rate", kinds.RATE, 200),
        send_burst=limits.take("send-burst", kinds.SEND_BURST, 2_000),
        accounts=_account_rules(accounts),
        stop=storage.take("stop", kinds.OCTETS, 100_000_000),
        keep_days=keep_days,
        keep_octets=keep_octets,
        keep_unread=storage.take("keep-unread", kinds.YES_OR_NO, True),
        nodes=_nodes(path, parser, founding),
        tls=_tls_files(tls),
        chain_tls=tls.take("chain", kinds.YES_OR_NO, False),
        check_dates=tls.take("check-dates", kinds.YES_OR_NO, True),
        log_format=log.take("format", kinds.LOG_FORMAT, LogFormat.TEXT),
        values=_values(parser),
    )


def _values(parser: configparser.RawConfigParser) -> dict[tuple[str, str], str]:
    return {(name, key): parser[name][key] for name in parser.sections() for key in parser[name]}


def _nodes(
    path: Path, parser: configparser.RawConfigParser, founding: tuple[str, ...]
) -> dict[str, NodeSettings]:
    others = (name for name in parser.sections() if name not in {*kinds.NO_POSITIONS, *founding})
    nodes: dict[str, NodeSettings] = {}
    taken: dict[object, str] = {}
    for order, position in enumerate((*founding, *others)):
        section = Section(path, parser, position, keys.NODE_KEYS)
        founder = position in founding
        if founder:
            section.must_exist("founding names this position")
        nodes[position] = _node(section, position, order if founder else None)
        _refuse_clashes(section, nodes[position], taken)
    return nodes


def _account_rules(section: Section) -> AccountRules:
    return AccountRules(
        new=section.take("new", kinds.NEW_ACCOUNTS, NewAccounts.OPEN),
        delete_others=section.take("delete-others", kinds.YES_OR_NO, True),
        plaintext=section.take("plaintext", kinds.PLAINTEXT, Plaintext.AUTO),
    )


def _tls_files(section: Section) -> TLSFiles:
    certificate = section.take("certificate", kinds.FILE, "tls/%p/node.crt")
    key = section.take("key", kinds.FILE, "tls/%p/node.key")
    files = TLSFiles(
        ca=section.file("ca", "tls/%p/ca.crt"),
        certificate=section.file("certificate", certificate),
        key=section.file("key", key),
        client_certificate=section.file("client-certificate", certificate),
        client_key=section.file("client-key", key),
    )
    if section.has("client-certificate") != section.has("client-key"):
        raise section.error("client-certificate and client-key go together; name both or none")
    return files


def _node(section: Section, position: str, order: int | None) -> NodeSettings:
    """Read a node's section; its ``order`` among the founding positions gives default ports."""
    try:
        kinds.POSITION.read(position)
    except ValueError:
        raise section.error(f"is not the name of a position: {kinds.POSITION.allowed}") from None
    client_port = None if order is None else FIRST_CLIENT_PORT + order
    chain_port = None if order is None else FIRST_CHAIN_PORT + order
    host = section.take("host", kinds.HOST, "127.0.0.1")
    node = NodeSettings(
        position=position,
        host=section.take("chain-host", kinds.HOST, host),
        client_port=section.take("client-port", kinds.PORT_OR_NONE, client_port),
        chain_port=section.take("chain-port", kinds.PORT, chain_port),
        data=section.folder("data", f"var/{position}"),
        tls_port=section.take("tls-port", kinds.PORT_OR_NONE, 0),
        web_port=section.take("web-port", kinds.PORT_OR_NONE, 0),
        web_host=section.take("web-host", kinds.HOST, "127.0.0.1"),
        web_url=section.take("web-url", kinds.URL, ""),
        client_host=section.take("client-host", kinds.HOST, host),
        chain_host_key="chain-host" if section.has("chain-host") else "host",
        client_host_key="client-host" if section.has("client-host") else "host",
    )
    if not (node.client_port or node.tls_port):
        raise section.error("client-port = none needs a tls-port, or nobody can talk to this node")
    return node


def _refuse_clashes(section: Section, node: NodeSettings, taken: dict[object, str]) -> None:
    for key, value, claim in _claims(node):
        if claim in taken:
            raise section.error(f"{key} = {value} is what {taken[claim]} has; choose another")
        taken[claim] = f"[{node.position}] {key}"


def _claims(node: NodeSettings) -> Iterator[tuple[str, object, object]]:
    """Yield what no two nodes may share: the key, its value, and what makes two values equal."""
    host, client_host = node.host.lower(), node.client_host.lower()
    if node.client_port:
        yield "client-port", node.client_port, (client_host, node.client_port)
    if node.tls_port:
        yield "tls-port", node.tls_port, (client_host, node.tls_port)
    yield "chain-port", node.chain_port, (host, node.chain_port)
    if node.web_port:
        web_host = node.web_host.lower()
        # A host that is not the node's may be the loopback of each machine.
        place = host if web_host == host else f"{web_host} of {host}"
        yield "web-port", node.web_port, (place, node.web_port)
    yield "data", node.data, os.path.realpath(node.data)
