# SPDX-License-Identifier: Apache-2.0
"""nginx: files of many sizes, and all that HTTP/1 and HTTP/2 do with them."""
import re

import pytest

from kube import app_pod
from twins import in_client, shell, twins

MIB = 1 << 20
SIZES = {"nothing": 0, "one": 1, "kilo": 1024, "mega": MIB,
         "large": 64 * MIB}
# With each file the same content, age and therefore ETag wherever it is made.
NGINX = ("bash", "-euc", """
mkdir -p /srv/www && cd /srv/www
%s
seq 1 20000 >text.txt
touch -d 2026-01-01T00:00:00Z *
cat >/etc/nginx/nginx.conf <<'END'
worker_processes 1;
daemon off;
error_log stderr;
events {}
http {
    access_log off;
    types { text/plain txt; }
    default_type application/octet-stream;
    root /srv/www;
    gzip on;
    gzip_types text/plain;
    keepalive_requests 100000;
    http2_max_requests 100000;
    client_max_body_size 100m;
    server {
        listen 8080;
        location = /moved { return 302 /one; }
        location = /long { return 200 "long"; add_header X-Long "%s"; }
        # Speaks HTTP/1.0 to where it came from.
        location /again/ { proxy_pass http://nginx:8080/; }
        location /kept/ {
            proxy_pass http://nginx:8080/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
    server { listen 8081 http2; }
}
END
exec nginx
""" % ("\n".join(
    f"head -c {size} /dev/zero | openssl enc -aes-128-ctr -K {n} -iv 0 "
    f"2>/dev/null >{name}" for n, (name, size) in enumerate(SIZES.items())),
    "l" * 3000))


def put(space):
    space.service("nginx", 8080, ports=[{"name": "web", "port": 8080},
                                        {"name": "two", "port": 8081}])
    space.apply([
        app_pod("nginx", *NGINX, node="n1", container={"readinessProbe": {
            "httpGet": {"path": "/one", "port": 8080}, "periodSeconds": 1}}),
        app_pod("client", node="n2")])
    return [], ["nginx", "client"]


@pytest.fixture(scope="module")
def town(kube, mesh):
    with twins(kube, mesh, put) as t:
        yield t


def at(path, version=1):
    return f"http://nginx:{8080 if version == 1 else 8081}/{path}"


def curl(space, *words, version=1):
    """(status, the fields of the head, the body's checksum). Between proxies a
    head is HTTP/2's: without a reason, names in small letters, the fields of
    one connection its own; and the order of other names means nothing."""
    how = ["--http2-prior-knowledge"] if version == 2 else []
    said = shell(space, """
        rm -f /tmp/body
        curl -sS -m 60 -D /tmp/head -o /tmp/body "$@"
        sed -i 's/\r$//; /^$/d' /tmp/head
        case $1 in -I) rm /tmp/body ;; esac
        cat /tmp/head
        [ ! -f /tmp/body ] || sha256sum </tmp/body
        """, *words, *how)
    first, *lines = said.splitlines()
    fields = [line.partition(": ") for line in lines if ": " in line]
    return int(first.split()[1]), sorted(
        f"{name.lower()}: {value}" for name, _, value in fields
        if name.lower() not in ("connection", "date")), \
        [line for line in lines if ": " not in line]


BOTH = pytest.mark.parametrize("version", [1, 2])


@BOTH
@pytest.mark.parametrize("name", SIZES)
def test_files(town, name, version):
    status, fields, _ = town.same(lambda space: curl(
        space, at(name, version), version=version))
    assert status == 200 and f"content-length: {SIZES[name]}" in fields


@BOTH
@pytest.mark.parametrize("status, words", [
    (200, ("-I", "mega")),
    (206, ("-r", "100-199", "mega")),
    (206, ("-r", "1000000-", "mega")),
    (206, ("-r", "-5", "mega")),
    (416, ("-r", "2000000-", "mega")),
    (304, ("-H", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT", "one")),
    (200, ("-H", "If-Modified-Since: Wed, 01 Jan 2025 00:00:00 GMT", "one")),
    (304, ("-H", 'If-None-Match: "6955b900-1"', "one")),
    (412, ("-H", 'If-Match: "other"', "one")),
    (200, ("-H", "Accept-Encoding: gzip", "text.txt")),
    (200, ("text.txt",)),
    (404, ("nobody",)),
    (405, ("-d", "x=y", "one")),
    (405, ("-X", "DELETE", "one")),
    (404, ("a%20b%2fc?d=e%26f",)),
], ids=lambda v: "-".join(v) if isinstance(v, tuple) else str(v))
def test_requests(town, status, words, version):
    *options, path = words
    got, fields, _ = town.same(lambda space: curl(
        space, *options, at(path, version), version=version))
    assert got == status
    assert ("content-encoding: gzip" in fields) == (
        "Accept-Encoding: gzip" in options)


def test_refused_before_its_body(town):
    """Of a hundred million bytes and more, none is read."""
    assert town.same(lambda space: curl(
        space, "-X", "POST", "-H", "Content-Length: 200000000",
        at("one")))[0] == 413


def test_several_ranges(town):
    """The parts are told apart by a number that is new each time."""
    def run(space):
        return re.sub(r"\d{20}", "N", in_client(
            space, "curl", "-sS", "-r", "0-4,30-39,100-101", at("text.txt")))
    assert town.same(run).count("--N") == 4


@pytest.mark.parametrize("path", ["moved", "long", "again/mega", "again/moved",
                                  "kept/mega", "kept/nobody"])
def test_other_answers(town, path):
    """Also of an nginx that asks another for them."""
    def run(space):
        return curl(space, at(path))
    town.same(run)


def test_connections_are_kept(town):
    """One connection for all, but for those that want none."""
    def run(space):
        return shell(space, """
            curl -sS -o '/tmp/#1' -w '%{num_connects} %{size_download}\n' \
                "$1/{one,nothing,mega,nobody,kilo,one}"
            curl -sS -o '/tmp/#1' -w '%{num_connects} %{http_version}\n' \
                -H 'Connection: close' "$1/{one,mega}"
            curl -sS -0 -o '/tmp/#1' -w '%{num_connects} %{http_version}\n' \
                "$1/{one,mega}"
            """, at("").rstrip("/")).splitlines()
    said = town.same(run)
    assert [line.split()[0] for line in said] == list("100000" "11" "11")


def h2load(space, *words):
    """(requests that succeeded, bytes of bodies); nothing else may happen."""
    said = in_client(space, "h2load", *words)
    done = re.search(r"^requests: (\d+) total, \d+ started, \d+ done, "
                     r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout$", said,
                     re.M)
    assert done and done.group(1) == done.group(2), said
    assert f"status codes: {done.group(1)} 2xx, 0 3xx" in said, said
    return int(done.group(1)), int(re.search(r"\((\d+)\) data$", said,
                                             re.M).group(1))


@pytest.mark.parametrize("name, count", [("one", 5000), ("mega", 200)])
@pytest.mark.parametrize("words", [
    ("--h1", "-c", "10", "{1}"), ("-c", "2", "-m", "20", "{2}")],
    ids=["http1", "http2"])
def test_load(town, words, name, count):
    *words, where = words
    url = at(name, 1 if where == "{1}" else 2)
    assert town.same(lambda space: h2load(
        space, *words, "-n", str(count), url)) == (count, count * SIZES[name])


def test_nginx_is_carried_by_the_mesh(town):
    curl(town.meshed, at("one"))
    town.proved("nginx", "proxy_requests_total")
