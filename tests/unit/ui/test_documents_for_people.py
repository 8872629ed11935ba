from typing import Any

from zave.ui.doctor import render_doctor
from zave.ui.drift import render_drift
from zave.ui.inventory import render_inventory
from zave.ui.plan import render_plan
from zave.ui.receipt import render_receipt
from zave.ui.rehearsal import render_faults, render_world_log
from zave.ui.status import render_status
from zave.ui.style import Style

LEAK = {
    "type": "libvirt_volume",
    "id": "/var/lib/x",
    "name": "zave-homelab-x",
    "usd_per_day": 1.2,
    "how_to_delete": "virsh vol-delete --pool default zave-homelab-x",
}


def receipt(**changes: Any) -> dict[str, Any]:
    return {
        "environment": "homelab",
        "rehearsal": True,
        "at": "2026-11-23T10:15:00.000Z",
        "deleted": [{"type": "libvirt_domain", "id": str(n), "name": f"node-{n}"} for n in range(3)],
        "accepted": [],
        "leaks": [],
        "usd_per_day_leaking": 0.0,
        "inventory_sources": ["simulated libvirt"],
        "sha256": "f" * 64,
        **changes,
    }


def test_a_clean_receipt_says_zero_and_by_whose_word() -> None:
    text = render_receipt(receipt())
    for part in (
        "REHEARSAL",
        "leaks     0",
        "simulated libvirt",
        "libvirt_domain (3): node-0, node-1, node-2",
        "f" * 64,
    ):
        assert part in text


def test_a_second_instance_is_called_by_its_own_name() -> None:
    assert render_receipt(receipt(instance="lab2")).startswith("Receipt of lab2 (homelab)  REHEARSAL")
    assert render_plan(plan(instance="lab2")).startswith("Plan for lab2 (homelab)  REHEARSAL")
    assert render_receipt(receipt(instance="homelab")).startswith("Receipt of homelab  REHEARSAL")


def test_a_plan_tells_whose_spec_it_is_made_from() -> None:
    spec = "/home/me/lab/environments/homelab/environment.yaml"
    assert f"\n  by {spec}\n" in render_plan(plan(spec=spec))
    assert "\n  by " not in render_plan(plan(spec=None))


def test_a_leak_shows_its_price_and_its_end() -> None:
    text = render_receipt(receipt(leaks=[LEAK], usd_per_day_leaking=1.2, rehearsal=False))
    for part in ("LEAKS     1", "$1.20 a day", "$1.20/day", LEAK["how_to_delete"]):
        assert str(part) in text
    assert "REHEARSAL" not in text
    assert "leaks     0" not in text


def test_what_is_accepted_says_why_and_until_when() -> None:
    accepted = {
        "type": "aws_kms_key",
        "id": "k",
        "name": "",
        "reason": "pending deletion",
        "until": "2026-12-01T00:00:00Z",
    }
    text = render_receipt(receipt(accepted=[accepted]))
    assert "aws_kms_key k: pending deletion (until 2026-12-01T00:00:00Z)" in text


def plan(**changes: Any) -> dict[str, Any]:
    free = {"low": 0.0, "expected": 0.0, "high": 0.0}
    return {
        "environment": "homelab",
        "rehearsal": True,
        "actions": [
            {"step": "render", "action": "skip", "reason": "up to date"},
            {"step": "infra", "action": "rerun", "reason": "its inputs changed"},
        ],
        "terraform": {
            "create": 50,
            "update": 0,
            "replace": 0,
            "delete": 1,
            "resources": [{"address": f"a.b{n}", "type": "a", "action": "create"} for n in range(50)],
        },
        "cost": {
            "currency": "USD",
            "ttl": {"hours": 48, **free, "expected": 9.6},
            "month": {"hours": 730, **free},
            "lines": [],
            "unpriced": ["egress"],
        },
        **changes,
    }


def test_a_plan_tells_what_up_would_refuse_in_the_account() -> None:
    fine = {"check": "region", "level": "ok", "what": "us-east-1", "fix": None, "refused": False}
    soon = fine | {"check": "version", "level": "warning", "what": "leaves soon", "fix": "take 1.36"}
    full = fine | {"check": "quota", "level": "missing", "what": "no room", "fix": "ask", "refused": True}
    text = render_plan(plan(preconditions=[fine, soon, full]))
    assert "Account: 3 things looked at, 1 in the way" in text
    assert "warning  version: leaves soon\n    next: take 1.36" in text
    assert "REFUSED  quota: no room\n    next: ask" in text
    assert "nothing in the way" in render_plan(plan(preconditions=[fine]))
    assert "Account" not in render_plan(plan(preconditions=[]))


def test_a_plan_tells_the_versions_of_addons() -> None:
    addons = [
        {"name": "coredns", "version": "v2", "before": "v1"},
        {"name": "kube-proxy", "version": None, "before": "v1"},
        {"name": "vpc-cni", "version": "v3", "before": None},
        {"name": "later", "version": None, "before": None},
    ]
    lines = [" ".join(line.split()) for line in render_plan(plan(addons=addons)).splitlines()]
    told = ["coredns v1 -> v2", "kube-proxy v1, goes", "vpc-cni v3", "later told by the apply"]
    assert [line for line in lines if line in told] == told
    assert "Add-ons" not in render_plan(plan(addons=[]))


