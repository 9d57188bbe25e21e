"""How a client is spoken with: one file for each mode, behind the interface in ``mode``."""

from chainchat.chat.modes.human import HUMAN
from chainchat.chat.modes.machine import MACHINE
from chainchat.chat.modes.mode import Mode

FIRST: Mode = HUMAN
"""The mode of a connection that begins."""

AFTER_HELLO: dict[str, Mode] = {"chainchat/1": MACHINE}
"""The others, by the protocol that a client names in ``/hello``."""
