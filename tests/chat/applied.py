"""The chat's state as nodes have it: entries applied one after the other, snapshots stored."""

from chainchat.chat.bounds import USUAL_BOUNDS
from chainchat.chat.commands import TO_EVERYBODY, Login, Origins, Say, Saying, origin_of
from chainchat.chat.outcomes import Accepted
from chainchat.chat.records import DIGEST_OCTETS
from chainchat.chat.state import ChatState

HERE, THERE = "a.1", "b.1"
START = 1_000


def names(state):
    """The names of all accounts, sorted regardless of case."""
    return [account.name for account in state.accounts_after("", len(state.accounts))]


def present(state):
    """The names of those who are on, likewise."""
    return [account.name for account in state.present_after("", len(state.accounts))]


class Stored:
    """The newest records of a state's snapshots, as storage keeps them."""

    def __init__(self, bounds=USUAL_BOUNDS):
        self.bounds = bounds
        self.records = {}
        self.header = b""

    def write(self, snapshot, meanwhile=lambda: None):
        """Write a snapshot; ``meanwhile`` runs between two records."""
        keys = set()
        for key, data in snapshot.records:
            assert key not in keys  # storage has room for one version besides the last
            keys.add(key)
            self.records[key] = data
            meanwhile()
        self.records = {key: data for key, data in self.records.items() if data}
        self.header = snapshot.header()
        return self.header[:DIGEST_OCTETS]

    def restored(self, state):
        self.write(state.snapshot())
        return self.again()

    def again(self):
        return ChatState.restored(self.header, sorted(self.records.items()), self.bounds)


class Log:
    """Applies commands as the chain does: numbered in all, and by each origin."""

    def __init__(self, *origins, bounds=USUAL_BOUNDS):
        self.state = ChatState(bounds)
        self.time = START
        self.numbers = dict.fromkeys(origins, 0)
        if origins:
            self.open(*origins)

    def open(self, *origins):
        return self.state.apply(self.next, "", 0, self.time, Origins(origins))

    @property
    def next(self):
        return self.state.applied + 1

    def say(self, session, *sayings, origin=HERE):
        """The outcome of several messages in one entry."""
        self.numbers[origin] += 1
        say = Say(session, 2, "alice", "bot" if sayings[0].number else "", sayings)
        last = self.state.applied + len(sayings)
        return self.state.apply(last, origin, self.numbers[origin], self.time, say)

    def apply(self, command, origin=HERE):
        self.numbers[origin] += 1
        return self.state.apply(self.next, origin, self.numbers[origin], self.time, command)

    def result(self, command, origin=HERE):
        [result] = self.apply(command, origin).results
        return result

    def login(self, name, session, token=b"", client=""):
        """The number of the account."""
        assert isinstance(
            self.result(Login(session, name, client, token), origin_of(session)), Accepted
        )
        return self.state.account_named(name).number


def said(session, text, to=TO_EVERYBODY, name="*", *, number=0, checksum=1, client="bot"):
    """One message; of a program, if it has a number."""
    saying = Saying(text, to, name, number, checksum)
    return Say(session, 2, "alice", client if number else "", (saying,))
