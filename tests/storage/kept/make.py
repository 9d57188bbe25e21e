"""Makes a small folder of data with the version of chainchat that is imported: kept for ever.

``python tests/storage/kept/make.py FOLDER``, in a checkout of the version whose schema is to be
kept, writes ``FOLDER/chainchat.sqlite``: two accounts, 60 messages, a checkpoint as of entry 50.
"""

import sqlite3
import sys
from pathlib import Path

from msgspec import msgpack
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.entries import Entry, digest_after
from chainchat.chain.record import Record
from chainchat.chat import commands
from chainchat.node.budget import CheckpointPace
from chainchat.node.state_machine import StateMachine
from chainchat.storage.sqlite import SQLiteStorage

ORIGIN = "kept.1"
ALICE, BOB = 2, 3


def commands_of_a_room():
    """What is done there, in order."""
    yield "", commands.Origins((ORIGIN,))
    for name in ("alice", "bob"):
        yield ORIGIN, commands.Login(f"{ORIGIN}.{name}", name, "", b"")
    for number in range(60):
        saying = commands.Saying(f"message {number}", BOB if number % 3 == 0 else 0, "*")
        yield ORIGIN, commands.Say(f"{ORIGIN}.alice", ALICE, "alice", "", (saying,))


def make(folder):
    """Write the folder."""
    storage = SQLiteStorage(folder)
    machine = StateMachine(storage, CheckpointPace(checkpoint_entries=50))
    digest = b""
    for seq, (origin, command) in enumerate(commands_of_a_room(), 1):
        entry = Entry(seq, 1, origin, seq - 1, 1_000 * seq, commands.encode(command))
        digest = digest_after(digest, entry.content)
        entry = replace(entry, digest=digest)
        storage.append([entry], committed=seq - 1)
        machine.apply(entry)
        if machine.checkpoint_is_due:
            machine.begin_checkpoint()
            while machine.checkpointing:
                machine.write_checkpoint(lambda: True)
    storage.write_committed(seq)
    member = Member("head", "kept", 1, "127.0.0.1", 7101)
    record = Record("kept", 1, ("head",), Configuration(1, (member,), "founded"))
    storage.write_membership(msgpack.encode(record))
    storage.close()
    database = sqlite3.connect(folder / "chainchat.sqlite")
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("VACUUM")
    database.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
