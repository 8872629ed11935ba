from collections.abc import Callable

import pytest

from zave.errors import UsageError
from zave.spec.places import (
    parse_branch,
    parse_folder,
    parse_https_url,
    parse_image_name,
    parse_libvirt_name,
    parse_libvirt_uri,
    parse_public_key_file,
    parse_repository,
)

ACCEPTED: list[tuple[Callable[[object], str], str]] = [
    (parse_repository, "local"),
    (parse_repository, "https://git.example.org/me/platform.git"),
    (parse_repository, "https://git.example.org:8443/me/platform"),
    (parse_repository, "ssh://git@git.example.org/me/platform.git"),
    (parse_repository, "ssh://git@192.168.1.5:2222/~me/platform.git"),
    (parse_repository, "git@git.example.org:me/platform.git"),
    (parse_repository, "git@nas:me/platform.git"),
    (parse_branch, "main"),
    (parse_branch, "release/1.0"),
    (parse_libvirt_uri, "qemu:///system"),
    (parse_libvirt_uri, "qemu:///session"),
    (parse_libvirt_uri, "qemu+ssh://me@hypervisor.example.org:2222/system"),
    (parse_libvirt_uri, "qemu+tls://hypervisor/system"),
    (parse_libvirt_name, "default"),
    (parse_libvirt_name, "Fast.pool_2-a"),
    (parse_image_name, "ubuntu-24.04"),
    (parse_public_key_file, "~/.ssh/id_ed25519.pub"),
    (parse_public_key_file, "/etc/zave/team keys.pub"),
    (parse_folder, "/srv/zave"),
    (parse_folder, "~/zave-artifacts"),
    (parse_https_url, "https://files.example.org:8443/zave/"),
]

REFUSED: list[tuple[Callable[[object], str], object]] = [
    (parse_repository, ""),
    (parse_repository, None),
    (parse_repository, "-x"),
    (parse_repository, "--upload-pack=id"),
    (parse_repository, "http://git.example.org/me/x.git"),
    (parse_repository, "git://git.example.org/me/x.git"),
    (parse_repository, "file:///srv/x.git"),
    (parse_repository, "/srv/x.git"),
    (parse_repository, "ext::sh -c id"),
    (parse_repository, "https://me:token@git.example.org/me/x.git"),
    (parse_repository, "https://token@git.example.org/me/x.git"),
    (parse_repository, "ssh://git:secret@git.example.org/x.git"),
    (parse_repository, "ssh://-oProxyCommand=id/x.git"),
    (parse_repository, "ssh://-x@git.example.org/x.git"),
    (parse_repository, "git@-oProxyCommand=id:x.git"),
    (parse_repository, "git@git.example.org:-x"),
    (parse_repository, "https://git.example.org/a/../b"),
    (parse_repository, "https://git.example.org/x.git?token=1"),
    (parse_repository, "https://git.example.org/x.git#main"),
    (parse_repository, "https://git.example.org:99999/x.git"),
    (parse_repository, "https://git.example.org/x.git\n"),
    (parse_repository, "https://git.example.org/${x}"),
    (parse_repository, "https://git.example.org/"),
    (parse_branch, "-f"),
    (parse_branch, ""),
    (parse_branch, "a..b"),
    (parse_branch, "a/-b"),
    (parse_branch, "a.lock"),
    (parse_branch, "a/b.lock"),
    (parse_branch, "a."),
    (parse_branch, "a//b"),
    (parse_branch, "/a"),
    (parse_branch, "a b"),
    (parse_branch, "a~1"),
    (parse_branch, "a@{1}"),
    (parse_branch, "a" * 201),
    (parse_branch, None),
    (parse_libvirt_uri, "xen:///system"),
    (parse_libvirt_uri, "qemu:///other"),
    (parse_libvirt_uri, "qemu+ssh://host/system?command=/tmp/x"),
    (parse_libvirt_uri, "qemu:///system?socket=/tmp/x"),
    (parse_libvirt_uri, "qemu+ssh://me:secret@host/system"),
    (parse_libvirt_uri, "qemu+ssh://-oProxyCommand=id/system"),
    (parse_libvirt_uri, "qemu+ext://host/system"),
    (parse_libvirt_uri, "qemu+tcp://host/system"),
    (parse_libvirt_uri, None),
    (parse_libvirt_name, "-x"),
    (parse_libvirt_name, "../x"),
    (parse_libvirt_name, "a/b"),
    (parse_libvirt_name, "a\n"),
    (parse_libvirt_name, "${a}"),
    (parse_libvirt_name, ""),
    (parse_libvirt_name, "a" * 64),
    (parse_libvirt_name, 3),
    (parse_image_name, "../x"),
    (parse_image_name, "a..b"),
    (parse_image_name, "-a"),
    (parse_image_name, "A"),
    (parse_image_name, None),
    (parse_public_key_file, "~/.ssh/id_ed25519"),
    (parse_public_key_file, "id_ed25519.pub"),
    (parse_public_key_file, "-i.pub"),
    (parse_public_key_file, "~/.ssh/../../x.pub"),
    (parse_public_key_file, "ssh-ed25519 AAAA me"),
    (parse_public_key_file, "~/a\n.pub"),
    (parse_public_key_file, "/" + "a" * 2000 + ".pub"),
    (parse_public_key_file, None),
    (parse_folder, "relative"),
    (parse_folder, "-x"),
    (parse_folder, "/srv/../etc"),
    (parse_folder, None),
    (parse_https_url, "http://files.example.org/zave"),
    (parse_https_url, "https://me:secret@files.example.org/zave"),
    (parse_https_url, "https://files.example.org/../x"),
    (parse_https_url, "/srv/zave"),
    (parse_https_url, None),
]


@pytest.mark.parametrize(("parse", "value"), ACCEPTED)
def test_places_are_kept_as_written(parse: Callable[[object], str], value: str) -> None:
    assert parse(value) == value


@pytest.mark.parametrize(("parse", "value"), REFUSED)
def test_options_credentials_and_escapes_are_refused_with_a_way_out(
    parse: Callable[[object], str], value: object
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(value)
    assert caught.value.resolution
    assert "secret" not in caught.value.brief
    assert "me:token" not in caught.value.brief
    assert "\n" not in caught.value.brief
