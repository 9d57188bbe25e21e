"""An IRC server of twisted.words that lets everybody in: ``words_server.py HOST PORT``."""

import sys
from typing import Any

from twisted.cred import credentials, portal
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet import defer, reactor
from twisted.words import service
from zope.interface import implementer


@implementer(ICredentialsChecker)
class Anybody:
    """Whoever says a name has it."""

    credentialInterfaces = (credentials.IUsernamePassword,)  # noqa: N815 - Twisted's name

    def requestAvatarId(self, login: Any) -> Any:  # noqa: N802 - Twisted's name
        """Its name."""
        return defer.succeed(login.username)


def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    realm = service.InMemoryWordsRealm("bench")
    realm.createGroupOnRequest = True
    factory = service.IRCFactory(realm, portal.Portal(realm, [Anybody()]))
    reactor.listenTCP(port, factory, interface=host, backlog=1024)
    reactor.run()


if __name__ == "__main__":
    main()
