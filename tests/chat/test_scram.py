"""SCRAM-SHA-256: the example of RFC 7677, another library as the other side, and nonsense."""

import base64
import string

import pytest
import scramp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chainchat.chat import scram
from chainchat.chat.accounts import Verifier

deterministic = settings(derandomize=True, max_examples=150, deadline=None)

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
FIRST = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CHALLENGE = f"r=rOprNGfwEbeRWgbNEkqO{NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = f"c=biws,r=rOprNGfwEbeRWgbNEkqO{NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def kept(password, salt=SALT, iterations=4096):
    return scram.verifier_of(scram.salted(password, salt, iterations), salt, iterations)


@pytest.fixture(scope="module")
def pencil():
    return kept("pencil")


def exchange(verifier):
    return scram.Exchange(scram.ClientFirst.read(FIRST), verifier, NONCE)


def test_the_example_of_rfc_7677(pencil):
    begun = exchange(pencil)
    assert begun.challenge == CHALLENGE
    assert begun.signature(FINAL) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_typed_password_and_a_proof_meet_the_same_verifier(pencil):
    assert scram.admits(pencil, scram.salted("pencil", SALT, 4096))
    assert not scram.admits(pencil, scram.salted("pencils", SALT, 4096))


@pytest.mark.parametrize("password", ["pencil", "correct horse", "päßwörd", "\u2168 nine", "שלום"])
def test_another_library_proves_what_this_one_keeps(password):
    client = scramp.ScramClient(["SCRAM-SHA-256"], "user", password, c_nonce="clientnonce")
    begun = scram.Exchange(
        scram.ClientFirst.read(client.get_client_first()), kept(scram.prepared(password)), NONCE
    )
    client.set_server_first(begun.challenge)
    client.set_server_final(begun.signature(client.get_client_final()))


def test_another_library_keeps_the_same(pencil):
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    salt, stored, server, iterations = mechanism.make_auth_info("pencil", 4096, salt=SALT)
    assert Verifier(salt, iterations, stored, server) == pencil


def test_another_password_proves_nothing(pencil):
    client = scramp.ScramClient(["SCRAM-SHA-256"], "user", "pencils", c_nonce="clientnonce")
    begun = scram.Exchange(scram.ClientFirst.read(client.get_client_first()), pencil, NONCE)
    client.set_server_first(begun.challenge)
    with pytest.raises(scram.WrongProofError):
        begun.signature(client.get_client_final())


def test_no_password_fits_a_decoy_which_is_always_the_same_for_a_name():
    decoy = scram.decoy(b"secret", "Bob")
    assert decoy == scram.decoy(b"secret", "bob") != scram.decoy(b"secret", "eve")
    assert decoy.salt != scram.decoy(b"another", "bob").salt
    assert len(decoy.salt) == scram.SALT_OCTETS
    assert decoy.iterations == scram.ITERATIONS
    assert not scram.admits(decoy, scram.salted("", decoy.salt, 1))
    begun = exchange(decoy)
    with pytest.raises(scram.WrongProofError):
        begun.signature(FINAL)


@pytest.mark.parametrize(
    "first",
    [
        "",
        "n=user,r=rOprNGfwEbeRWgbNEkqO",
        "n,,n=user",
        "n,,n=user,r=short",
        "n,,n=user,r=with,comma",
        "n,,n=,r=rOprNGfwEbeRWgbNEkqO",
        "n,,m=must,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "n,a=somebody,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "p=tls-unique,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO\n",
    ],
)
def test_what_is_no_first_message_is_refused(first):
    with pytest.raises(scram.BrokenExchangeError):
        scram.ClientFirst.read(first)


def test_a_client_that_could_bind_the_channel_and_names_itself_twice_is_heard():
    first = scram.ClientFirst.read("y,a=user,n=user,r=rOprNGfwEbeRWgbNEkqO,x=more")
    assert first.header == "y,a=user,"
    assert first.bare == "n=user,r=rOprNGfwEbeRWgbNEkqO,x=more"


@pytest.mark.parametrize(
    "final",
    [
        "",
        FINAL.replace("c=biws", "c=eSws"),
        FINAL.replace("c=biws", "c=biw"),
        FINAL.replace("hvY", "hvX"),
        FINAL.replace("rOpr", "Opr"),
        FINAL.partition(",p=")[0],
        FINAL.replace("p=", "p"),
        FINAL.replace("p=dHzb", "p=dHz"),
    ],
)
def test_what_belongs_to_no_exchange_is_refused(pencil, final):
    with pytest.raises(scram.BrokenExchangeError):
        exchange(pencil).signature(final)


@pytest.mark.parametrize("proof", [b"", b"x", b"x" * 31, b"x" * 32, b"x" * 64])
def test_a_made_up_proof_is_wrong_whatever_its_length(pencil, proof):
    encoded = base64.b64encode(proof).decode() or "===="
    with pytest.raises((scram.WrongProofError, scram.BrokenExchangeError)):
        exchange(pencil).signature(FINAL.partition(",p=")[0] + f",p={encoded}")


lines = st.text(st.sampled_from("nyp,=asrcvib" + string.ascii_letters + "+/0é\0"), max_size=80)


@given(lines | lines.map("n,,n=user,r=".__add__), lines | lines.map("c=biws,r=".__add__))
@example(FIRST, FINAL)
@deterministic
def test_nonsense_is_refused_and_never_a_bug(pencil, first, final):
    begun = exchange(pencil)
    try:
        begun = scram.Exchange(scram.ClientFirst.read(first), pencil, NONCE)
    except scram.BrokenExchangeError:
        assume(final != FINAL)
    try:
        begun.signature(final)
    except (scram.BrokenExchangeError, scram.WrongProofError):
        return
    assert (first, final) == (FIRST, FINAL)


# --- SASLprep ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I\u00adX", "IX"),  # the examples of RFC 4013, section 3
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
    ],
)
def test_what_looks_the_same_is_the_same_password(text, expected):
    assert scram.prepared(text) == expected


@pytest.mark.parametrize(
    "text", ["\x07", "\u0627\x31", "\ud800", "\ue000", "\U0001f600", "\u06271a"]
)
def test_what_no_password_can_hold_is_refused(text):
    with pytest.raises(ValueError, match=r"letters together|no password may hold"):
        scram.prepared(text)


def test_a_text_that_is_far_too_long_is_refused_before_it_costs_anything():
    assert scram.prepared("x" * scram.MOST_CHARACTERS)
    with pytest.raises(ValueError, match="so many characters"):
        scram.prepared("x" * (scram.MOST_CHARACTERS + 1))


def test_nor_does_a_short_one_cost_much_that_would_become_long():
    """U+FDFA becomes eighteen characters: 341 of them, which fit in a line, took 70 ms."""
    assert scram.prepared("\ufdfa" * 28)
    with pytest.raises(ValueError, match="so many characters"):
        scram.prepared("\ufdfa" * 29)


@given(st.text(max_size=12))
@deterministic
def test_another_library_prepares_the_same(text):
    def prepared(by):
        try:
            return by(text)
        except (ValueError, scramp.ScramException):
            return None

    assert prepared(scram.prepared) == prepared(scramp.core.saslprep)
