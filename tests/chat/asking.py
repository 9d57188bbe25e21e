"""What tests of queries ask, and of what."""

from hypothesis import settings

from chainchat.chain.entries import Entry
from chainchat.chat import commands, queries
from chainchat.chat.commands import TO_EVERYBODY, Login, Origins, Say, Saying
from chainchat.chat.state import ChatState
from chainchat.node.history import History
from chainchat.storage.interface import EVERY_READER, Indexed
from chainchat.storage.memory import MemoryStorage

deterministic = settings(derandomize=True, max_examples=100, deadline=None)

ALICE, BOB, CAROL = 2, 3, 4
TIME = 1795345387120
VERY_LONG = "x" * 39_000


class Work:
    """A clock of work, and the time for one page: so many pieces of a millisecond."""

    def __init__(self, pieces=1 << 62, seconds=0.001):
        self.done, self.pieces, self.seconds = 0, pieces, seconds

    def left(self):
        self.done += 1
        return self.done < self.pieces

    def spent(self):
        return self.done * self.seconds


def answer(query, state, history, work=None):
    return queries.answer(query, state, history, work or Work())


def state_with(*names, state=None):
    """A state in which these accounts are on."""
    state = state or ChatState()
    state.apply(1, "", 0, TIME, Origins(("a.1",)))
    for number, name in enumerate(names, 1):
        login = Login(f"a.1.{number}", name, "", b"")
        state.apply(state.applied + 1, "a.1", number, TIME, login)
    return state


class Talk:
    """A log of messages: pairs of (sender, recipient), numbered from 1, with their index."""

    def __init__(self, *pairs, text="hi", storage=None):
        self.storage = storage or MemoryStorage()
        self.history = History(self.storage)
        for sender, recipient in pairs:
            self.say(sender, recipient, text)

    def say(self, sender, recipient=TO_EVERYBODY, text="hi"):
        seq = self.storage.last.seq + 1
        to = f"n{recipient}" if recipient else "*"
        say = Say("a.1.1", sender, f"n{sender}", "", (Saying(text, recipient, to),))
        self.storage.append([Entry(seq, 1, "a.1", seq, TIME, commands.encode(say))])
        readers = {recipient, sender} if recipient else {EVERY_READER}
        self.storage.index([Indexed(reader, [seq], sender) for reader in readers])

    def say_all(self, sender, *texts):
        """Several messages to everybody, in one entry."""
        first, seq = self.storage.last.seq + 1, self.storage.last.seq + len(texts)
        sayings = tuple(Saying(text, TO_EVERYBODY, "*") for text in texts)
        command = commands.encode(Say("a.1.1", sender, f"n{sender}", "", sayings))
        self.storage.append([Entry(seq, 1, "a.1", seq, TIME, command, len(texts))])
        self.storage.index([Indexed(EVERY_READER, range(first, seq + 1), sender)])


def ids(messages):
    return [message.id for message in messages]


def pages(query, state=None, history=None, work=Work):
    """All pages of the answer; ``work`` makes the time for each."""
    found = []
    while query is not None:
        found.append(answer(query, state or ChatState(), history, work()))
        query = found[-1].more
    return found
