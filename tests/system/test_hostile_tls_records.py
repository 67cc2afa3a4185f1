# SPDX-License-Identifier: Apache-2.0
"""Bytes around a TLS handshake on the mesh port: before it, after it, too
many, too slow. Each is cut in the end, nothing of it reaches the application, memory
stays bounded, and whoever behaves is served meanwhile and afterwards."""
import contextlib
import socket
import ssl

import pytest
from tlslite.messages import Certificate, CertificateVerify, Finished

from peers.h2 import SETTINGS, settings
from peers.hostile_tls import (BEGIN, FINISHED, attacked, certificates,
                               hears_settings, hello_of, plaintext_watch,
                               unharmed, watch)
from peers.http1 import App, ask
from peers.tls13 import (ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC,
                         HANDSHAKE, Peer, message, record)
from peers.watch import Watch
from peers.wire import connect
from programs import wait_until


@pytest.fixture(scope="module")
def shared(module_pair):
    with attacked(module_pair) as p:
        yield p


@pytest.fixture
def mesh(shared):
    with unharmed(shared) as p:
        yield p


# --- bytes before TLS --------------------------------------------------------

def goes_on(wire, tls, came, goes):
    """The handshake after the hello, up to the other side's settings."""
    for step in (tls.do_handshake, lambda: tls.write(BEGIN),
                 lambda: tls.read(9)):
        while True:
            try:
                got = step()
                break
            except ssl.SSLWantReadError:
                wire.send(goes.read())
                came.write(wire.some())
        wire.send(goes.read())
    return got[3] == SETTINGS


def test_hello_split_at_every_byte(mesh):
    """The look that decides and the handshake after it see the same."""
    seen, count = watch(mesh), len(hello_of(mesh.certs)[0])
    for at in range(1, count):
        hello, *rest = hello_of(mesh.certs)
        with connect(mesh.inbound_mesh) as wire:
            wire.send(hello[:at])
            wire.send(hello[at:])
            assert goes_on(wire, *rest), at
    seen.let_in()


def test_hello_byte_by_byte(mesh):
    seen = watch(mesh)
    hello, *rest = hello_of(mesh.certs)
    with connect(mesh.inbound_mesh) as wire:
        wire.send_slowly(hello)
        assert goes_on(wire, *rest)
    seen.let_in()


NO_HELLOS = {
    "a record that is too long": lambda h: record(
        HANDSHAKE, h[5:] + bytes(16384)),
    "a record of length 65535": lambda h: h[:3] + b"\xff\xff" + h[5:],
    "an empty record first": lambda h: record(HANDSHAKE, b"") + h,
    "a change of cipher first": lambda h: record(
        CHANGE_CIPHER_SPEC, b"\1") + h,
    "an alert first": lambda h: record(ALERT, b"\1\x5a") + h,
    "an alert between two records": lambda h: (
        record(HANDSHAKE, h[5:50]) + record(ALERT, b"\1\x5a")
        + record(HANDSHAKE, h[50:])),
    "application data first": lambda h: record(APPLICATION_DATA, b"x") + h,
    "a server's hello": lambda h: h[:5] + b"\2" + h[6:],
    "16 MB to come": lambda h: h[:6] + b"\xff\xff\xff" + h[9:],
    "too short by one byte": lambda h: h[:6] + (
        int.from_bytes(h[6:9], "big") - 1).to_bytes(3, "big") + h[9:],
    "a hello of SSLv2": lambda h: b"\x80\x2e\1\0\2\0\x15\0\0\0\x10"
                                  + bytes(37),
    "HTTP": lambda h: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HELLOS)
def test_bytes_that_are_no_hello(mesh, name):
    seen = plaintext_watch(mesh)
    with connect(mesh.inbound_mesh) as wire:
        wire.send(NO_HELLOS[name](hello_of(mesh.certs)[0]))
        with contextlib.suppress(OSError):  # it has ended already
            wire.half_close()
        assert wire.how_it_ends() in ("fin", "reset")
    seen.plaintext_refused()


