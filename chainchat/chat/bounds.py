"""How much the chat's state holds: no settings, since all nodes must refuse and forget alike."""

from msgspec import Struct


class Bounds(Struct, frozen=True):
    """The bounds of a state.

    Attributes:
        accounts: in all; one more is refused.
        programs: client IDs of one account whose SENDs are remembered.
        known_programs: those whose highest number is known; includes the former.
        sends: results kept of each program, at least.
        program_cost: of a client ID, which takes 1,200 octets; a SEND costs 1, and takes 20.
        cost: of all programs; beyond it, the account that costs most has to forget.
        cost_step: in which costs are compared.
        accounts_in_record: about 3 KB: they fit in a page of SQLite.
        sends_in_record: only the newest record is written again.
    """

    accounts: int = 1_000_000
    programs: int = 64
    known_programs: int = 1_024
    sends: int = 1_024
    program_cost: int = 60
    cost: int = 20_000_000
    cost_step: int = 1_200
    accounts_in_record: int = 32
    sends_in_record: int = 64

    @property
    def records_of_program(self) -> int:
        """One more than full records need: the newest is rarely full."""
        return self.sends // self.sends_in_record + 1


USUAL_BOUNDS = Bounds()
