"""What expires is warned of from thirty days before."""

from datetime import timedelta

import pytest
from certificates import Authority

from chainchat.tls.expiry import Expiry

AUTHORITY = Authority()
MADE = AUTHORITY.of("head").own
ENDS = MADE.not_valid_after_utc


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=31), ""),
        (timedelta(days=30), ""),
        (timedelta(days=29, hours=23), f"it expires in 29 days, on {ENDS:%F}: renew it"),
        (timedelta(hours=5), f"it expires within a day, on {ENDS:%F}: renew it"),
        (timedelta(), f"it expired on {ENDS:%F}; the next connection will fail: renew it"),
        (-timedelta(days=9), f"it expired on {ENDS:%F}; the next connection will fail: renew it"),
    ],
)
def test_the_warning_tells_how_long_and_what_to_do(left, said):
    expiry = Expiry(lambda: ENDS - left)
    expiry.note("it", [MADE])
    assert expiry.warning("it") == said
    assert expiry.warnings == ((said,) if said else ())


def test_of_several_certificates_the_first_to_expire_counts():
    earlier = AUTHORITY.made(AUTHORITY.names("head"), days=(-1, 5)).own
    expiry = Expiry(lambda: ENDS - timedelta(days=360))
    expiry.note("it", [MADE, earlier])
    assert expiry.warnings


def test_what_is_there_no_more_is_not_warned_of():
    expiry = Expiry(lambda: ENDS)
    expiry.note("it", [MADE])
    expiry.note("it", [])
    assert (expiry.warning("it"), expiry.warning("other"), expiry.warnings) == ("", "", ())
