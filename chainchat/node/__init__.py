"""The rim of a node: sockets, clocks and disks on one side, the pure packages on the other."""
