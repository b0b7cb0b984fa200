from __future__ import annotations

import pytest

from hub.errors import HubError
from hub.limits import RateLimit


def test_a_caller_gets_its_burst_then_its_rate_and_is_told_how_long_to_wait() -> None:
    now = [0.0]
    limit = RateLimit(10.0, clock=lambda: now[0])
    for _ in range(20):
        limit.take("bank-a")
    with pytest.raises(HubError) as caught:
        limit.take("bank-a")
    assert (caught.value.code, caught.value.retry_after_ms) == ("RATE_LIMITED", 100)
    now[0] += 0.1
    limit.take("bank-a")
    with pytest.raises(HubError):
        limit.take("bank-a")


def test_one_caller_does_not_use_up_anothers_calls() -> None:
    limit = RateLimit(0.5, clock=lambda: 0.0)
    limit.take("bank-a")
    with pytest.raises(HubError):
        limit.take("bank-a")
    limit.take("bank-b")


def test_an_idle_caller_does_not_save_up_more_than_its_burst() -> None:
    now = [0.0]
    limit = RateLimit(10.0, clock=lambda: now[0])
    limit.take("bank-a")
    now[0] = 1e6
    for _ in range(20):
        limit.take("bank-a")
    with pytest.raises(HubError):
        limit.take("bank-a")
