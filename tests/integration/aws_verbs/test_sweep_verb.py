"""`zave sweep` looks where a paid demo may still run, and says where it could not look."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.aws_live.standing import REGION, set_up
from tests.integration.aws_verbs.conftest import Account
from tests.unit.cli.conftest import Result
from zave.clock import SystemClock
from zave.spec.load import load_spec, spec_document
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

FILE = "[{}]\naws_access_key_id = testing\naws_secret_access_key = testing\n"


@pytest.fixture(autouse=True)
def no_libvirt(account: Account) -> None:
    """No libvirt-python in the child: this machine's own host must not answer instead of a user's."""
    folder = account.folder / "without-libvirt"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['libvirt'] = None\n")
    account.environment["PYTHONPATH"] = f"{folder}:{Path(__file__).parents[3]}"


@pytest.fixture
def lost(account: Account) -> str:
    """A volume of a demo that no record knows: its id."""
    set_up(account.api)
    tags = [{"Key": "zave:instance", "Value": "lost"}]
    made = account.api.call(
        "ec2",
        "create_volume",
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )
    return str(made["VolumeId"])


def with_profile(account: Account, name: str) -> None:
    """Have credentials in ~/.aws alone."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del account.environment[variable]
    folder = account.folder / "home" / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(FILE.format(name))


def leaks(ran: Result) -> set[str]:
    return {leak["id"] for leak in ran.document["leaks"]}


def test_credentials_in_a_file_alone_are_enough_to_find_and_delete_a_lost_demo(
    account: Account, lost: str
) -> None:
    with_profile(account, "default")
    found = account.zave("sweep", "-o", "json", status=6)
    assert leaks(found) == {lost}
    assert found.document["looked_at"] == [f"AWS {REGION}"]
    assert found.document["unanswered"] == []
    assert lost in account.zave("sweep", status=6).out
    gone = account.zave("sweep", "--delete", "--yes", "-o", "json").document
    assert (gone["leaks"], gone["unanswered"]) == ([], [])


def test_a_profile_that_is_not_the_default_is_named_and_chosen_by_a_variable(
    account: Account, lost: str
) -> None:
    with_profile(account, "private")
    # nothing was looked at but this machine's libvirt, which is not there: that is not a clean bill
    noted = account.zave("sweep", status=5)
    assert "AWS_PROFILE chooses one: private" in noted.err
    assert "nothing exists" not in noted.out
    chosen = account.zave("sweep", "-o", "json", status=6, more={"AWS_PROFILE": "private"})
    assert leaks(chosen) == {lost}


def test_a_region_that_does_not_answer_hides_no_leak_elsewhere_and_none_there_is_deleted(
    account: Account, lost: str
) -> None:
    # another region's calls go nowhere
    found = _two_regions(account, "sweep", "-o", "json", status=6)
    assert leaks(found) == {lost}
    (unanswered,) = found.document["unanswered"]
    assert unanswered["place"] == "AWS us-east-1-nowhere"
    assert unanswered["resolution"]
    deleted = _two_regions(account, "sweep", "--delete", "--yes", "-o", "json", status=5)
    assert leaks(deleted) == set()
    assert deleted.document["unanswered"] == [unanswered]
    told = _two_regions(account, "sweep", status=5)
    assert "NOT LOOKED AT" in told.out
    assert "nothing exists" not in told.out
    assert "not looked at: AWS us-east-1-nowhere" in told.err


def _two_regions(account: Account, *words: str, status: int) -> Result:
    """The environment is in one region; the user's variables name another, which AWS does not have."""
    return account.zave(*words, status=status, more={"AWS_REGION": "us-east-1-nowhere"})


@pytest.mark.parametrize("why", ["no such profile", "expired"])
def test_credentials_that_do_not_work_are_never_a_clean_bill(account: Account, why: str) -> None:
    more = {"AWS_PROFILE": "gone"}
    if why == "expired":
        more = {}
        account.server.refuse("sts:GetCallerIdentity", code="ExpiredToken", status=403, times=9)
    ran = account.zave("sweep", "-o", "json", status=5, more=more)
    (unanswered,) = ran.document["unanswered"]
    assert unanswered["place"] == f"AWS {REGION}"
    assert unanswered["resolution"]
    assert ran.document["leaks"] == []


def destroyed_in(where: Account, **aws: str) -> None:
    """Put a destroyed demo called `past` on record, in another account or region."""
    directory = StateDirectory.locate(where.environment, rehearsal=False)
    directory.prepare()
    spec = spec_document(load_spec(where.folder / "project/environments/aws-demo/environment.yaml"))
    record = InstanceRecord(
        name="past",
        environment="aws-demo",
        platform="aws-eks",
        phase="destroyed",
        created_at=SystemClock().now(),
        spec={**spec, "aws": {**spec["aws"], **aws}},
    )
    with closing(StateStore.open(directory, clock=SystemClock())) as store:
        store.save_instance(record)


def test_a_demo_that_was_destroyed_in_another_account_hides_nothing_in_this_one(
    account: Account, lost: str
) -> None:
    destroyed_in(account, account="999999999999")
    assert leaks(account.zave("sweep", "-o", "json", status=6)) == {lost}


def test_of_an_instance_on_record_only_its_own_region_is_asked(account: Account) -> None:
    set_up(account.api)
    destroyed_in(account, region="eu-west-1")
    assert account.zave("sweep", "past", "-o", "json").document["looked_at"] == ["AWS eu-west-1"]


def test_a_role_that_is_refused_stays_a_leak(account: Account, lost: str) -> None:
    trust = '{"Version": "2012-10-17", "Statement": []}'
    tags = [{"Key": "zave:instance", "Value": "lost"}]
    account.api.call(
        "iam",
        "create_role",
        RoleName="zave-lost-node",
        Path="/zave/lost/",
        AssumeRolePolicyDocument=trust,
        Tags=tags,
    )
    account.server.refuse("iam:DeleteRole", code="AccessDenied", status=403, times=9)
    swept = account.zave("sweep", "--delete", "--yes", "-o", "json", status=6)
    assert leaks(swept) == {"zave-lost-node"}
    assert "zave-lost-node stays" in swept.err
    assert lost not in swept.out


def test_roles_alone_of_somebody_elses_demo_are_never_deleted(account: Account) -> None:
    set_up(account.api)
    account.api.call(
        "iam",
        "create_role",
        RoleName="zave-theirs-node",
        Path="/zave/theirs/",
        AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}',
        Tags=[{"Key": "zave:instance", "Value": "theirs"}],
    )
    for words in (("sweep",), ("sweep", "theirs")):
        swept = account.zave(*words, "--delete", "--yes", "-o", "json")
        assert [each["id"] for each in swept.document["unclear"]] == ["zave-theirs-node"]
    assert account.api.call("iam", "get_role", RoleName="zave-theirs-node")


@pytest.mark.parametrize("process", ["/bin/echo notjson", "/nonexistent/program"])
def test_a_process_for_credentials_that_does_not_work_is_told(process: str, account: Account) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del account.environment[variable]
    folder = account.folder / "home" / ".aws"
    folder.mkdir()
    (folder / "config").write_text(f"[default]\ncredential_process = {process}\n")
    swept = account.zave("sweep", "-o", "json", status=5)
    [silent] = swept.document["unanswered"]
    assert "there are no usable AWS credentials" in silent["problem"]
    assert "bug" not in swept.err
