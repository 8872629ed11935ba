"""What external-dns and Velero write to is looked at before anything is made."""

from dataclasses import dataclass, field

import pytest

from tests.unit.aws.test_preconditions import Facts
from zave.aws.places import HostedZone, Place, look_at_places
from zave.errors import StepFailedError


@dataclass
class Places(Facts):
    """An account with zones by ID, and buckets by name with their regions."""

    zones: dict[str, HostedZone] = field(default_factory=dict)
    buckets: dict[str, str] = field(default_factory=dict)

    def hosted_zone(self, zone: str) -> HostedZone | None:
        if self.refuse:
            raise StepFailedError("refused", details="AccessDenied")
        return self.zones.get(zone)

    def bucket_region(self, bucket: str) -> str | None:
        if self.refuse:
            raise StepFailedError("refused", details="403")
        return self.buckets.get(bucket)


@pytest.mark.parametrize(
    ("zone", "level", "words"),
    [
        (HostedZone("demo.example.org"), "ok", "Z1 has demo.example.org"),
        (HostedZone("example.org"), "ok", "Z1 has demo.example.org"),
        (HostedZone("mo.example.org"), "missing", "demo.example.org is not in mo.example.org"),
        (HostedZone("a.demo.example.org"), "missing", "is not in a.demo.example.org"),
        (HostedZone("example.org", private=True), "warning", "Z1 is private"),
        (None, "missing", "the account has no hosted zone Z1"),
    ],
)
def test_names_need_a_zone_that_has_their_domain(zone: HostedZone | None, level: str, words: str) -> None:
    facts = Places(zones={} if zone is None else {"Z1": zone})
    (finding,) = look_at_places(facts, zone=Place("Z1", "demo.example.org"), backups=None)
    assert (finding.level, finding.needed) == (level, level == "missing")
    assert words in finding.what


@pytest.mark.parametrize(
    ("region", "level", "words"),
    [
        ("us-east-1", "ok", "the bucket mine is there"),
        # another's bucket may not tell
        ("", "ok", "the bucket mine is there"),
        ("eu-west-1", "missing", "is in eu-west-1, not in us-east-1"),
        (None, "missing", "there is no bucket mine"),
    ],
)
def test_backups_need_a_bucket_where_they_are_told_to_go(region: str | None, level: str, words: str) -> None:
    facts = Places(buckets={} if region is None else {"mine": region})
    (finding,) = look_at_places(facts, zone=None, backups=Place("mine", "us-east-1"))
    assert (finding.level, finding.needed) == (level, level == "missing")
    assert words in finding.what


def test_what_may_not_be_asked_is_a_warning_and_stops_nobody() -> None:
    places = Place("Z1", "demo.example.org"), Place("mine", "us-east-1")
    findings = look_at_places(Places(refuse=True), zone=places[0], backups=places[1])
    assert [(each.check, each.level, each.needed) for each in findings] == [
        ("hosted zone", "warning", False),
        ("backups", "warning", False),
    ]


def test_without_extras_nothing_is_asked() -> None:
    assert look_at_places(Places(refuse=True), zone=None, backups=None) == []
