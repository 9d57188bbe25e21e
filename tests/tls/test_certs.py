"""chainchat-certs: folders ready to copy, that everybody's tools accept and nobody overwrites."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chainchat import config
from chainchat.tls.certs import main
from chainchat.tls.credentials import read_certificates
from chainchat.tls.identity import names
from chainchat.tls.node import read

LEAST = """\
[chain]
name = lab
founding = head tail
[tls]
chain = yes
[head]
host = 10.0.0.1
tls-port = 7201
[tail]
host = tail.example.org
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "chain.ini").write_text(LEAST)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)  # the command narrows it
    yield tmp_path / "tls"
    os.umask(before)


def files(folder):
    """Every file, with its content and mode."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_one_command_makes_all_that_the_chain_needs(folder, capsys):
    assert main([]) == 0
    found = files(folder)
    assert sorted(found) == [
        *("ca.crt", "ca.key"),
        *("head/ca.crt", "head/node.crt", "head/node.key"),
        *("tail/ca.crt", "tail/node.crt", "tail/node.key"),
    ]
    assert {mode for _, mode in found.values()} == {0o600}
    assert (folder / "head").stat().st_mode & 0o777 == 0o700
    settings = config.load(Path("chain.ini"))
    assert read(settings, "head", "10.0.0.1").clients is not None
    assert read(settings, "tail", "10.0.0.2").chain is not None
    assert f"copy {folder}/head to its machine" in capsys.readouterr().out


def test_certificates_name_position_and_host_and_last_ten_years_from_1970(folder):
    main(["--name", "chat.example.org"])
    [head] = read_certificates(folder / "head/node.crt")
    [tail] = read_certificates(folder / "tail/node.crt")
    assert names(head) == ("head.lab.chainchat", "chat.example.org", "10.0.0.1")
    assert names(tail) == ("tail.lab.chainchat", "tail.example.org", "chat.example.org")
    assert head.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    left = head.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=3_640) < left < timedelta(days=3_660)


def test_a_host_of_its_own_for_clients_is_named_too(folder, capsys):
    path = Path("chain.ini")
    path.write_text(LEAST.replace("host = 10.0.0.1", "host = 10.0.0.1\nclient-host = FD00:0::1"))
    assert main([]) == 0
    [made] = read_certificates(folder / "head/node.crt")
    assert names(made) == ("head.lab.chainchat", "10.0.0.1", "fd00::1")
    assert main([]) == 0
    path.write_text(LEAST.replace("host = 10.0.0.1", "host = 10.0.0.1\nclient-host = fd00::2"))
    assert main([]) == 1
    assert "does not name fd00::2; --renew head makes another" in capsys.readouterr().out


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_them_strictly_for_both_ends(folder, skip_or_fail, purpose):
    if shutil.which("openssl") is None:
        skip_or_fail("openssl is not installed")
    main([])
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "tls/ca.crt"]
    for position in ("head", "tail"):
        done = subprocess.run(
            [*command, f"tls/{position}/node.crt"], capture_output=True, check=False
        )
        assert done.stdout == f"tls/{position}/node.crt: OK\n".encode(), done


def test_a_ca_signs_for_no_other_ca(folder, skip_or_fail):
    if shutil.which("openssl") is None:
        skip_or_fail("openssl is not installed")
    main([])
    done = subprocess.run(
        ["openssl", "x509", "-in", "tls/ca.crt", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CA:TRUE, pathlen:0" in done.stdout


def test_a_second_run_changes_nothing_and_makes_what_is_missing(folder):
    main([])
    before = files(folder)
    assert main([]) == 0
    assert files(folder) == before
    shutil.rmtree(folder / "tail")
    assert main([]) == 0
    assert {p: f for p, f in files(folder).items() if not p.startswith("tail")} == {
        path: file for path, file in before.items() if not path.startswith("tail")
    }


def test_renewing_keeps_the_old_files_and_the_names_of_clients(folder):
    main(["--name", "chat.example.org"])
    before = files(folder)
    assert main(["--renew", "head"]) == 0
    after = files(folder)
    assert after["head/node.key.1"] == before["head/node.key"]
    assert after["head/node.crt.1"] == before["head/node.crt"]
    assert after["head/node.key"] != before["head/node.key"]
    assert after["tail/node.key"] == before["tail/node.key"]
    [head] = read_certificates(folder / "head/node.crt")
    assert names(head) == ("head.lab.chainchat", "chat.example.org", "10.0.0.1")
    assert main(["--renew", "head"]) == 0
    assert files(folder)["head/node.key.2"] == after["head/node.key"]


def test_a_certificate_that_does_not_fit_chain_ini_any_more_is_told(folder, capsys):
    main([])
    Path("chain.ini").write_text(LEAST.replace("10.0.0.1", "10.0.0.9"))
    capsys.readouterr()
    assert main([]) == 1
    said = capsys.readouterr().out
    assert "head.lab.chainchat, 10.0.0.1, not for its host 10.0.0.9; --renew head" in said
    assert main(["--renew", "head"]) == 0
    [head] = read_certificates(folder / "head/node.crt")
    assert names(head) == ("head.lab.chainchat", "10.0.0.9")
    assert main(["--name", "chat.example.org"]) == 1
    assert "does not name chat.example.org; --renew head makes" in capsys.readouterr().out


def test_without_the_key_of_the_ca_nothing_is_signed(folder, capsys):
    main([])
    (folder / "ca.key").unlink()
    before = files(folder)
    assert main([]) == 0
    assert main(["--renew", "head"]) == 1
    assert "ca.key: is not here" in capsys.readouterr().err
    assert files(folder) == before


def test_a_ca_file_with_two_cas_signs_with_the_one_whose_key_is_there(folder):
    main([])
    old = (folder / "ca.crt").read_bytes()
    for name in ("ca.crt", "ca.key"):
        (folder / name).unlink()
    assert main([]) == 1  # what is there is of another CA
    (folder / "ca.crt").write_bytes(old + (folder / "ca.crt").read_bytes())
    assert main(["--renew", "head", "--renew", "tail"]) == 0
    assert len(read_certificates(folder / "head/ca.crt")) == 2
    assert read(config.load(Path("chain.ini")), "head", "10.0.0.1").chain is not None


def test_show_shows_and_changes_nothing(folder, capsys):
    main([])
    before = files(folder)
    capsys.readouterr()
    assert main(["--show"]) == 0
    said = capsys.readouterr().out
    assert f"{folder}/ca.crt: for the CA, until 20" in said
    assert f"{folder}/head/node.crt: for head.lab.chainchat, 10.0.0.1, until 20" in said
    assert files(folder) == before
    shutil.rmtree(folder / "tail")
    main(["--show"])
    assert f"{folder}/tail/node.crt: is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--renew", "nobody"], "--renew nobody: {folder}/chain.ini has: head, tail"),
        (["--name", "*.example.org"], "'*.example.org' is not a name of one host (no wildcards)"),
        (["--config", "none.ini"], "{folder}/none.ini: there is no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, capsys, options, said):
    try:
        status = main(options)
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    error = capsys.readouterr().err
    assert said.format(folder=folder.parent) in error
    assert error.count("\n") == 1
