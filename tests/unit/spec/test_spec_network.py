from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.errors import UsageError
from zave.spec.network import (
    architecture_of,
    first_overlap,
    parse_account,
    parse_bucket,
    parse_cidr,
    parse_domain,
    parse_email,
    parse_instance_type,
    parse_private_cidr,
    parse_public_cidr,
    parse_region,
    parse_zone,
)


@given(st.integers(min_value=0, max_value=2**32 - 1), st.integers(min_value=0, max_value=32))
def test_networks_are_accepted_and_addresses_inside_them_refused(address: int, prefix: int) -> None:
    network = IPv4Network((address, prefix), strict=False)
    assert parse_cidr(str(network)) == network
    if prefix < 32:
        with pytest.raises(UsageError, match="host bits are set") as caught:
            parse_cidr(f"{network.network_address + 1}/{prefix}")
        assert caught.value.resolution == f"the network is {network}"


@pytest.mark.parametrize(
    "value", ["", "10.0.0.0", "10.0.0/24", "10.0.0.0/33", "256.0.0.0/8", "10.0.0.0/255.0.0.0", 10, None]
)
def test_other_writings_of_networks_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not an IPv4 network"):
        parse_cidr(value)


def test_ipv6_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="is IPv6"):
        parse_cidr("2001:db8::/32")


@pytest.mark.parametrize("value", ["10.0.0.0/24", "172.31.0.0/20", "192.168.1.0/28"])
def test_private_networks_of_fitting_size_are_accepted(value: str) -> None:
    assert parse_private_cidr(value, widest=16, narrowest=28) == IPv4Network(value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("11.0.0.0/24", "is not private"),
        ("172.32.0.0/16", "is not private"),
        ("100.64.0.0/16", "is not private"),
        ("0.0.0.0/0", "is not private"),
        ("10.0.0.0/15", "too large"),
        ("10.0.0.0/29", "too small"),
    ],
)
def test_public_and_ill_sized_networks_are_refused(value: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_private_cidr(value, widest=16, narrowest=28)


@pytest.mark.parametrize(
    "value", ["10.1.0.0/16", "127.0.0.1/32", "169.254.0.0/16", "100.64.1.0/24", "224.0.0.0/4"]
)
def test_networks_that_never_appear_on_the_internet_let_nobody_in(value: str) -> None:
    assert parse_public_cidr("203.0.113.7/32") == IPv4Network("203.0.113.7/32")
    with pytest.raises(UsageError, match="never appears on the internet"):
        parse_public_cidr(value)


def test_overlap_is_found_in_both_directions() -> None:
    ranges = [IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16")]
    assert first_overlap(IPv4Network("10.43.7.0/24"), ranges) == ranges[1]
    assert first_overlap(IPv4Network("10.0.0.0/8"), ranges) == ranges[0]
    assert first_overlap(IPv4Network("10.44.0.0/16"), ranges) is None


@pytest.mark.parametrize("value", ["lab.example.org", "a.b", "xn--bcher-kva.example", "1.example.org"])
def test_domains_are_accepted(value: str) -> None:
    assert parse_domain(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "lab",
        "Lab.example.org",
        "-a.example.org",
        "a-.example.org",
        "a..b",
        ".a.b",
        "a.b.",
        "10.0.0.1",
        "a_b.c",
        "a b.c",
        "lab.example.org\n",
        "bücher.example",
        "a" * 64 + ".org",
        ".".join(["abcdefgh"] * 30),
        "${a}.b",
        None,
    ],
)
def test_other_domains_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not a DNS name"):
        parse_domain(value)


@pytest.mark.parametrize("value", ["me@example.org", "jane.doe+tag@sub.example.co.uk", "a_b-c@Example.org"])
def test_addresses_are_accepted(value: str) -> None:
    assert parse_email(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "me",
        "@example.org",
        "me@",
        "me@localhost",
        "me@@example.org",
        "a..b@example.org",
        "a.@example.org",
        "-x@example.org",
        "me@example.org\nBcc: x@y.z",
        "<me@example.org>",
        'a"b@example.org',
        "me @example.org",
        7,
    ],
)
def test_other_addresses_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not an e-mail address"):
        parse_email(value)


def test_accounts_are_twelve_digits_in_quotes() -> None:
    assert parse_account("012345678901") == "012345678901"
    with pytest.raises(UsageError, match="leading zeros are lost"):
        parse_account(12345678901)
    for wrong in (
        "12345678901",
        "1234567890123",
        "1234-5678-9012",
        "\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11",
        None,
    ):
        with pytest.raises(UsageError, match="is not an AWS account"):
            parse_account(wrong)


@pytest.mark.parametrize("value", ["us-east-1", "eu-central-2", "ap-southeast-4", "us-gov-west-1"])
def test_regions_are_accepted_by_form(value: str) -> None:
    assert parse_region(value) == value


def test_zone_given_for_a_region_is_explained() -> None:
    with pytest.raises(UsageError) as caught:
        parse_region("eu-west-1b")
    assert caught.value.resolution == "that is a zone; its region is eu-west-1"
    for wrong in ("us-east1", "US-EAST-1", "useast", "-us-east-1", "us-east-1\n", 1, None):
        with pytest.raises(UsageError, match="is not an AWS region"):
            parse_region(wrong)


@pytest.mark.parametrize("value", ["zave-state-{account}", "{region}-{account}", "abc", "a" * 63])
def test_bucket_names_may_hold_placeholders(value: str) -> None:
    assert parse_bucket(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "ab",
        "a" * 64,
        "Zave",
        "a_b",
        "a.b.c",
        "-abc",
        "abc-",
        "xn--abc",
        "{user}-abc",
        "a" * 52 + "{account}",
        "a/b/c",
        None,
    ],
)
def test_other_bucket_names_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not a bucket name"):
        parse_bucket(value)


@pytest.mark.parametrize(
    ("instance_type", "architecture"),
    [
        ("t3.large", "amd64"),
        ("m6i.4xlarge", "amd64"),
        ("g4dn.xlarge", "amd64"),
        ("c5.metal", "amd64"),
        ("t4g.large", "arm64"),
        ("m7gd.large", "arm64"),
        ("im4gn.large", "arm64"),
        ("a1.medium", "arm64"),
    ],
)
def test_architecture_follows_from_the_family(instance_type: str, architecture: str) -> None:
    assert architecture_of(parse_instance_type(instance_type)) == architecture


@pytest.mark.parametrize(
    "value", ["t3large", "large", "t3.", "t3.huge", "T3.large", "t3.large\n", "t3.0xlarge", "-t3.large", None]
)
def test_other_instance_types_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not an instance type"):
        parse_instance_type(value)


@pytest.mark.parametrize("value", ["Z1D633PJN98FT9", "Z0123456789ABCDEFGHIJ"])
def test_a_hosted_zone_is_named_by_its_id(value: str) -> None:
    assert parse_zone(value) == value


@pytest.mark.parametrize("value", ["/hostedzone/Z1D633PJN98FT9", "z1d633pjn98ft9", "example.org", "Z*", 5])
def test_what_is_no_id_of_a_hosted_zone_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not the ID of a hosted zone"):
        parse_zone(value)


def test_an_address_without_prefix_is_answered_with_its_own_network() -> None:
    with pytest.raises(UsageError) as caught:
        parse_cidr("203.0.113.7")
    assert "203.0.113.7/32" in (caught.value.resolution or "")
    with pytest.raises(UsageError) as caught:
        parse_cidr("homelab")
    assert "10.17.3.0/24" in (caught.value.resolution or "")
