"""What happens to the disks of the dead, within what the chain promises to survive.

Every mishap leaves another disk that has all that was ever applied, and that counts: a member's of
the newest configuration. An operator does what ``docs/operations.md`` says.
"""

from chainchat.chain.entries import EntryId
from tests.simulation.checks import Checks
from tests.simulation.disk import Disk
from tests.simulation.hosts import Host
from tests.simulation.world import World

ROUND = 0.5
"""How often the operator looks, seconds."""


class Mishaps:
    """Brings the dead back, now and then with another disk than they had."""

    def __init__(self, world: World, checks: Checks) -> None:
        self._world = world
        self._random = world.random
        self._checks = checks
        self._backups: dict[str, Disk] = {}
        self._refused = False
        self._chance = self._random.choice((0.0, 0.2, 0.5))
        world.on_death.append(self._died)
        world.on_log.append(self._read_the_log)
        world.later(ROUND, self._operate)

    def revive(self, host: Host) -> None:
        """Start a process again, if it is dead or about to die."""
        if self._world.calm:
            return
        if host.dying:
            self._world.kill(host)
        if host.node is None and self._random.random() < self._chance:
            mishap = self._random.choice((self.wipe, self.lie, self.restore))
            mishap(host)
        self._world.start(host)

    # --- what can happen

    def wipe(self, host: Host) -> None:
        """An empty disk, for one that the chain went on without: of others, all copies count.

        The last founder that knows of the chain keeps its disk: empty ones would found another.
        """
        newest = self._world.newest_configuration()
        founders = [self._world.hosts[position] for position in self._world.founding]
        records = [one.disk.record for one in founders if one is not host]
        one_knows = any(record is not None and record.configuration.members for record in records)
        if newest.members and host.position not in newest.positions and one_knows:
            self._world.wipe(host)

    def lie(self, host: Host) -> None:
        """The newest writes were never on the disk, though it said so."""
        if host.disk.losable and self._others_keep_everything(host, EntryId()):
            count = self._random.randint(1, host.disk.losable)
            before = host.disk.last.seq
            host.disk.lose(count)
            lost = before - host.disk.last.seq
            self._world.note(f"the disk of {host.position} had lied: it lost {lost} entries")

    def restore(self, host: Host) -> None:
        """An old backup, in place of the newest data."""
        backup = self._backups.get(host.position)
        if backup is None or host.newest_disk is not None or not self._may_restore(host, backup):
            return
        self._world.note(
            f"{host.position} gets a backup of {backup.record and backup.record.configuration}"
        )
        host.newest_disk, host.disk = host.disk, backup.copy(host.disk)

    def set_back(self, host: Host) -> None:
        """The same, whatever it does: what the newest data have may be nowhere else."""
        backup = self._backups.get(host.position)
        if backup is not None and host.newest_disk is None:
            assert backup.record is not None
            self._world.note(f"{host.position} is set back to {backup.record.configuration}")
            host.newest_disk, host.disk = host.disk, backup.copy(host.disk)

    def _others_keep_everything(self, host: Host, end: EntryId) -> bool:
        """True if another member of the newest configuration has all that was ever applied.

        And the entry ``end``, too.
        """
        others = [
            self._world.hosts[position]
            for position in self._world.newest_configuration().positions
            if position != host.position
        ]
        return any(
            self._checks.keeps_everything(other) and other.disk.id_of(end.seq) == end
            for other in others
        )

    def _may_restore(self, host: Host, backup: Disk) -> bool:
        """True if nobody can go back with it to the configuration of that day.

        So all the others have to know the newest. If it was the only member on that day, it goes on
        alone until it meets the others. What was cut off its log since then must not come back
        either: a member stops at the sight of that.
        """
        newest = self._world.newest_configuration()
        others = [other.disk.record for other in self._world.hosts.values() if other is not host]
        return (
            backup.record is not None
            and len(backup.record.configuration.members) > 1
            and backup.record.id == (host.disk.record and host.disk.record.id)
            and all(record and record.configuration == newest for record in others)
            and self._others_keep_everything(host, backup.last)
        )

    # --- the operator

    def back_up(self, host: Host) -> None:
        """Copy the folder of a server that is stopped, once: when it is needed, it is old."""
        if host.newest_disk is None:
            self._backups.setdefault(host.position, host.disk.copy())

    def _died(self, host: Host) -> None:
        if self._random.random() < 0.3:
            self.back_up(host)

    def _read_the_log(self, line: str) -> None:
        self._refused = self._refused or "was a backup restored?" in line

    def _operate(self) -> None:
        """A backup was refused, and was not meant: put the newest folder back."""
        if self._refused:
            newest = self._world.newest_configuration()
            for host in self._world.hosts.values():
                member = newest.member(host.position)
                if host.newest_disk is None or host.node is None:
                    continue
                older = member is not None and member.incarnation > host.node.me.incarnation
                if older or host.node.readiness.reason.startswith("these data are older"):
                    self._world.note(f"{host.position} gets its newest data back")
                    self._world.kill(host)
                    host.disk, host.newest_disk = host.newest_disk, None
                    host.disk.failing = False
                    self._world.start(host)
        self._world.later(ROUND, self._operate)
