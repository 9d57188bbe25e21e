"""chain.ini: what every mistake in it is answered with, in one line."""

import os
import tempfile
from pathlib import Path

import pytest
from chain_files import LEAST, error_of, write
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainchat.config import (
    ConfigError,
    load,
)

POSITION = (
    "1 to 32 lowercase letters, digits or '-', "
    "and not 'chain', 'clients', 'limits', 'accounts', 'storage', 'tls' or 'log'"
)
FOUNDING = f"one to three different positions, as chains of one to three work; each {POSITION}"
NAME = "1 to 32 letters, digits, '-', '_' or '.'"
PORT = "a whole number from 1 to 65535"
PORT_OR_NONE = f"{PORT}, or none"
FILE = "the path of a file; %p in it stands for the position"
HOST = "a host name or address, without spaces or commas"
SECONDS = "a number of seconds from 0.1 to 60"
LINE = "a whole number from 64 to 16384"
CONNECTIONS = "a whole number from 1 to 1000000"
NETWORKS = "addresses and networks between spaces, as in 127.0.0.0/8 10.1.2.3 ::1"
OCTETS = "a size as in 0 (off), 4096 (octets), 64 kB, 100 MB or 2 GB"
NODE_KEYS = (
    "host, client-host, chain-host, client-port, tls-port, chain-port, data, "
    "web-port, web-host, web-url"
)

