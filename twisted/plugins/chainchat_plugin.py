"""Lets ``twistd`` find chainchat; the service itself is composed in ``chainchat.tap``."""

from twisted.application.service import ServiceMaker

chainchat = ServiceMaker(
    "chainchat",
    "chainchat.daemon",
    "One node of a replicated chat room that telnet and nc can reach.",
    "chainchat",
)
