"""Who started a demo hears of its end before it comes: by mail in an account, by the log in a rehearsal."""

from datetime import datetime, timedelta

from tests.rehearsal.aws_lab import INSTANCE, AwsLab
from zave.clock import from_rfc3339


def told(lab: AwsLab) -> list[datetime]:
    """When the topic was told that the demo ends soon."""
    return [e.virtual_at for e in lab.log() if e.verb == "warn" and e.name == INSTANCE]


def test_the_end_is_announced_six_hours_and_one_hour_before(demo_lab: AwsLab) -> None:
    end = from_rfc3339(demo_lab.status()["expires_at"])
    demo_lab.ok("rehearse", "advance", "41h")
    assert told(demo_lab) == []
    demo_lab.ok("rehearse", "advance", "8h")
    assert told(demo_lab) == [end - timedelta(hours=6), end - timedelta(hours=1)]
    said = [e.detail for e in demo_lab.log() if e.verb == "warn"]
    assert all("simulated" in text and INSTANCE in text for text in said)


def test_warnings_move_with_the_end_and_go_with_the_demo(demo_lab: AwsLab) -> None:
    (moved,) = demo_lab.ok("extend", INSTANCE, "--ttl", "100h").documents
    demo_lab.ok("rehearse", "advance", "96h")
    assert told(demo_lab) == [from_rfc3339(moved["expires_at"]) - timedelta(hours=6)]
    assert demo_lab.end().exit_code == 0
    demo_lab.ok("rehearse", "advance", "24h")
    assert len(told(demo_lab)) == 1
