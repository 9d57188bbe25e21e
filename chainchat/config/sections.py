"""The sections of chain.ini as text, and errors about them."""

import configparser
import difflib
import os
from pathlib import Path
from typing import TypeVar

from chainchat.config.keys import guess
from chainchat.config.kinds import FILE, FOLDER, Kind
from chainchat.config.ordinary_files import NotOrdinaryError, read_ordinary

T = TypeVar("T")


LONGEST_SHOWN = 60  # characters of a bad value that are repeated in an error


class ConfigError(Exception):
    """A mistake in chain.ini, told in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Section:
    """One section of the file."""

    def __init__(
        self,
        path: Path,
        parser: configparser.RawConfigParser,
        name: str,
        known: tuple[str, ...],
    ) -> None:
        self._path = path
        self._name = name
        self._sections = parser.sections()
        self._values = dict(parser[name]) if name in parser else {}
        for key in self._values:
            if key not in known:
                hint = guess(key, known)
                raise self.error(f"{shown(key)} is unknown{hint}; allowed: {', '.join(known)}")

    def take(self, key: str, kind: Kind[T], default: T | None = None) -> T:
        """The value of a key, which is required if there is no default."""
        text = self._values.get(key)
        if text is None:
            if default is None:
                raise self.error(f"{key} is missing; allowed: {kind.allowed}")
            return default
        try:
            return kind.read(text)
        except ValueError:
            hint = "; an indented line continues the one before it" if "\n" in text else ""
            raise self.error(f"{key} = {shown(text)}; allowed: {kind.allowed}{hint}") from None

    def has(self, key: str) -> bool:
        return key in self._values

    def must_exist(self, reason: str) -> None:
        if self._name not in self._sections:
            nearest = difflib.get_close_matches(self._name, self._sections, n=1)
            hint = f" (is [{shown(nearest[0])}] meant to be it?)" if nearest else ""
            raise self.error(f"the section is missing{hint}; {reason}")

    def folder(self, key: str, default: str) -> Path:
        """The path of a folder; relative ones start at the folder of chain.ini."""
        return self._path_of(key, self.take(key, FOLDER, default))

    def file(self, key: str, default: str) -> Path:
        return self._path_of(key, self.take(key, FILE, default))

    def _path_of(self, key: str, text: str) -> Path:
        try:
            os.fsencode(text)
        except UnicodeEncodeError:
            hint = "set LC_ALL=C.UTF-8"
            raise self.error(f"{key} = {shown(text)}: no path in this locale; {hint}") from None
        return Path(os.path.abspath(self._path.parent / text))

    def error(self, problem: str) -> ConfigError:
        return ConfigError(f"{self._path}: [{shown(self._name)}] {problem}")


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return read_ordinary(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder; name the chain.ini in it") from None
    except NotOrdinaryError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None


def parse(path: Path, text: str) -> configparser.RawConfigParser:
    """Cut a text into sections; ``path`` is for errors.

    Raises:
        ConfigError: the text has another form.
    """
    parser = configparser.RawConfigParser(
        inline_comment_prefixes=(";",),
        empty_lines_in_values=False,
        default_section="",  # a section [DEFAULT] is nothing special
    )
    try:
        parser.read_string(text, str(path))
    except configparser.DuplicateSectionError as error:
        problem = f"line {error.lineno}: there is a section [{shown(error.section)}] already"
    except configparser.DuplicateOptionError as error:
        problem = f"line {error.lineno}: [{shown(error.section)}] has {shown(error.option)} twice"
    except configparser.MissingSectionHeaderError as error:
        problem = f"line {error.lineno}: a [section] has to come before {shown(error.line)}"
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        content = shown(text.split("\n")[line - 1])
        problem = f"line {line}: {content}; allowed: [section], key = value, or a ; comment"
    else:
        return parser
    raise ConfigError(f"{path}: {problem}")


def shown(text: str) -> str:
    text = printable(text.rstrip())
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
