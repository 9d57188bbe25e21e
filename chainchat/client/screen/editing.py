"""Moving and deleting by the characters that a person sees."""

from collections.abc import Callable

from prompt_toolkit.key_binding import KeyPressEvent
from wcwidth import iter_graphemes

LONGEST_CLUSTER = 64
"""The most characters of which a cluster is made."""


def _left(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    buffer.cursor_left(_before(buffer.document.text_before_cursor))


def _right(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    buffer.cursor_right(_after(buffer.document.text_after_cursor))


def _erase(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    buffer.delete_before_cursor(_before(buffer.document.text_before_cursor))


def delete(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    buffer.delete(_after(buffer.document.text_after_cursor))


def _before(text: str) -> int:
    *_, last = iter_graphemes(text[-LONGEST_CLUSTER:] or " ")
    return len(last)


def _after(text: str) -> int:
    return len(next(iter_graphemes(text[:LONGEST_CLUSTER] or " ")))


EDITS: dict[tuple[str, ...], Callable[[KeyPressEvent], None]] = {
    ("left", "c-b"): _left,
    ("right", "c-f"): _right,
    ("backspace",): _erase,
    ("delete",): delete,
}
