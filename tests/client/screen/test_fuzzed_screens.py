"""The client in a real terminal, at the hands of somebody who does anything, against a model.

``--fuzz N`` runs each with N seeds, from ``--fuzz-seed`` on.
"""

import re
from pathlib import Path
from random import Random

from fake_room import Server
from screens import Screen, at

MARKED = re.compile(r"#(?P<id>\d+) \d\d:\d\d (?P<text>.*)")
"""A message on the screen; a time of one's own is this machine's."""

GREETING = "+OK you are alice, on tail: /help tells what to type"


def said(rows: list[str]) -> tuple[str, list[tuple[int, str]]] | None:
    """The messages that rows show, wrapped ones put together: the end of one, and whole ones.

    None if a row is no part of any, and nothing else that may stand there.
    """
    rest: list[str] = []
    messages: list[tuple[int, str]] = []
    for row in rows:
        if match := MARKED.fullmatch(row):
            messages.append((int(match["id"]), match["text"]))
        elif row.startswith("    ") and messages:
            identifier, text = messages[-1]
            messages[-1] = identifier, f"{text} {row.strip()}"
        elif row.startswith("    "):
            rest.append(row.strip())
        elif not row.startswith(("───", "+OK")):
            return None
    return " ".join(rest), messages


def expected(server: Server) -> list[tuple[int, str]]:
    """All messages, as alice has to see them: without spaces at the end."""
    return [
        (m.id, f"{m.sender}: {m.text.rstrip()}{' ✓' if m.sender == 'alice' else ''}")
        for m in server.room.messages
    ]


def is_right(rows: list[str], server: Server, typed: str) -> bool:
    """True if the screen shows the newest messages, then what is typed, then the status line."""
    if len(rows) < 3 or "on tail" not in rows[-1] or rows[-2] != f"alice> {typed}".rstrip():
        return False
    if (shown := said(rows[:-2])) is None or not any(shown):
        return False
    rest, messages = shown
    wanted = expected(server)
    whole = len(wanted) - len(messages)
    begun = wanted[whole - 1][1] if whole else GREETING
    return wanted[whole:] == messages and begun.endswith(rest)


class Line:
    """A line that is edited, as the model has it."""

    def __init__(self) -> None:
        self.text, self.place = "", 0

    def press(self, key: str) -> None:
        """Do what the key does."""
        text, place = self.text, self.place
        match key:
            case "\x7f":
                self.text, self.place = text[: max(0, place - 1)] + text[place:], max(0, place - 1)
            case "\x1b[D":
                self.place = max(0, place - 1)
            case "\x1b[C":
                self.place = min(len(text), place + 1)
            case "\x01":
                self.place = 0
            case "\x05":
                self.place = len(text)
            case "\x0b":
                self.text = text[:place]
            case "\x15":
                self.text, self.place = text[place:], 0
            case "\x04" if text:
                self.text = text[:place] + text[place + 1 :]
            case _:
                self.text, self.place = text[:place] + key + text[place:], place + 1


EDITS = ["\x7f", "\x7f", "\x1b[D", "\x1b[C", "\x01", "\x05", "\x0b", "\x15"]
LETTERS = "abc äß€ xyz 漢字"


def test_typing_stands_whole_at_50_keys_a_second_under_100_messages_a_second(
    server: Server, seed: int
) -> None:
    random = Random(seed)
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        line, typed = Line(), list[str]()
        for tick in range(150):
            for sender in ("bob", "carl"):
                server.do(server.room.say, sender, f"message {tick}")
            if tick % 50 == 49 or random.random() < 0.2:
                server.do(server.room.release)
            elif random.random() < 0.1:
                server.do(setattr, server.room, "late", True)
            if (line.text.strip() and random.random() < 0.06) or len(line.text) > 60:
                screen.type("\r")
                typed.append(line.text)
                line = Line()
            else:
                key = random.choice(EDITS if random.random() < 0.2 else LETTERS)
                screen.type(key)
                line.press(key)
            screen.read(0.02)
            if tick % 50 == 49:
                server.wait(lambda: len(own_lines(server)) == len(typed))
                screen.shows(lambda rows, text=line.text: is_right(rows, server, text))
        assert own_lines(server) == typed


