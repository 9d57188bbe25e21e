"""Who may do what: open rooms, invitations, operators, and lines that others can read."""

import pytest
from sessions_house import HELLO, one
from typists import (
    OTHER,
    SECRET,
    Typist,
    operator,
    person,
    proof,
    protected,
    question,
    question_again,
    rules,
    words,
)

from chainchat.chat.accounts import AccountRole, Verifier
from chainchat.chat.commands import Grant, Invite, Kick
from chainchat.config import NewAccounts, Plaintext


def test_in_an_open_room_everybody_deletes_everybody_unless_the_operator_says_no(house):
    house.client("bob")
    typist = person(house, "alice")
    rules(house, delete_others=False)
    assert typist.types("/delete bob yes") == b"-ERR 515 only operators may do that\r\n"
    rules(house, delete_others=True)
    assert typist.types("/delete bob yes") == b"+OK bob is deleted\r\n"


def test_who_is_in_is_not_told_of_accounts_when_the_old_password_is_wrong(house):
    typist = person(house, "alice", "/password", SECRET, SECRET)
    typist.types()
    rules(house, new=NewAccounts.INVITED)
    typist.types("/password")
    assert typist.types(OTHER, after=1).startswith(b"-ERR 512 wrong password: try again\r\n")


@pytest.mark.parametrize("mode", [NewAccounts.INVITED, NewAccounts.CLOSED])
def test_where_accounts_are_made_by_invitation_people_delete_only_themselves(house, mode):
    house.client("bob")
    typist = person(house, "alice")
    rules(house, new=mode)
    assert b"-ERR 515" in typist.types("/delete bob yes")
    assert b"+OK alice is deleted" in typist.types("/delete alice yes")


@pytest.mark.parametrize("mode", [NewAccounts.INVITED, NewAccounts.CLOSED])
def test_where_accounts_are_made_by_invitation_no_name_is_new_to_strangers(house, mode):
    protected(house, "alice")
    rules(house, new=mode)
    typist = Typist(house.client())
    assert b"* Type your name to log in; accounts are made by invitation." in typist.types()
    assert typist.types("nobody") == question("nobody")
    text = b"-ERR 512 wrong password, or no such account: accounts are made by invitation\r\n"
    assert typist.types(SECRET, after=1) == text + question_again("nobody")
    client = house.client(HELLO)
    assert one(client.says("@1 LOGIN nobody")[-1:]).startswith("-ERR 513 @1 ")
    for name in ("alice", "nobody"):
        text = f"-ERR 532 @2 this token does not resume {name}; log in"
        assert client.says(f"@2 RESUME {name} TOKEN after=0") == [text]
    assert house.node.state.account_named("nobody") is None


def test_who_has_no_password_logs_in_whatever_the_mode(house):
    house.client("alice").says("/logout")
    rules(house, new=NewAccounts.INVITED)
    assert b"+OK you are alice" in person(house).types("alice")


def invited(said):
    return said.decode().strip().rpartition(": ")[2]


def test_an_invitation_admits_to_choose_a_password_and_nothing_else(house):
    root = operator(house)
    rules(house, new=NewAccounts.INVITED)
    said = root.types("/invite bob")
    assert said.startswith(b"+OK the password of bob, to choose another with, shown only this once")
    secret = invited(said)
    client = house.client(HELLO)
    assert proof(client, "bob", secret).startswith("+OK")
    text = "-ERR 513 @1 bob needs a password of its own first"
    assert one(client.says("@1 LOGIN bob")) == text
    bob = person(house, "bob")
    assert b"* choose a password for bob (8 to 128 characters;" in bob.types(secret)
    assert b"the same again" in bob.types(OTHER)
    assert b"+OK you are bob" in bob.types(OTHER)
    again = person(house, "bob")
    assert b"-ERR 512" in again.types(secret, after=1)


def test_of_two_who_have_an_invitation_one_chooses_the_password(house):
    secret = invited(operator(house).types("/invite bob"))
    first, second = person(house, "bob", secret), person(house, "bob", secret)
    program = house.client(HELLO)
    assert proof(program, "bob", secret).startswith("+OK")
    first.types(OTHER)
    second.types("staple battery")
    assert b"+OK you are bob" in first.types(OTHER)
    assert b"-ERR 434" in second.types("staple battery")
    assert one(program.says(f"@1 SECRET {words('staple battery')}")).startswith("-ERR 434")
    assert one(program.says("@2 LOGIN bob")).startswith("-ERR 434")
    first.types("/logout")
    for wrong in ("staple battery", secret):
        assert b"-ERR 512" in person(house, "bob").types(wrong, after=1)


