"""Certificates and keys from files: whatever is wrong with one is told in one line."""

import os

import pytest
from certificates import Authority, written
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from chainchat.tls.credentials import CredentialsError, load

AUTHORITY = Authority()


@pytest.fixture
def folder(tmp_path):
    written(AUTHORITY.of("head"), tmp_path)
    return tmp_path


def read(folder):
    return load(folder / "node.crt", folder / "node.key", folder / "ca.crt")


def problem(folder):
    with pytest.raises(CredentialsError) as caught:
        read(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{folder}/", "")


def test_all_certificates_of_a_file_are_read_the_own_one_first(folder):
    intermediate, other = Authority(), Authority()
    with (folder / "node.crt").open("ab") as file:
        file.write(intermediate.pem)
    with (folder / "ca.crt").open("ab") as file:
        file.write(other.pem)
    found = read(folder)
    assert found.certificates[1:] == (intermediate.certificate,)
    assert found.authorities == (AUTHORITY.certificate, other.certificate)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_key_that_others_can_read_is_refused(folder, mode):
    key = folder / "node.key"
    key.chmod(mode)
    if key.stat().st_uid == 0 and mode == 0o640:  # as Debian has it: root's, for one group
        assert read(folder)
        return
    assert problem(folder) == f"node.key: others can read this key (mode {mode:o}): chmod 600 it"


@pytest.mark.parametrize(
    ("file", "octets", "said"),
    [
        ("node.crt", b"", "node.crt: holds no certificates in PEM"),
        ("ca.crt", b"-----BEGIN CERTIFICATE-----\n", "ca.crt: holds no certificates in PEM"),
        ("node.key", b"\xff", "node.key: holds no private key in PEM"),
        ("node.crt", None, "node.crt: No such file or directory"),
        ("ca.crt", None, "ca.crt: No such file or directory"),
        ("node.key", None, "node.key: No such file or directory"),
        ("node.crt", "mkfifo", "node.crt: this is a pipe or a device; name a file"),
        ("node.crt", "/dev/zero", "node.crt: this is a pipe or a device; name a file"),
    ],
)
def test_a_file_that_is_none_is_told(folder, file, octets, said):
    if octets is None:
        (folder / file).unlink()
    elif octets == "mkfifo":
        (folder / file).unlink()
        os.mkfifo(folder / file)
    elif octets == "/dev/zero":
        (folder / file).unlink()
        (folder / file).symlink_to(octets)
    else:
        (folder / file).write_bytes(octets)
    assert problem(folder) == said


def test_the_key_of_another_certificate_is_told(folder):
    key = (folder / "node.key").read_bytes()
    written(AUTHORITY.of("tail"), folder)
    (folder / "node.key").write_bytes(key)
    assert "node.key: is not the key of node.crt" in problem(folder).replace(f"{folder}/", "")


def test_a_key_with_a_passphrase_is_told(folder):
    key = AUTHORITY.of("head").key
    locked = BestAvailableEncryption(b"secret")
    (folder / "node.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    assert problem(folder).startswith("node.key: the key has a passphrase")


def test_a_key_that_signs_nothing_is_told(folder):
    key = x25519.X25519PrivateKey.generate()
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "node.key").write_bytes(octets)
    assert problem(folder) == "node.key: a key of this kind signs nothing; make an EC or RSA key"