def test_a_plan_tells_steps_changes_and_cost() -> None:
    text = render_plan(plan())
    for part in (
        "REHEARSAL",
        "RERUN",
        "its inputs changed",
        "50 to create",
        "1 to delete",
        "+ a.b0",
        "... and 10 more",
    ):
        assert part in text
    assert "until the TTL (48 h): $9.60" in text
    assert "without a price: egress" in text


def test_a_home_lab_has_no_ttl_to_price() -> None:
    cost = plan()["cost"]
    cost["ttl"]["hours"] = 0
    assert "TTL" not in render_plan(plan(cost=cost))


def test_no_drift_is_one_line() -> None:
    document = {"instance": "homelab", "in_sync": True, "plan": [], "world": [], "record": []}
    assert render_drift(document) == "homelab: no drift\n"


def test_drift_tells_which_of_the_three_disagree() -> None:
    missing = {"type": "libvirt_domain", "name": "zave-x", "problem": "missing"}
    text = render_drift(
        {"instance": "homelab", "in_sync": False, "plan": [], "world": [missing], "record": []}
    )
    assert "The world differs" in text
    assert "Terraform would change" not in text
    assert "missing" in text


def test_an_inventory_puts_leaks_in_red() -> None:
    document = {"instance": None, "expected": [], "standing": [], "leaks": [LEAK]}
    assert "\x1b[31mLEAKS" in render_inventory(document, style=Style(enabled=True))
    assert render_inventory({**document, "leaks": []}) == "nothing exists\n"


def test_an_inventory_is_by_type_with_amounts_and_no_id_that_repeats_the_name() -> None:
    zone = {**LEAK, "type": "z_type", "id": "same", "name": "same", "usd_per_day": 0.55441}
    bucket = {**zone, "type": "a_type", "id": "twin", "name": "twin", "usd_per_day": 0.0001}
    text = render_inventory({"instance": None, "expected": [], "standing": [], "leaks": [zone, bucket]})
    assert text.index("a_type") < text.index("z_type")
    assert "$0.55 " in text
    assert "$0.0001" in text
    assert "  ID  " not in text
    assert text.count("twin") == 1
    other = {**zone, "id": "arn:of:it"}
    assert "arn:of:it" in render_inventory({"instance": None, "expected": [other], "leaks": []})


def test_names_from_a_platform_cannot_act_on_the_terminal() -> None:
    evil = {**LEAK, "name": "\x1b[2Jx\ny"}
    for text in (
        render_inventory({"instance": None, "expected": [], "standing": [], "leaks": [evil]}),
        render_receipt(receipt(leaks=[evil], deleted=[evil])),
        render_drift({"instance": "x", "in_sync": False, "plan": [evil], "world": [], "record": []}),
        render_world_log(
            {"events": [{**dict.fromkeys(("seq", "virtual_at", "verb", "type", "detail"), "x"), **evil}]}
        ),
    ):
        assert "\x1b" not in text


def test_a_finding_comes_with_its_fix() -> None:
    finding = {
        "check": "packer",
        "level": "missing",
        "what": "not found",
        "fix": "install it",
        "needed": True,
    }
    document = {"environment": "homelab", "rehearsal": False, "ready": False, "findings": [finding]}
    text = render_doctor(document)
    assert "MISSING" in text
    assert "next: install it" in text
    assert text.endswith("homelab: not ready\n")


def test_a_fault_that_never_ends_says_always() -> None:
    fault = {"id": 3, "text": "fill pool always", "remaining": None, "skip": 0}
    assert "3   fill pool always  always" in render_faults({"faults": [fault]})


def test_many_instances_are_a_table_with_one_line_each() -> None:
    def environment(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "environment": "homelab",
            "platform": "libvirt-k3s",
            "rehearsal": False,
            "phase": "ready",
            "steps": [],
            "nodes": [{"state": "Ready"}, {"state": "NotReady"}],
            "created_at": "2026-11-23T10:15:00.000Z",
            "expires_at": None,
            "usd_per_hour": None,
            "usd_spent": None,
            "outputs": {"endpoint": None, "kubeconfig": None},
            "lock": {"pid": 7, "command": "up", "run_id": "", "since": "", "host": ""},
            "last_receipt": {
                "at": "2026-11-22T10:15:00.000Z",
                "deleted": 1,
                "accepted": 0,
                "leaks": 2,
                "usd_per_day_leaking": 3.0,
            },
        }

    text = render_status({"environments": [environment("a"), environment("b")]})
    assert len(text.splitlines()) == 3
    for part in ("1/2", "2026-11-23 10:15Z", "2 LEAKS, $3.00/day", "up (pid 7)"):
        assert part in text
