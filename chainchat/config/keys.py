"""The keys of chain.ini by section, and those that a running node reads again."""

import difflib

from chainchat.config.kinds import NO_POSITIONS

CHAIN_KEYS = ("name", "founding", "suspect-after", "rejoin-pause", "refusal-is-death")
CLIENTS_KEYS = ("max-line", "max-connections")
LIMITS_KEYS = (
    *("per-address", "exempt", "connects-per-minute", "new-accounts", "most-accounts"),
    *("send-rate", "send-burst"),
)
ACCOUNTS_KEYS = ("new", "delete-others", "plaintext")
STORAGE_KEYS = ("stop", "keep", "keep-unread")
TLS_KEYS = (
    *("ca", "certificate", "key", "chain", "check-dates"),
    *("client-certificate", "client-key"),
)
LOG_KEYS = ("format",)
NODE_KEYS = (
    *("host", "client-host", "chain-host", "client-port", "tls-port", "chain-port", "data"),
    *("web-port", "web-host", "web-url"),
)

RELOADABLE = {
    ("clients", "max-connections"): "max_connections",
    ("limits", "per-address"): "per_address",
    ("limits", "exempt"): "exempt",
    ("limits", "connects-per-minute"): "connects_per_minute",
    ("limits", "new-accounts"): "new_accounts",
    ("limits", "most-accounts"): "most_accounts",
    ("limits", "send-rate"): "send_rate",
    ("limits", "send-burst"): "send_burst",
    ("accounts", "new"): "accounts",
    ("accounts", "delete-others"): "accounts",
    ("accounts", "plaintext"): "accounts",
    ("tls", "ca"): "tls",
    ("tls", "certificate"): "tls",
    ("tls", "key"): "tls",
    ("tls", "client-certificate"): "tls",
    ("tls", "client-key"): "tls",
    ("tls", "check-dates"): "check_dates",
}
"""The keys whose new values a running node takes, with their attributes of ``Settings``."""

ALIKE = {
    ("chain", "name"),
    ("chain", "suspect-after"),
    ("chain", "refusal-is-death"),
    ("tls", "chain"),
}
"""The keys that have to be the same at all nodes: those with different ones refuse each other."""


def guess(key: str, known: tuple[str, ...]) -> str:
    sections = (
        *(CHAIN_KEYS, CLIENTS_KEYS, LIMITS_KEYS, ACCOUNTS_KEYS, STORAGE_KEYS),
        *(TLS_KEYS, LOG_KEYS),
    )
    for section, keys in zip(NO_POSITIONS, sections, strict=True):
        if key in keys:
            return f" (it belongs in [{section}])"
    nearest = difflib.get_close_matches(key, known, n=1)
    return f" (is {nearest[0]} meant?)" if nearest else ""
