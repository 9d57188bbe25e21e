"""How the chat says no: the codes of ``docs/protocol.md``.

4xx: the same request may succeed later. 5xx: it will not.
"""

from enum import IntEnum


class Code(IntEnum):
    """The three digits that a client sees."""

    NOT_SERVING = 421
    TOO_MANY_CONNECTIONS = 422
    LOGIN_TIMEOUT = 423
    TOO_MANY_OF_ADDRESS = 424
    CONNECTS_TOO_OFTEN = 425
    NOTHING_READ = 426
    BUG = 427
    SESSION_ENDED = 431
    NAME_IN_USE = 433
    PASSWORD_CHANGED = 434
    TOO_MANY_ATTEMPTS = 435
    TOO_MANY_ACCOUNTS = 436
    TOO_MANY_NEW_ACCOUNTS = 437
    EARLIER_REFUSED = 451
    DISK_NEARLY_FULL = 453
    TAIL_LOST = 461
    SEARCH_BROKE = 462
    UNKNOWN_VERB = 500
    BAD_ARGUMENTS = 501
    LINE_TOO_LONG = 502
    NOT_UTF8 = 503
    CONTROL_CHARACTER = 504
    HTTP = 505
    UNKNOWN_VERSION = 506
    TLS_ONLY = 507
    TYPED_AS_PASSWORD = 508
    LOG_IN_FIRST = 510
    LOGGED_IN_ALREADY = 511
    WRONG_PASSWORD = 512
    PASSWORD_NEEDED = 513
    BY_INVITATION = 514
    OPERATORS_ONLY = 515
    BROKEN_EXCHANGE = 516
    BAD_NAME = 520
    NO_SUCH_ACCOUNT = 521
    BAD_PASSWORD = 522
    NAME_LOOKS_ALIKE = 523
    SERVERS_WORD = 524
    BAD_PATTERN = 531
    BAD_TOKEN = 532
    CONFIRM_DELETION = 534
    PATTERN_TOO_COSTLY = 535
    NOT_RELOADED = 541
    NUMBER_FORGOTTEN = 551
    NUMBER_REUSED = 552


class RefusedError(Exception):
    """The client's fault: an ``-ERR`` line; ``text`` tells a person what to do."""

    def __init__(self, code: Code, text: str, tag: str = "-") -> None:
        super().__init__(f"{code.value} {text}")
        self.code = code
        self.text = text
        self.tag = tag
