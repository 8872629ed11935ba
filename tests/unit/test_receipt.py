from typing import Any

from zave.receipt import Settlement, Subject, receipt, receipt_digest

GONE = {"type": "libvirt_domain", "id": "1", "name": "zave-lab-worker-1"}
LEAK = {
    "type": "libvirt_volume",
    "id": "/pool/v",
    "name": "v",
    "usd_per_day": 0.25,
    "how_to_delete": "virsh vol-delete /pool/v",
}


def issued(*leaks: dict[str, Any]) -> dict[str, Any]:
    return receipt(
        Settlement(deleted=[GONE], leaks=list(leaks)),
        Subject(instance="lab", environment="homelab", rehearsal=True),
        at="2026-11-23T10:00:00.000Z",
        sources=["simulated libvirt"],
    )


def test_a_receipt_names_what_is_gone_and_what_leaks_with_its_cost() -> None:
    document = issued(LEAK, {**LEAK, "id": "/pool/w", "name": "w"})
    assert document["deleted"] == [GONE]
    assert [leak["name"] for leak in document["leaks"]] == ["v", "w"]
    assert document["usd_per_day_leaking"] == 0.5


def test_the_digest_covers_everything_but_itself() -> None:
    document = issued()
    assert document["sha256"] == receipt_digest(document)
    assert receipt_digest({**document, "rehearsal": False}) != document["sha256"]
    assert receipt_digest({**document, "deleted": []}) != document["sha256"]