# (what stands in LEAST, what is put in its place, what the error says after "FILE: ")
MISTAKES = [
    # syntax
    ("[chain]\n", "", "line 1: a [section] has to come before name = lab"),
    (LEAST, "", "[chain] the section is missing; name and founding are required"),
    ("[head]", "what", "line 4: what; allowed: [section], key = value, or a ; comment"),
    ("[head]", "= 3", "line 4: = 3; allowed: [section], key = value, or a ; comment"),
    ("[head]", "[head]\n[head]", "line 5: there is a section [head] already"),
    ("[head]", "[head]\ndata=a\nDATA=b", "line 6: [head] has data twice"),
    # sections and keys
    (
        "[chain]",
        "[chian]",
        "[chain] the section is missing (is [chian] meant to be it?);"
        " name and founding are required",
    ),
    (
        "[middle]",
        "[midle]",
        "[middle] the section is missing (is [midle] meant to be it?);"
        " founding names this position",
    ),
    ("[tail]\n", "", "[tail] the section is missing; founding names this position"),
    ("name = lab\n", "", f"[chain] name is missing; allowed: {NAME}"),
    ("founding = head middle tail\n", "", f"[chain] founding is missing; allowed: {FOUNDING}"),
    (
        "name = lab",
        "name = lab\nrefusal-is-death = No",
        "[chain] refusal-is-death = No; allowed: yes or no",
    ),
    (
        "name = lab",
        "name = lab\nsuspect_after = 1",
        "[chain] suspect_after is unknown (is suspect-after meant?);"
        " allowed: name, founding, suspect-after, rejoin-pause, refusal-is-death",
    ),
    (
        "[head]",
        "[clients]\nmaxline = 1024\n[head]",
        "[clients] maxline is unknown (is max-line meant?); allowed: max-line, max-connections",
    ),
    (
        "[head]",
        "[head]\nport = 7001",
        f"[head] port is unknown (is web-port meant?); allowed: {NODE_KEYS}",
    ),
    (
        "[head]",
        "[client]\nmax-line = 1024\n[head]",
        f"[client] max-line is unknown (it belongs in [clients]); allowed: {NODE_KEYS}",
    ),
    ("[head]", "[head]\nzzz = 1", f"[head] zzz is unknown; allowed: {NODE_KEYS}"),
    ("[tail]", "[tail]\n[spare]", f"[spare] client-port is missing; allowed: {PORT_OR_NONE}"),
    (
        "[tail]",
        "[tail]\n[spare]\nclient-port = 1",
        f"[spare] chain-port is missing; allowed: {PORT}",
    ),
    ("[tail]", "[tail]\n[Spare]", f"[Spare] is not the name of a position: {POSITION}"),
    ("[tail]", "[tail]\n[DEFAULT]", f"[DEFAULT] is not the name of a position: {POSITION}"),
    # the chain itself
    ("lab", "", f"[chain] name = ; allowed: {NAME}"),
    ("lab", "my lab", f"[chain] name = my lab; allowed: {NAME}"),
    ("lab", "%(founding)s", f"[chain] name = %(founding)s; allowed: {NAME}"),
    ("lab", "x" * 33, f"[chain] name = {'x' * 33}; allowed: {NAME}"),
    ("lab", "x" * 99, f"[chain] name = {'x' * 60}…; allowed: {NAME}"),
    ("lab", "l\u00e4b", f"[chain] name = l\u00e4b; allowed: {NAME}"),
    ("lab", "l\u2028b", f"[chain] name = l\\u2028b; allowed: {NAME}"),
    (
        "founding",
        "  founding",
        f"[chain] name = lab\\nfounding = head middle tail; allowed: {NAME};"
        " an indented line continues the one before it",
    ),
    ("head middle tail", "", f"[chain] founding = ; allowed: {FOUNDING}"),
    ("head middle tail", "a b c d", f"[chain] founding = a b c d; allowed: {FOUNDING}"),
    ("head middle tail", "a b a", f"[chain] founding = a b a; allowed: {FOUNDING}"),
    ("head middle tail", "a chain", f"[chain] founding = a chain; allowed: {FOUNDING}"),
    ("head middle tail", "a clients", f"[chain] founding = a clients; allowed: {FOUNDING}"),
    ("head middle tail", "a B", f"[chain] founding = a B; allowed: {FOUNDING}"),
    ("head middle tail", "a,b", f"[chain] founding = a,b; allowed: {FOUNDING}"),
    ("head middle tail", "a" * 33, f"[chain] founding = {'a' * 33}; allowed: {FOUNDING}"),
    *(
        (
            "name = lab",
            f"name = lab\nsuspect-after = {bad}",
            f"[chain] suspect-after = {bad}; allowed: {SECONDS}",
        )
        for bad in ("", "soon", "nan", "inf", "1e1", "-1", "0.09", "60.1", "1 s", "1_0", "\u0661")
    ),
    # its clients
    *(
        ("[head]", f"[clients]\n{key} = {bad}\n[head]", f"[clients] {key} = {bad}; allowed: {kind}")
        for key, kind, values in (
            ("max-line", LINE, ("", "63", "16385", "1k", "1_024", "-64", "1024.0")),
            ("max-connections", CONNECTIONS, ("", "0", "1000001", "9" * 12, "many")),
        )
        for bad in values
    ),
    # their limits, and the disk
    (
        "[head]",
        "[clients]\nper-address = 9\n[head]",
        "[clients] per-address is unknown (it belongs in [limits]);"
        " allowed: max-line, max-connections",
    ),
    (
        "[head]",
        "[storage]\nstopp = 1 GB\n[head]",
        "[storage] stopp is unknown (is stop meant?); allowed: stop, keep, keep-unread",
    ),
    *(
        (
            "[head]",
            f"[{section}]\n{key} = {bad}\n[head]",
            f"[{section}] {key} = {bad}; allowed: {kind}",
        )
        for section, key, kind, values in (
            ("limits", "per-address", CONNECTIONS, ("", "0", "1000001", "many")),
            *(
                ("limits", key, "a whole number from 0 to 1000000", ("", "-1", "1000001", "none"))
                for key in ("connects-per-minute", "new-accounts", "send-rate")
            ),
            *(
                ("limits", key, CONNECTIONS, ("", "0", "1000001"))
                for key in ("most-accounts", "send-burst")
            ),
            (
                "limits",
                "exempt",
                NETWORKS,
                ("localhost", "127.0.0.1/8", "10.0.0.0/33", "10.0.0.1, ::1", "fe80::1%eth0", "10"),
            ),
            (
                "storage",
                "stop",
                OCTETS,
                ("", "off", "-1", "1.5 GB", "100 mb", "1 TB", "100 MiB", "1234567890", "\u0661 MB"),
            ),
        )
        for bad in values
    ),
    # positions
    *(
        ("[head]", f"[head]\n{key} = {bad}", f"[head] {key} = {bad}; allowed: {kind}")
        for key, kind in (
            ("client-port", PORT_OR_NONE),
            ("tls-port", PORT_OR_NONE),
            ("chain-port", PORT),
        )
        for bad in ("", "0", "65536", "-1", "http", "7001.0", "\u0667")
    ),
    *(
        ("[head]", f"[head]\nhost = {bad}", f"[head] host = {bad}; allowed: {HOST}")
        for bad in ("", "my host", "a,b")
    ),
    ("[head]", "[head]\ndata =", "[head] data = ; allowed: the path of a folder"),
    ("[head]", "[head]\ndata = a\0b", "[head] data = a\\x00b; allowed: the path of a folder"),
    (
        "[head]",
        "[head]\nclient-port = none",
        "[head] client-port = none needs a tls-port, or nobody can talk to this node",
    ),
    # TLS
    ("[head]", "[tls]\nchain = on\n[head]", "[tls] chain = on; allowed: yes or no"),
    ("[head]", "[tls]\nkey =\n[head]", f"[tls] key = ; allowed: {FILE}"),
    *(
        (
            "[head]",
            f"[tls]\n{key} = file\n[head]",
            "[tls] client-certificate and client-key go together; name both or none",
        )
        for key in ("client-certificate", "client-key")
    ),
    # what two cannot share
    (
        "[head]",
        "[head]\ntls-port = 7001",
        "[head] tls-port = 7001 is what [head] client-port has; choose another",
    ),
    (
        "[middle]",
        "[middle]\nclient-port = 7001",
        "[middle] client-port = 7001 is what [head] client-port has; choose another",
    ),
    (
        "[head]",
        "[head]\nclient-port = 7002",
        "[middle] client-port = 7002 is what [head] client-port has; choose another",
    ),
    (
        "[tail]",
        "[tail]\nclient-port = 7101",
        "[tail] client-port = 7101 is what [head] chain-port has; choose another",
    ),
    (
        "[head]",
        "[head]\nhost = Lab\nclient-port = 9\nchain-port = 9",
        "[head] chain-port = 9 is what [head] client-port has; choose another",
    ),
    (
        "[middle]",
        "[middle]\ndata = x/../var/head",
        "[middle] data = FOLDER/var/head is what [head] data has; choose another",
    ),
    (
        "[middle]",
        "[middle]\nweb-port = 7102",
        "[middle] web-port = 7102 is what [middle] chain-port has; choose another",
    ),
    (
        "[middle]",
        "[middle]\nweb-url = chat.example.org",
        "[middle] web-url = chat.example.org; allowed: where people find the page, as in "
        "https://chat.example.org/head/",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_in_one_line_with_file_section_key_value_and_what_is_allowed(
    tmp_path, old, new, message
):
    assert old in LEAST
    path = write(tmp_path, LEAST.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {message.replace('FOLDER', str(tmp_path))}"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.ini")
    assert str(caught.value) == f"{tmp_path}/none.ini: there is no such file"


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a folder; name the chain.ini in it"


def test_a_file_below_a_file_cannot_be_read(tmp_path):
    path = write(tmp_path, LEAST) / "chain.ini"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: cannot be read: Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_named(tmp_path):
    path = write(tmp_path, LEAST)
    path.chmod(0)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: cannot be read: Permission denied"


def test_a_file_that_is_not_utf8_is_told_with_the_line(tmp_path):
    path = write(tmp_path, LEAST.encode() + b"[sp\xe4re]\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: line 7 is not UTF-8"


def test_a_data_folder_that_is_a_link_to_that_of_another_is_refused(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var/tail").symlink_to(tmp_path / "var/head")
    with pytest.raises(ConfigError, match=r"\[tail\] data = .* is what \[head\] data has"):
        load(write(tmp_path, LEAST))


PIECES = [
    *LEAST.splitlines(keepends=True),
    *("[", "]", "=", ";", "#", "%(name)s", "\\", "\0", "\r", "\x85", "\u2028", "\t", " ", "7001"),
    *("[clients]", "max-line", "client-port = ", "data = ", "host = ", "\n", "\n  "),
]


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join), st.binary()))
@example(LEAST + "[a\x85b]\n")
@example(LEAST + "host\u2028= 1\n")
def test_no_text_whatever_gets_more_than_a_one_line_error(text):
    with tempfile.TemporaryDirectory() as folder:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        path = write(Path(folder), data)
        message = error_of(path)
        assert message is None or message.startswith(f"{path}: ")
        assert message is None or len(message.splitlines()) == 1