# --- once it is a link -------------------------------------------------------

@contextlib.contextmanager
def link(p, change=lambda _, m: [m]):
    """A peer that was let in."""
    with Peer.connect(p.inbound_mesh, change) as peer:
        assert peer.shake(p.certs) is None
        assert hears_settings(peer)
        sealer = peer.sealer()
        sealer.count = 1  # after the preface
        yield peer, sealer


def handshake_message(kind, body=b""):
    return message(kind, body).data


AFTERWARDS = {
    # a second handshake
    "a hello": lambda s, h: s.seal(HANDSHAKE, h[5:]),
    "a hello in the clear": lambda s, h: h,
    "a request for a hello": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(0)),
    "a certificate": lambda s, h: s.seal(
        HANDSHAKE, certificates(b"").data),
    "a request for a certificate": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(13, b"\0\0\0")),
    "a session": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(4, bytes(20))),
    "a finish": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(FINISHED, bytes(32))),
    "early data ends": lambda s, h: s.seal(HANDSHAKE, handshake_message(5)),
    "a message of no kind": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(0x77, b"?")),
    "a message of 16 MB": lambda s, h: s.seal(
        HANDSHAKE, b"\x18\xff\xff\xff" + bytes(1000)),
    # key updates
    "a key update that asks for what is not": lambda s, h: s.update(2),
    "an empty key update": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24)),
    "a key update of two bytes": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24, b"\0\0")),
    "two key updates in a record": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24, b"\0") * 2),
    "a key update and the old key": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24, b"\0")) + s.seal(
            APPLICATION_DATA, b"x"),
    # records
    "garbage": lambda s, h: bytes(range(256)) * 80,
    "a record with a wrong tag": lambda s, h: s.seal(
        APPLICATION_DATA, b"x")[:-1] + b"?",
    "a record with a wrong length": lambda s, h: record(
        APPLICATION_DATA, s.seal(APPLICATION_DATA, b"xx")[5:-1]),
    "a record that is left out": lambda s, h: (
        s.seal(APPLICATION_DATA, b"x"), s.seal(APPLICATION_DATA, b"x"))[1],
    "a record that comes twice": lambda s, h: s.seal(
        APPLICATION_DATA, settings()) * 2,
    "a record in the clear": lambda s, h: record(APPLICATION_DATA, b"xyz"),
    "a record of one byte": lambda s, h: record(APPLICATION_DATA, b"x"),
    "a record of zeros": lambda s, h: s.seal(0, bytes(100)),
    "a record of no kind": lambda s, h: s.seal(99, b"x"),
    "a heartbeat": lambda s, h: s.seal(24, b"\1\xff\xff"),
    "a change of cipher": lambda s, h: record(CHANGE_CIPHER_SPEC, b"\1"),
    "a sealed change of cipher": lambda s, h: s.seal(
        CHANGE_CIPHER_SPEC, b"\1"),
    "an oversized record": lambda s, h: s.seal(
        APPLICATION_DATA, bytes(16385)),
    "a record of length 65535": lambda s, h: record(
        APPLICATION_DATA, b"", length=65535) + bytes(1000),
    # alerts
    "an alert in the clear": lambda s, h: record(ALERT, b"\2\x28"),
    "an alert of no kind": lambda s, h: s.seal(ALERT, b"\2\xfe"),
    "an alert of one byte": lambda s, h: s.seal(ALERT, b"\1"),
    "a close and then a request": lambda s, h: s.seal(
        ALERT, b"\1\0") + s.seal(APPLICATION_DATA, bytes(16384)) * 5,
    "a close and then garbage": lambda s, h: s.seal(
        ALERT, b"\1\0") + bytes(100000),
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_afterwards(mesh, name):
    """It is cut."""
    hello = hello_of(mesh.certs)[0]
    with link(mesh) as (peer, sealer):
        with contextlib.suppress(ConnectionError):
            peer.raw.sendall(AFTERWARDS[name](sealer, hello))
        peer.end()
    wait_until("the link is gone", lambda: link_count(mesh) <= 1, 10)


