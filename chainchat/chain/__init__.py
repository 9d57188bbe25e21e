"""Chain replication, pure: no chat, no Twisted, no clock and no disk.

*paper*: van Renesse and Schneider, "Chain Replication for Supporting High Throughput and
Availability" (OSDI 2004). The rules are numbered in docs/membership.md.
"""
