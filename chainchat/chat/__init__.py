"""The chat: accounts, sessions, messages and the two line grammars.

Pure: it knows no replication and no sockets.
"""
