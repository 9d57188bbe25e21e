"""Chain replication: configuration, messages, replica and membership.

Pure: it knows no chat, no Twisted, no clock and no disk.

Van Renesse and Schneider, "Chain Replication for Supporting High Throughput and Availability" (OSDI
2004), is cited as *paper* in this package.
"""
