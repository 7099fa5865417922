"""Whose request it is: clients write what they like into a header, and are believed as far as proxies wrote it."""

from ipaddress import ip_address

import pytest

from kit.addresses import caller, networks, within

PROXIES = networks("10.0.0.0/8, 127.0.0.1, ::1")
SHOP = networks("185.71.76.0/27,2a02:5180::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "who"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["185.71.76.1"], "203.0.113.9"),
        ("127.0.0.1", ["185.71.76.1"], "185.71.76.1"),
        ("127.0.0.1", ["185.71.76.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["185.71.76.1, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("127.0.0.1", ["185.71.76.1", "203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.7"], "10.0.0.7"),
        ("127.0.0.1", ["185.71.76.1, unknown"], None),
        ("127.0.0.1", [""], None),
        ("::ffff:127.0.0.1", ["2a02:5180::1"], "2a02:5180::1"),
        ("::ffff:185.71.76.1", [], "185.71.76.1"),
        (None, ["185.71.76.1"], None),
        ("", [], None),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(peer: str | None, forwarded: list[str], who: str | None) -> None:
    assert caller(peer, forwarded, PROXIES) == (ip_address(who) if who else None)


def test_without_trusted_proxies_no_header_counts() -> None:
    assert caller("127.0.0.1", ["185.71.76.1"], ()) == ip_address("127.0.0.1")


def test_an_address_is_within_its_network() -> None:
    assert within(ip_address("185.71.76.31"), SHOP)
    assert not within(ip_address("185.71.76.32"), SHOP)
    assert within(ip_address("2a02:5180:1::5"), SHOP)
    assert not within(None, SHOP)
    with pytest.raises(ValueError, match="host bits"):
        networks("185.71.76.1/27")
