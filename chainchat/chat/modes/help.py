"""What there is to type in human mode: the text of ``/help``."""

import difflib

from msgspec import Struct

from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import MAX_LAST

VERSION = "chainchat/1"

PRIVATE = ">>"
"""The beginning of what is said to one account."""


class Topic(Struct, frozen=True):
    """A form to type, its summary, and further lines."""

    form: str
    summary: str
    more: tuple[str, ...] = ()


TOPICS = {
    "text": Topic(
        "text",
        "say it to everybody",
        (
            "Those who are away get it when they log in.",
            "+OK 1042 means: message #1042 is on the disk of every server of the chain.",
        ),
    ),
    "//": Topic("//text", "say /text", ("A line that begins with a single / is a verb.",)),
    PRIVATE: Topic(
        ">> name: text",
        "say it to one account only",
        ("Spaces are optional: >>bob:hi", "Somebody who is away gets it at the next login."),
    ),
    "who": Topic("/who", "list who is on"),
    "list": Topic(
        "/list [pattern]",
        "list all accounts, or those that begin with a pattern",
        (
            "The pattern is a regular expression in RE2's syntax. For example:",
            "/list e     begins with e",
            "/list .a    has an a in the second place",
            "/list .*i   has an i somewhere",
            "Case does not matter, as in names.",
        ),
    ),
    "last": Topic(
        "/last [n]",
        f"show the last n messages, 1 to {MAX_LAST} (20 without n)",
        ("Messages to everybody, and your own private ones.",),
    ),
    "chain": Topic(
        "/chain",
        "show the chain of servers",
        ("The one in [brackets] is the one you are connected to.", "Works without a login."),
    ),
    "notices": Topic("/notices on|off", "show others come and go, or not"),
    "delete": Topic(
        "/delete [name]",
        "delete an account, your own without a name",
        (
            "To confirm, type the name and yes: /delete bob yes",
            "Whoever takes the name later gets none of the old messages.",
        ),
    ),
    "password": Topic(
        "/password [remove]",
        "set or change your password, or remove it",
        (
            "You are asked for the one you have, and twice for the new one.",
            "An empty line leaves everything as it is.",
            "Operators also type /password reset NAME: NAME gets one to choose a new one with.",
        ),
    ),
    "invite": Topic(
        "/invite name",
        "make an account (operators)",
        ("You are shown its password, once: tell it to whom the account is for.",),
    ),
    "operator": Topic("/operator name on|off", "make somebody an operator (operators)"),
    "kick": Topic("/kick name", "end somebody's session (operators)"),
    "help": Topic("/help [verb]", "list everything, or explain one verb"),
    "logout": Topic(
        "/logout",
        "leave, as do /quit and /exit; your account stays",
        ("Messages wait for your next login.",),
    ),
    "hello": Topic(
        f"/hello {VERSION} client=ID [notices=on]",
        "for programs",
        (
            "Switches the connection to machine mode; use it in place of a login.",
            "ID is 1 to 32 letters, digits, '-' or '_'. A program always uses the same ID.",
        ),
    ),
}

ALIASES = {"exit": "logout", "quit": "logout"}

# Habits from elsewhere, and what to type here instead.
_HABITS = {
    **dict.fromkeys(("message", "msg", "pm", "query", "tell", "w", "whisper"), ">> name: text"),
    **dict.fromkeys(("all", "say", "shout"), "text, without any verb"),
    **dict.fromkeys(("names", "users"), "/who"),
    **dict.fromkeys(("bye", "leave", "part", "q"), "/logout"),
    **dict.fromkeys(("h", "?"), "/help"),
    **dict.fromkeys(("nick", "name", "rename"), "/logout, and to log in with another name"),
    "history": "/last",
}


_NO_VERBS = ("text", "//", PRIVATE)
_VERBS = [*(name for name in TOPICS if name not in _NO_VERBS), *ALIASES]


def unknown(word: str) -> RefusedError:
    word = word[:32]
    near = difflib.get_close_matches(word, _VERBS, n=1)
    meant = _HABITS.get(word) or (f"/{near[0]}" if near else "")
    hint = f"did you mean {meant}?" if meant else "type /help to see what there is"
    text = f"there is no /{word}: {hint} (to say a line that begins with /, double it: //)"
    return RefusedError(Code.UNKNOWN_VERB, text)


def about(verb: str) -> list[str]:
    """Return a line for each topic, or some about ``verb``, with or without its slash.

    Raises:
        RefusedError: 500, it is unknown.
    """
    if not verb:
        return _overview()
    word = verb.lower()
    if word not in TOPICS:  # the topic "//" keeps its slashes
        word = word.removeprefix("/")
    topic = TOPICS.get(ALIASES.get(word, word))
    if topic is None:
        raise unknown(word)
    more = [f"|   {line}" for line in topic.more]
    return [f"| {topic.form}", f"|   {topic.summary}", *more, ". /help lists everything"]


def _overview() -> list[str]:
    width = max(len(topic.form) for name, topic in TOPICS.items() if name != "hello")
    lines = [f"| {topic.form:<{width}}   {topic.summary}" for topic in TOPICS.values()]
    return [*lines, ". for more about a verb, type /help and the verb: /help list"]
