"""What is said between nodes, in one line each."""

import re
from collections.abc import Sequence

from chainchat.chain.configuration import Configuration
from chainchat.chain.messages import (
    Abort,
    Ack,
    Answer,
    Copied,
    Decided,
    Declined,
    Differs,
    Entry,
    EntryId,
    Fetch,
    Forward,
    Holding,
    Message,
    Propose,
    Read,
    StateDigest,
    Submit,
    Synced,
    Vote,
    Voted,
)
from chainchat.chat import commands

MANY = 3
"""Entries that are told one by one, at most."""

DIGEST = re.compile(r" \([0-9a-f]{8}\)")
"""How the log names an entry's content. It would change with each change of an encoding."""

FOLLOWED = re.compile(r"epoch \d+ \([^)]*\) is followed by .*; (.*)")
"""What the log says again when writes go on."""

SEEN_FROM_THE_COMMAND = re.compile(r"what \w+ (sends|sent) to \w+ (is held back|arrives)")


def shortened(text: str) -> str:
    """A line of the log without what the trace shows already; empty if nothing is left."""
    if SEEN_FROM_THE_COMMAND.fullmatch(text):
        return ""
    said = DIGEST.sub("", text)
    followed = FOLLOWED.search(said)
    if followed is None:
        return said
    return FOLLOWED.sub(r"\1", said) if followed[1].startswith("writes ") else ""


def words(message: Message) -> str:
    """A message in words: its kind, and what it says."""
    return f"{type(message).__name__} {_content(message)}".rstrip()


def _content(message: Message) -> str:
    match message:
        case Submit():
            return ", ".join(content(request.command) for request in message.requests)
        case Forward():
            if not message.entries:
                return f"{message.synced} synced"
            return f"{entries_of(message.entries)}; {message.committed} committed"
        case Ack():
            return str(message.seq)
        case Holding():
            return _to(message.last)
        case Read() | Answer():
            return f"number {message.number}"
        case StateDigest():
            return f"as of {message.seq}"
        case Propose() | Declined() | Abort():
            return _vote(message.vote)
        case Voted():
            return f"for {_vote(message.vote)}; holds {_to(message.last)}"
        case Decided():
            return chain(message.configuration)
        case Fetch() | Synced():
            return f"after {_to(message.last)}"
        case Differs():
            return f"mine is {_to(message.newest)}"
        case Copied():
            return f"{entries_of(message.entries)}{'; takes no more' if message.sealed else ''}"
    return ""


def chain(configuration: Configuration) -> str:
    """A configuration: its epoch, and the members from head to tail."""
    return f"epoch {configuration.epoch}: {', '.join(configuration.positions) or 'nobody'}"


def _vote(vote: Vote) -> str:
    return f"{chain(vote.configuration)} (by {vote.proposer.position})"


def _to(last: EntryId) -> str:
    return f"{last.seq} of epoch {last.epoch}" if last.seq else "nothing"


def entries_of(entries: Sequence[Entry]) -> str:
    """Entries: their sequence numbers and contents, or how many there are."""
    if len(entries) > MANY:
        return f"{entries[0].first} to {entries[-1].seq}"
    each = (f"{entry.seq} {content(entry.command)}" for entry in entries)
    return ", ".join(each) or "nothing"


def content(encoded: bytes) -> str:
    """What an entry or a request is about."""
    match commands.decode(encoded):
        case commands.Origins():
            return "opening"
        case commands.Login() as login:
            return f"login {login.name}"
        case commands.Say() as say:
            return " ".join(f'"{saying.text}"' for saying in say.sayings)
        case other:
            return type(other).__name__.lower()