def test_who_chose_no_password_after_an_invitation_is_asked_again(house):
    secret = invited(operator(house).types("/invite bob"))
    bob = person(house, "bob", secret)
    assert b"-ERR 513 bob needs a password of its own" in bob.types("")
    assert bob.types("bob") == question("bob")


def test_an_operator_whose_session_ends_meanwhile_invites_nobody(house):
    root = operator(house)
    house.hashing.held = True
    root.types("/invite bob")
    house.sessions.flush = lambda: False  # other clients take the turn's whole time
    house.node.submit(Kick("", "root"))
    house.clock.advance(0)
    assert root.session.is_open
    house.hashing.go_on()
    root.types()
    assert house.node.state.account_named("bob") is None


def test_an_invited_program_sets_its_password_before_the_login(house):
    root = operator(house)
    secret = invited(root.types("/invite bob"))
    client = house.client(HELLO)
    assert proof(client, "bob", secret).startswith("+OK")
    assert client.says(f"@1 SECRET {words(OTHER)}") == ["+OK @1"]
    assert client.says("@2 LOGIN bob")[0].startswith("+OK @2 session=")


def test_who_leaves_the_choice_is_not_logged_in_and_may_come_again(house):
    secret = invited(operator(house).types("/invite bob"))
    bob = person(house, "bob", secret)
    assert b"-ERR 513 bob needs a password of its own: type a name to log in" in bob.types("")
    assert b"* choose a password for bob" in person(house, "bob").types(secret)


def test_in_a_closed_room_the_password_of_the_operator_stays(house):
    root = operator(house)
    rules(house, new=NewAccounts.CLOSED)
    said = root.types("/invite bob")
    assert said.startswith(b"+OK the password of bob, until it is changed, shown only this once: ")
    assert b"+OK you are bob" in person(house, "bob").types(invited(said))


def test_an_account_that_is_somebodys_is_not_invited_and_can_be_reset(house):
    root = operator(house)
    bob = person(house, "bob", "/password", SECRET, SECRET)
    said = root.types("/invite bob")
    assert said == b"-ERR 433 there is an account bob: /password reset bob is for it\r\n"
    secret = invited(root.types("/password reset bob"))
    assert bob.types().endswith(b"* root has given bob another password\r\n")
    assert bob.connection.closed
    assert b"* choose a password for bob" in person(house, "bob").types(secret)


def test_an_operator_makes_operators_and_kicks(house):
    root = operator(house)
    bob = person(house, "bob", "/password", SECRET, SECRET)
    assert bob.types("/kick root") == b"-ERR 515 only operators may do that\r\n"
    assert bob.types("/invite eve") == b"-ERR 515 only operators may do that\r\n"
    assert bob.types("/password reset root") == b"-ERR 515 only operators may do that\r\n"
    assert bob.types("/operator bob on") == b"-ERR 515 only operators may do that\r\n"
    assert root.types("/operator bob on") == b"+OK bob is an operator now\r\n"
    assert b"+OK the session of root is ended\r\n" in bob.types("/kick root")
    assert root.types().endswith(b"* bob ended your session\r\n")
    assert root.connection.closed
    assert bob.types("/kick root") == b"+OK root is not on: nothing is ended\r\n"
    assert bob.types("/operator bob off") == b"+OK bob is no operator now\r\n"
    house.client("eve")
    assert b"-ERR 515" in bob.types("/kick eve")


def test_no_other_program_does_what_operators_do(house):
    operator(house)
    eve = house.program("eve")
    eve.reads()
    for verb in ("INVITE bob", "RESET root", "OPERATOR eve on", "KICK root", "OPERATOR root off"):
        assert one(eve.says(f"@1 {verb}")) == "-ERR 515 @1 only operators may do that"
        assert one(house.client(HELLO).says(f"@1 {verb}")[-1:]) == "-ERR 510 @1 log in first"
    assert not house.node.state.account_named("eve").role
    assert house.node.state.account_named("root").session


def operators_program(house):
    protected(house, "root")
    house.node.submit(Grant("", "root", AccountRole.OPERATOR))
    client = house.client(HELLO)
    proof(client, "root", SECRET)
    client.says("@l LOGIN root quiet")
    return client


