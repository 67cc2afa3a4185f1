# SPDX-License-Identifier: Apache-2.0
"""Real servers with protocols of their own: Redis and PostgreSQL."""
import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
import time

import pytest

from peers.wire import connect
from programs import free_ports, wait_until

PORT_TEXT = "127.0.0.1"


def run(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60,
                          check=True, **options).stdout


def lives(address):
    try:
        connect(address, 1).close()
        return True
    except OSError:
        return False


@contextlib.contextmanager
def program(argv, address, **options):
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, **options) as child:
        try:
            wait_until(f"{argv[0]} listens", lambda: lives(address), 20)
            yield address
        finally:
            child.terminate()
            child.wait(20)


# --- Redis -------------------------------------------------------------------

@pytest.fixture
def redis():
    path = shutil.which("redis-server")
    if not path:
        pytest.skip("redis-server is not installed")
    port, = free_ports([PORT_TEXT])
    with program([path, "--port", str(port), "--bind", PORT_TEXT, "--save",
                  "", "--appendonly", "no"],
                 f"{PORT_TEXT}:{port}", cwd=tempfile.gettempdir()) as address:
        yield address


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


@pytest.mark.parametrize("protocol", ["redis", None])
def test_redis(pair, redis, protocol):
    with pair(redis, app_protocol=protocol) as p:
        host, port = p.front.split(":")
        cli = ("redis-cli", "-h", host, "-p", port)
        assert run(*cli, "set", "a", "1").strip() == "OK"
        assert run(*cli, "get", "a").strip() == "1"
        with connect(p.front) as c:
            c.send(command(b"SET", b"large", b"v" * 3000000))
            assert c.until(b"\r\n") == b"+OK\r\n"
            c.send(command(b"GET", b"large") + command(b"PING"))
            assert c.until(b"\r\n") == b"$3000000\r\n"
            assert c.exactly(3000000) == b"v" * 3000000
            assert c.until(b"PONG\r\n") == b"\r\n+PONG\r\n"


def test_redis_without_delay(pair, redis):
    """Declared: no look at the first bytes, the inbound side included."""
    with pair(redis, app_protocol="redis") as p:
        def once():
            start = time.monotonic()
            with connect(p.front) as c:
                c.send(command(b"PING"))
                assert c.until(b"\r\n") == b"+PONG\r\n"
                return time.monotonic() - start
        once()
        assert min(once() for _ in range(5)) < 0.040


def test_redis_subscription_stays(pair, redis):
    """The server speaks when it likes, on a connection that was silent."""
    with pair(redis, app_protocol="redis") as p, connect(p.front) as sub, \
            connect(p.front) as pub:
        sub.send(command(b"SUBSCRIBE", b"news"))
        assert sub.until(b":1\r\n")
        assert sub.is_quiet(0.2)
        pub.send(command(b"PUBLISH", b"news", b"hello"))
        assert pub.until(b"\r\n") == b":1\r\n"
        assert sub.until(b"hello\r\n")


# --- PostgreSQL --------------------------------------------------------------

def postgres_binary(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    path = found[-1] if found else shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


def not_root():
    """It refuses to run as root: options for another user."""
    if os.getuid():
        return {}, os.getuid(), os.getgid()
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return ({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []},
            user.pw_uid, user.pw_gid)


@pytest.fixture(scope="module")
def postgres():
    options, uid, gid = not_root()
    folder = tempfile.mkdtemp(prefix="tulle-postgres-")
    try:
        os.chown(folder, uid, gid)
        data = f"{folder}/data"
        run(postgres_binary("initdb"), "-D", data, "-U", "tester", "-A",
            "trust", "--no-sync", "--no-locale", cwd=folder, **options)
        port, = free_ports([PORT_TEXT])
        with program([postgres_binary("postgres"), "-D", data, "-p",
                      str(port), "-h", PORT_TEXT, "-k", folder, "-F"],
                     f"{PORT_TEXT}:{port}", cwd=folder, **options) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def psql(address, sql):
    host, port = address.split(":")
    return run(postgres_binary("psql"), "-h", host, "-p", port, "-U",
               "tester", "-d", "postgres", "-At", "-c", sql,
               env={**os.environ, "PGCONNECT_TIMEOUT": "10"})


@pytest.mark.parametrize("protocol", ["postgresql", None])
def test_postgres(pair, postgres, protocol):
    with pair(postgres, app_protocol=protocol) as p:
        psql(postgres, "select 1")  # warm
        assert psql(p.front, "select 6 * 7") == "42\n"
        rows = psql(p.front, "select n, repeat('x', 1000) "
                             "from generate_series(1, 5000) n")
        assert rows.count("\n") == 5000
        assert rows.splitlines()[4999] == "5000|" + "x" * 1000
