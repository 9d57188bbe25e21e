"""How much the chat's state holds. Every node refuses and forgets by these: they are no setting."""

from msgspec import Struct


class Bounds(Struct, frozen=True):
    """The bounds of a state.

    Attributes:
        accounts: in all; a login that would make one more is refused.
        programs: client IDs of one account whose SENDs are remembered.
        known_programs: those whose highest number is known; includes the former.
        sends: results kept of each program, at least.
        program_cost: of a client ID: 1,200 octets of memory. Each of its SENDs costs 1: 20 octets.
        cost: of all programs; beyond it, the account that costs most has to forget.
        cost_step: in which costs are compared.
        accounts_in_record: about 3 KB, which fits in a page of SQLite.
        sends_in_record: when a program says more, only its newest record is written again.
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
        """Records of a program: one extra, since the newest is rarely full."""
        return self.sends // self.sends_in_record + 1


USUAL_BOUNDS = Bounds()
