"""The chat: accounts, sessions, messages and the line grammars; pure."""
