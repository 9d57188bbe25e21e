"""Rights: what a command may do. Only command and accounts decide: every node decides alike.

Where an account is None, nobody has the command's name now.
"""

from chainchat.chat import commands
from chainchat.chat.accounts import Account, AccountRole
from chainchat.chat.refusals import Code


class RefusedAtApplyError(Exception):
    """Raised before a command changes anything."""

    def __init__(self, code: Code, about: str = "") -> None:
        super().__init__(code.name)
        self.code = code
        self.about = about


def check_login(account: Account | None, command: commands.Login) -> None:
    """Check a login.

    Raises:
        RefusedAtApplyError: 434, another password was checked; 513, it has to be changed first; or
            ``refuse_new``.
    """
    if account is not None:
        check_secret(account, command.checked)
        if account.verifier is not None and account.verifier.once:
            raise RefusedAtApplyError(Code.PASSWORD_NEEDED, account.name)
    elif command.checked:
        raise RefusedAtApplyError(Code.PASSWORD_CHANGED, command.name)
    elif command.refuse_new:
        raise RefusedAtApplyError(Code(command.refuse_new), command.name)


def check_secret(account: Account, checked: int) -> None:
    """Check that entry ``checked`` set the account's verifier; 0: that it has none.

    Raises:
        RefusedAtApplyError: 434.
    """
    if account.secret != checked:
        raise RefusedAtApplyError(Code.PASSWORD_CHANGED, account.name)


def check_change(account: Account | None, command: commands.SetSecret) -> None:
    """Check a new password.

    Raises:
        RefusedAtApplyError: 521; 434; 431, it is another's session; 513, an operator needs one.
    """
    if account is None:
        raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
    by_proof = not command.session and command.checked
    if not by_proof and (not command.session or account.session != command.session):
        raise RefusedAtApplyError(Code.SESSION_ENDED, account.name)
    check_secret(account, command.checked)
    if account.role is AccountRole.OPERATOR and command.verifier is None:
        raise RefusedAtApplyError(Code.PASSWORD_NEEDED, account.name)


def check_deletion(deleter: Account, account: Account, command: commands.Delete) -> None:
    """Check that ``deleter`` may delete ``account``.

    Raises:
        RefusedAtApplyError: 515.
    """
    if deleter is not account and not command.others and deleter.role is not AccountRole.OPERATOR:
        raise RefusedAtApplyError(Code.OPERATORS_ONLY, account.name)


def check_operator(operator: Account) -> None:
    """Check that this is an operator.

    Raises:
        RefusedAtApplyError: 515.
    """
    if operator.role is not AccountRole.OPERATOR:
        raise RefusedAtApplyError(Code.OPERATORS_ONLY)


def check_invitation(account: Account | None, command: commands.Invite) -> None:
    """Check an invitation: of nobody, or of whoever was invited and has not come yet.

    Raises:
        RefusedAtApplyError: 521, there is nothing to reset; 433, the account is somebody's.
    """
    if account is None:
        if command.reset:
            raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
    elif not command.reset and (account.verifier is None or not account.verifier.once):
        raise RefusedAtApplyError(Code.NAME_IN_USE, account.name)


def check_grant(account: Account | None, command: commands.Grant) -> None:
    """Check a new role.

    Raises:
        RefusedAtApplyError: 521; 513, an operator needs a password.
    """
    if account is None:
        raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
    if command.role is AccountRole.OPERATOR and account.verifier is None:
        raise RefusedAtApplyError(Code.PASSWORD_NEEDED, account.name)