def test_an_operator_whose_role_is_taken_meanwhile_is_refused_when_it_is_applied(house):
    client = operators_program(house)
    house.node.submit(Grant("", "root", AccountRole.USER))  # not applied yet
    house.client("eve")
    client.sends("@1 KICK eve", "@2 OPERATOR eve on", "@3 RESET eve")
    assert [line[:8] for line in client.reads(1)] == ["-ERR 515"] * 3
    assert house.node.state.account_named("eve").session


def test_a_program_is_shown_no_password_where_others_can_read_it(house):
    client = operators_program(house)
    rules(house, plaintext=Plaintext.REFUSE)
    assert one(client.says("@1 INVITE bob")).startswith("-ERR 507 @1 passwords are not taken here")
    assert house.node.state.account_named("bob") is None


def test_programs_of_operators_do_what_operators_type(house):
    operator(house).types("/logout")
    root = house.client(HELLO)
    assert proof(root, "root", SECRET).startswith("+OK")
    root.says("@1 LOGIN root")
    secret = one(root.says("@2 INVITE bob")).removeprefix("+OK @2 password=")
    bob = person(house, "bob")
    assert b"* choose a password for bob" in bob.types(secret)
    bob.types(OTHER)
    assert b"+OK you are bob" in bob.types(OTHER)
    text = "-ERR 433 @3 there is an account bob: RESET bob is for it"
    assert root.says("@3 INVITE bob")[-1] == text
    assert root.says("@4 OPERATOR bob on")[-1] == "+OK @4"
    assert house.node.state.account_named("bob").role is AccountRole.OPERATOR
    assert root.says("@5 OPERATOR bob off")[-1] == "+OK @5"
    assert root.says("@6 KICK bob")[0] == "+OK @6"
    assert bob.types().endswith(b"* root ended your session\r\n")
    secret = one(root.says("@7 RESET bob")).removeprefix("+OK @7 password=")
    assert b"* choose a password for bob" in person(house, "bob").types(secret)


def test_nobody_new_is_invited_under_a_name_that_deceives(house):
    root = operator(house)
    for name in ("server", "solo", "S.0lo"):
        assert root.types(f"/invite {name}").startswith(b"-ERR 524 nobody can be named ")
    assert root.types("/invite r00t").startswith(b"-ERR 523 root has an account already")
    house.node.submit(Invite("", "system", Verifier(b"salt", 4096, b"", b"")))  # as was possible
    assert b"+OK the password of system, " in root.types("/password reset system")
    assert not house.node.state.account_named("r00t")


def test_nobody_becomes_an_operator_without_a_password(house):
    root = operator(house)
    person(house, "bob")
    text = b"-ERR 513 bob needs a password of its own first\r\n"
    assert root.types("/operator bob on") == text


@pytest.mark.parametrize(
    ("plaintext", "tls", "address", "encrypted", "taken"),
    [
        (Plaintext.AUTO, "", "10.0.0.9", False, True),
        (Plaintext.AUTO, "10.0.0.1:7201", "10.0.0.9", False, False),
        (Plaintext.AUTO, "10.0.0.1:7201", "127.0.0.1", False, True),
        (Plaintext.AUTO, "10.0.0.1:7201", "10.0.0.9", True, True),
        (Plaintext.ALLOW, "10.0.0.1:7201", "10.0.0.9", False, True),
        (Plaintext.REFUSE, "10.0.0.1:7201", "127.0.0.1", False, False),
        (Plaintext.REFUSE, "", "127.0.0.1", False, False),
        (Plaintext.REFUSE, "", "10.0.0.9", True, True),
    ],
)
def test_a_password_is_typed_where_others_cannot_read_it(  # noqa: PLR0917 - a table
    house, plaintext, tls, address, encrypted, taken
):
    protected(house, "alice")
    rules(house, plaintext=plaintext)
    house.guard.tls = tls
    typist = person(house)
    typist.connection.address, typist.connection.encrypted = address, encrypted
    said = typist.types("alice")
    if taken:
        assert said == question("alice")
    else:
        place = f"over TLS only, at {tls}" if tls else "are not taken here"
        assert said.startswith(b"-ERR 507 passwords are ")
        assert place in said.decode()
    client = house.client(HELLO)
    client.connection.address, client.connection.encrypted = address, encrypted
    assert proof(client, "alice", SECRET).startswith("+OK")  # nothing to read
    said = one(client.says(f"@s SECRET {words(OTHER)}"))
    assert said == "+OK @s" if taken else said.startswith("-ERR 507 @s passwords are ")
    assert one(client.says("@n SECRET none")) == "+OK @n"
