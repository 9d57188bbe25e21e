"""An error in what one client does ends its session, and not the node.

So whoever finds a bug in how a line is heard, or an answer made, stops nobody else. Errors of the
node's own stop it, as anywhere: of its disk, and any in the chain, which ``Node.submit`` and
``Node.ask`` enter.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast


class Breakable(Protocol):
    """A session that errors can end."""

    def broke(self, error: Exception) -> None:
        """End the session; raise an error of the node's own."""


One = TypeVar("One", bound=Breakable)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def isolated(
    method: Callable[Concatenate[One, Arguments], Result],
) -> Callable[Concatenate[One, Arguments], Result]:
    """Isolate a session's method, which returns nothing, or whether there is more to do."""

    @wraps(method)
    def act(one: One, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return method(one, *arguments, **named)
        except Exception as error:
            one.broke(error)
            return cast("Result", False)

    return act


def isolated_for(client: Breakable, act: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Isolate what is called later for a client."""

    @wraps(act)
    def isolated_act(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        try:
            act(*arguments, **named)
        except Exception as error:
            client.broke(error)

    return isolated_act