def own_lines(server: Server) -> list[str]:
    """What alice has said."""
    return [message.text for message in server.room.messages if message.sender == "alice"]


WORDS = ("one", "two", "three", "longer", "words", "äöü", "漢字", "of", "a", "line")


def test_resizing_leaves_nothing_stale(server: Server, seed: int) -> None:
    random = Random(seed)
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        screen.type("half a line")
        for change in range(16):
            text = " ".join(random.choices(WORDS, k=random.randint(1, 30)))
            server.do(server.room.say, "bob", text)
            rows = random.randint(6, 30)
            screen.size(rows, random.randint(30, 100))
            if random.random() < 0.3:
                screen.type(random.choice(["\x1b[5~", "\x1b[6~", "\x1bOQ\x1bOQ"]))
            screen.read(random.choice([0.0, 0.01, 0.05]))
            if change % 4 == 3:
                screen.type("\x1b")
                screen.shows(lambda rows: is_right(rows, server, "half a line"))
                assert len(screen.rows) <= rows


PASTED = ("text", " ", "\r", "\n", "\r\n", "\x1b", "\x1b[2J", "\x07", "\x00", "\t", "ä€", "\x7f")


def test_of_a_paste_all_is_said_that_can_be_and_the_screen_stands(
    server: Server, seed: int
) -> None:
    random = Random(seed)
    wanted: list[str] = []
    with Screen("--name", "alice", *at(server.listen())) as screen:
        screen.is_online()
        for _ in range(15):
            paste = "".join(random.choices(PASTED, k=random.randint(0, 40)))
            screen.type(f"\x1b[200~{paste}\x1b[201~")
            if random.random() < 0.5:
                screen.type("x\x03")  # away with it
            else:
                screen.type("\r")
                lines = paste.replace("\r\n", "\n").replace("\r", "\n").split("\n")
                lines = [line.replace("\t", " ") for line in lines]
                wanted += [line for line in lines if line.strip() and line.isprintable()]
            screen.read(0.02)
        screen.type("the end\r")
        wanted.append("the end")
        rows = screen.shows(lambda rows: any(row.endswith("alice: the end ✓") for row in rows))
        assert rows[-2] == "alice>"
        assert rows[-1].startswith("on tail")
        assert own_lines(server) == wanted


def test_what_was_pending_when_it_was_killed_is_said_by_the_next_start_once(
    server: Server, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    port = server.listen()
    typed: list[str] = []
    shown: set[str] = set()
    for run in range(4):
        server.do(setattr, server.room, "holding", random.random() < 0.7)
        with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
            if random.random() < 0.8:
                screen.is_online()
            for number in range(4):
                typed.append(f"run {run} line {number}")
                screen.type(f"{typed[-1]}\r")
                screen.read(random.choice([0.0, 0.01, 0.05]))
                if random.random() < 0.1:
                    server.do(server.room.release)
            shown.update(text for text in typed if is_taken(screen.rows, text))
            screen.process.kill()
            screen.process.wait()
    server.do(server.room.release)
    with Screen("--name", "alice", *at(port), state=tmp_path) as screen:
        screen.is_online()
        screen.type("the end\r")
        screen.shows(lambda rows: any(row.endswith("alice: the end ✓") for row in rows))
    own = own_lines(server)
    assert own == [text for text in [*typed, "the end"] if text in own]
    assert shown <= set(own)


def is_taken(rows: list[str], text: str) -> bool:
    """True if the screen shows a line as pending or said."""
    return any(row == f"… {text}" or row.endswith(f"alice: {text} ✓") for row in rows)
