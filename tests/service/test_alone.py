"""The epoch of a node that goes on alone."""

import pytest

from chainchat.service.alone import forced_epoch

pytestmark = pytest.mark.reactor


def test_a_forced_epoch_is_far_above_the_known_one_and_differs_from_every_other():
    epochs = [forced_epoch(7) for _ in range(200)]
    assert min(epochs) >= 1_007
    assert max(epochs) - min(epochs) > 500_000  # less likely than a bug
    assert max(epochs) < 10_000_000  # to be read out
