"""A person's choices: ``client.toml``, the command line above it, and ``/set``."""

import os
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

ABOUT = {
    "joins": "show others come and go (auto: while few are here)",
    "bell": "ring: for mentions and private messages, for all, or off",
    "desktop": "notify the desktop, in the way that the terminal knows",
    "mouse": "scroll with the wheel; off: select text without Shift",
    "title": "count what is unread in the title of the window",
    "utc": "show times in UTC",
}

Switch = Literal["on", "off"]


class SettingsError(Exception):
    """``client.toml``, or a ``/set``, cannot be used."""


class Settings(Struct, forbid_unknown_fields=True):
    """One person's choices.

    Attributes:
        nodes: ``HOST:PORT`` or ``tls://HOST:PORT``.
        tls: with every node.
        ca: file of the CA of the nodes' certificates.
        ignore: names of people of whom nothing is shown.
        log: file for everything shown, a line each.
    """

    name: str = ""
    nodes: list[str] = field(default_factory=list)
    tls: bool = False
    ca: str = ""
    ignore: list[str] = field(default_factory=list)
    log: str = ""
    colours: Literal["auto", "16", "off"] = "auto"
    joins: Literal["auto", "on", "off"] = "auto"
    bell: Literal["mentions", "all", "off"] = "mentions"
    desktop: Literal["osc9", "osc777", "off"] = "off"
    mouse: Switch = "on"
    title: Switch = "on"
    utc: Switch = "off"
    history: Annotated[int, Meta(ge=0, le=100_000)] = 1000

    def changed(self, key: str, value: str) -> None:
        """Carry out ``/set key value``.

        Raises:
            SettingsError: there is no such setting, or it cannot have this value.
        """
        if key not in ABOUT:
            raise SettingsError(f"there is no setting {key}: type /set to see them")
        try:
            tried = msgspec.convert({key: value.lower()}, Settings)
        except msgspec.ValidationError:
            choices = ", ".join(get_args(get_type_hints(Settings)[key]))
            raise SettingsError(f"{key} is one of: {choices}") from None
        setattr(self, key, getattr(tried, key))


def config_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "chainchat" / "client.toml"


def load(path: Path | None = None) -> Settings:
    """The settings of a file; the defaults, if the usual one is missing.

    Raises:
        SettingsError: the file cannot be read, or says something unknown.
    """
    file = path or config_file()
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Settings)
    except FileNotFoundError as error:
        if path is None:
            return Settings()
        raise SettingsError(f"{file}: {error.strerror}") from None
    except OSError as error:
        if path is None and isinstance(error, NotADirectoryError | PermissionError):
            return Settings()
        raise SettingsError(f"{file}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise SettingsError(f"{file}: {error}") from None
