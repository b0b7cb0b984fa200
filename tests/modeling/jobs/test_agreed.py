"""A passive takes part in the job that it agreed to, and in no other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modeling.errors import ProtocolViolation
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs import active, passive
from modeling.jobs.passive import PassiveResult
from modeling.jobs.plan import JobPlan
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.messages import Message
from tests.modeling.jobs.world import TRAINING, Job


def agreeing(job: Job, agreed: JobPlan, sent: list[Message] | None = None) -> Any:
    """A passive that takes part in the agreed job only; all that it sends is noted."""

    def party(channels: Any) -> bytes:
        channel = channels["active"]
        send = channel.send

        def noted(message: Message) -> None:
            if sent is not None:
                sent.append(message)
            send(message)

        channel.send = noted
        return passive.run(job.tables[0], job.theirs[0], "active", "p1", channels, job.works["p1"], agreed=agreed)

    return party


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_passive_takes_part_in_the_job_that_it_agreed_to(algorithm: str) -> None:
    job = Job(algorithm)
    found = job.run(p1=agreeing(job, job.theirs_of()))
    assert msgspec.json.decode(found["p1"], type=PassiveResult).job == "ab" * 16


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
@pytest.mark.parametrize(
    "changes",
    [
        {"job": "cd" * 16},
        {"training": TRAINING - 1},
        {"columns": {"i.first": None}},
        {"columns": {"i.first": None, "i.second": None}},
        {
            "logistic": LogisticSettings(steps=9, tolerance=0.0),
            "boosting": BoostingSettings(trees=5, depth=2, key_bits=2048),
        },
    ],
)
def test_a_passive_that_agreed_to_another_job_refuses_and_says_nothing(algorithm: str, changes: dict[str, Any]) -> None:
    job = Job(algorithm)
    other = {"boosting": "logistic", "logistic": "boosting"}[algorithm]
    agreed = job.theirs_of(**{name: value for name, value in changes.items() if name != other})
    sent: list[Message] = []
    with pytest.raises(ProtocolViolation, match="another job than was agreed"):
        job.run(p1=agreeing(job, agreed, sent))
    assert sent == []


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_passive_refuses_a_training_with_other_settings_than_the_plan_told(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(algorithm)
    lies = {
        "logistic": LogisticSettings(steps=7, tolerance=0.0),
        "boosting": BoostingSettings(trees=3, depth=2, key_bits=2048),
    }
    module = {"logistic": active.logistic, "boosting": active.boosting}[algorithm]
    train = module.train

    def with_others(*given: Any, **named: Any) -> Any:
        return train(*given[:3], lies[algorithm], **named)

    monkeypatch.setattr(module, "train", with_others)
    with pytest.raises(ProtocolViolation, match="other settings than were agreed"):
        job.run()
    assert job.works["p1"].count == 0