def link_count(p):
    return sum(v for labels, v in p.inbound.metrics()["proxy_links_open"]
               if labels["direction"] == "inbound")


def sealed_ping(sealer):
    return sealer.seal(APPLICATION_DATA, b"\0\0\x08\6\0\0\0\0\0" + b"8 bytes!")


def test_afterwards_what_may_be(mesh):
    """Or the test above would prove nothing: updates of keys, padding, and
    empty records are no offence."""
    with link(mesh) as (peer, sealer):
        peer.raw.sendall(sealer.update(0) + sealer.update(1)
                         + sealer.seal(APPLICATION_DATA, b"")
                         + sealer.seal(APPLICATION_DATA, b"", padding=16383)
                         + sealed_ping(sealer))
        while b"8 bytes!" not in peer.heard:
            peer.hear(len(peer.heard) + 1)


FLOODS = {
    "empty records": lambda s: s.seal(APPLICATION_DATA, b""),
    "records of padding": lambda s: s.seal(APPLICATION_DATA, b"",
                                           padding=1000),
    "warnings": lambda s: s.seal(ALERT, b"\1\x5a"),
    "key updates": lambda s: s.update(0),
    "key updates that ask": lambda s: s.update(1),
    "messages of nothing": lambda s: s.seal(HANDSHAKE, b""),
}


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads not"])
@pytest.mark.parametrize("name", FLOODS)
def test_floods(mesh, name, reads):
    """20,000 of them: cut, or borne without growing; others are served
    meanwhile."""
    with link(mesh) as (peer, sealer):
        peer.raw.settimeout(5)
        with contextlib.suppress(OSError):
            for n in range(40):
                peer.raw.sendall(b"".join(FLOODS[name](sealer)
                                          for _ in range(500)))
                if reads:
                    drain(peer.raw)
                if n % 10 == 0:
                    mesh.is_polite()
    wait_until("the link is gone", lambda: link_count(mesh) <= 1, 10)


def drain(sock):
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536, socket.MSG_DONTWAIT):
            pass


# --- time --------------------------------------------------------------------

def slow_hello(p):
    """A byte now and then: each is progress, none is enough."""
    hello = hello_of(p.certs)[0]
    with connect(p.inbound_mesh) as wire, pytest.raises(OSError):
        for at in range(len(hello)):
            wire.send(hello[at:at + 1])
            if not wire.is_quiet(0.05):
                wire.exactly(1)
        pytest.fail("a hello of 0.05 s a byte came to its end")


class Stalled(Exception):
    pass


def stalls_at(kind):
    """Up to this message, which never comes."""
    def stall(_, m):
        if isinstance(m, kind):
            raise Stalled
        return [m]

    def play(p):
        with Peer.connect(p.inbound_mesh, stall) as peer:
            with pytest.raises(Stalled):
                peer.shake(p.certs)
            with contextlib.suppress(ConnectionError):
                while peer.raw.recv(65536):
                    pass
    return play


STALLS = {"a slow hello": (slow_hello, "ClientHello not complete in time"),
          "no certificate": (stalls_at(Certificate), None),
          "no signature": (stalls_at(CertificateVerify), None),
          "no finish": (stalls_at(Finished), None)}


def test_stalls(pair):
    """The handshake has one deadline, whatever comes meanwhile."""
    with App() as app, pair(app, strict=True, handshake_timeout="1s") as p:
        for play, sentence in STALLS.values():
            seen = Watch(p.inbound, "inbound",
                         sentence or "mTLS handshake refused")
            play(p)
            seen.refused(None if sentence else "handshake timed out")
            assert ask(p.front).status == 200
