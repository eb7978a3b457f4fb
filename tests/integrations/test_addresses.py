"""Which addresses we connect to (delivery.md 13, security.md 43 and 47)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from integrations.addresses import Policy, RefusedUrlError, check_shape, is_public

STRICT = Policy()
OPEN_HTTP = Policy(allow_http=True)

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - a literal, nothing listens
    "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
    "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1",
          "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_dl_112_an_address_of_the_table_is_not_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_dl_112_an_address_of_the_internet_is_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "[::1]", "2130706433", "0x7f.1", "127.1",
        "[::ffff:127.0.0.1]", "0", "169.254.169.254", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "0177.0.0.1", "0x7f000001",
    ],
)  # fmt: skip
def test_sx_43_a_host_that_means_this_machine_is_refused(host):
    with pytest.raises(RefusedUrlError):
        check_shape(f"http://{host}/hook", OPEN_HTTP)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com/hook",
        "https://example.com:6379/",
        "https://example.com:22/",
        "https://example.com:5432/",
        "https://example.com:25/",
        "https://example.com:8/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/#part",
        "https://example.com/a b",
        "https://example.com/\r\nX: y",
        "https://exa\\mple.com/",
        "https:///path",
        "",
        "http://example.com/",
    ],
)
def test_sx_47_an_address_of_the_wrong_form_is_refused(url):
    with pytest.raises(RefusedUrlError):
        check_shape(url, STRICT)


@pytest.mark.parametrize(
    "url",
    [
        "https://agent.example.com/events",
        "https://agent.example.com:8443/events?x=1",
        "https://[2606:4700::1111]/",
        "https://1.1.1.1/",
        "https://exämple.com/",
    ],
)
def test_an_ordinary_address_passes(url):
    assert check_shape(url, STRICT).scheme == "https"


def test_dl_114_the_operator_may_open_networks_and_names():
    policy = Policy.of(allow_http=True, allow=["127.0.0.0/8", "::1", "agent.internal"])
    assert policy.admits("x", "127.0.0.1")
    assert policy.admits("x", "::1")
    assert policy.admits("agent.internal", "10.0.0.8")
    assert not policy.admits("other.internal", "10.0.0.8")
    assert policy.admits("x", "::ffff:127.0.0.1")
    check_shape("http://127.0.0.1:8000/", policy)
    check_shape("http://localhost:8000/", policy)


def test_what_is_no_address_is_not_admitted():
    assert not STRICT.admits("example.com", "not an address")
