"""Modes, the ways to speak with a client, behind the interface in ``mode``."""

from chainchat.chat.modes.human import HUMAN
from chainchat.chat.modes.machine import MACHINE
from chainchat.chat.modes.mode import Mode

FIRST: Mode = HUMAN
"""The mode of a new connection."""

AFTER_HELLO: dict[str, Mode] = {"chainchat/1": MACHINE}
"""Modes, by the protocol that a client names in ``/hello``."""
