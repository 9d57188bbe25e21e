"""Times, for people and programs."""

import datetime

DAY = 86_400_000
"""A day in milliseconds."""


def shown_time(milliseconds: int) -> str:
    """Return UTC milliseconds like ``2026-11-22T11:03:07Z``."""
    moment = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
