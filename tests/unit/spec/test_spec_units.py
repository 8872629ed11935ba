import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.errors import UsageError
from zave.spec.units import (
    DAY,
    GIB,
    HOUR,
    MIB,
    TIB,
    YEAR,
    format_duration,
    format_size,
    parse_duration,
    parse_eks_version,
    parse_k3s_version,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("90m", 5400),
        ("48h", 48 * HOUR),
        ("7d", 7 * DAY),
        ("1h30m", 5400),
        ("1d2h3m4s", DAY + 2 * HOUR + 184),
        ("007h", 7 * HOUR),
    ],
)
def test_durations_are_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "h",
        "48",
        "48H",
        "48 h",
        "-1h",
        "+1h",
        "1.5h",
        "1h1h",
        "30m1h",
        "1:30:00",
        "48hours",
        "1w",
        "\u0661h",
        "1h\n",
    ],
)
def test_other_writings_of_durations_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is not a duration") as caught:
        parse_duration(value)
    assert "1h30m" in (caught.value.resolution or "")


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_things_that_are_no_text_are_no_durations(value: object) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(value)


@pytest.mark.parametrize("value", [48, 1.5])
def test_bare_number_is_refused_for_its_missing_unit(value: object) -> None:
    with pytest.raises(UsageError, match="has no unit"):
        parse_duration(value)


def test_durations_have_bounds_that_the_message_names() -> None:
    assert parse_duration("1h", minimum=HOUR, maximum=HOUR) == HOUR
    with pytest.raises(UsageError, match="the lifetime `59m` is too short") as caught:
        parse_duration("59m", what="lifetime", minimum=HOUR)
    assert caught.value.resolution == "the shortest is 1h"
    with pytest.raises(UsageError, match="too long"):
        parse_duration("61m", maximum=HOUR)
    with pytest.raises(UsageError, match="too short"):
        parse_duration("0s")
    with pytest.raises(UsageError, match="too long"):
        parse_duration("999999999d")
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration("9" * 100_000 + "d")


@given(st.integers(min_value=1, max_value=YEAR))
def test_formatted_durations_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (5400, "1h30m"), (48 * HOUR, "48h"), (7 * DAY, "7d"), (73 * HOUR, "73h")]
)
def test_durations_are_formatted_as_people_write_them(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("text", "size"), [("512MiB", 512 * MIB), ("8GiB", 8 * GIB), ("1TiB", TIB)])
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["8GB", "8G", "8gb", "8 GB", "8MB", "2T", "8Gb"])
def test_decimal_units_are_refused_and_binary_ones_offered(value: str) -> None:
    with pytest.raises(UsageError, match="binary units") as caught:
        parse_size(value)
    assert f"{value.strip('B b')[-1].upper()}iB" in (caught.value.resolution or "")


@pytest.mark.parametrize(
    "value", ["", "GiB", "-1GiB", "1.5GiB", "8 GiB", "8GiB\n", "8KiB", "\u0668GiB", "1GiB2MiB", "8"]
)
def test_other_writings_of_sizes_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(value)


def test_sizes_have_bounds_that_the_message_names() -> None:
    with pytest.raises(UsageError, match="has no unit"):
        parse_size(8)
    with pytest.raises(UsageError, match="the disk `1GiB` is too small") as caught:
        parse_size("1GiB", what="disk", minimum=4 * GIB)
    assert caught.value.resolution == "the smallest is 4GiB"
    with pytest.raises(UsageError, match="too large"):
        parse_size("999999999TiB")


@given(st.integers(min_value=1, max_value=1024 * 1024))
def test_formatted_sizes_read_back(mebibytes: int) -> None:
    assert parse_size(format_size(mebibytes * MIB)) == mebibytes * MIB


@pytest.mark.parametrize(
    ("text", "version"), [("v1.35", "v1.35"), ("1.35", "v1.35"), ("v1.35.9+k3s1", "v1.35.9+k3s1")]
)
def test_k3s_versions_are_channels_or_releases(text: str, version: str) -> None:
    assert parse_k3s_version(text) == version


@pytest.mark.parametrize(
    "value", ["", "v1", "v2.0", "v1.35.9", "v1.35+k3s1", "latest", "vv1.35", "v1.035", "v1.35\n", None]
)
def test_other_k3s_versions_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="is not a version of k3s"):
        parse_k3s_version(value)


@pytest.mark.parametrize("value", ["", "v1.35", "1.35.1", "1", "1.5", "latest", True])
def test_other_eks_versions_are_refused(value: object) -> None:
    assert parse_eks_version("1.35") == "1.35"
    with pytest.raises(UsageError, match="is not a version of EKS"):
        parse_eks_version(value)


@pytest.mark.parametrize("parse", [parse_k3s_version, parse_eks_version])
def test_versions_that_yaml_read_as_numbers_ask_for_quotes(parse: object) -> None:
    assert callable(parse)
    with pytest.raises(UsageError, match=r"1\.40 becomes 1\.4"):
        parse(1.35)
