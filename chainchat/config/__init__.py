"""Typed settings from chain.ini.

Every mistake becomes one `ConfigError`, which names file, section, key, the bad value and what is
allowed. Read ``settings`` first, then ``reading``.
"""

from chainchat.config.changes import RELOADED, ChangedKey, changes, reloaded
from chainchat.config.keys import (
    ACCOUNTS_KEYS,
    CHAIN_KEYS,
    CLIENTS_KEYS,
    LIMITS_KEYS,
    LOG_KEYS,
    NODE_KEYS,
    RELOADABLE,
    STORAGE_KEYS,
    TLS_KEYS,
)
from chainchat.config.kinds import is_position
from chainchat.config.networks import EXEMPT, Network
from chainchat.config.reading import load
from chainchat.config.sections import ConfigError
from chainchat.config.settings import (
    AccountRules,
    LogFormat,
    NewAccounts,
    NodeSettings,
    Plaintext,
    Settings,
    TLSFiles,
)

__all__ = [
    "ACCOUNTS_KEYS",
    "CHAIN_KEYS",
    "CLIENTS_KEYS",
    "EXEMPT",
    "LIMITS_KEYS",
    "LOG_KEYS",
    "NODE_KEYS",
    "RELOADABLE",
    "RELOADED",
    "STORAGE_KEYS",
    "TLS_KEYS",
    "AccountRules",
    "ChangedKey",
    "ConfigError",
    "LogFormat",
    "Network",
    "NewAccounts",
    "NodeSettings",
    "Plaintext",
    "Settings",
    "TLSFiles",
    "changes",
    "is_position",
    "load",
    "reloaded",
]
