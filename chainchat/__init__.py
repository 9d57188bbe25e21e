"""chainchat: a chat room over telnet whose messages are replicated along a chain of servers."""

__version__ = "0.1.0"
