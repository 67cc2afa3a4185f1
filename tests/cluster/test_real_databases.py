# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and Redis under their own load makers."""
import csv
import io
import re

import pytest

from kube import app_pod
from twins import in_client, shell, twins

CLIENTS, EACH = 4, 100  # of pgbench: clients, transactions of each

# No password; TLS for who asks for it.
POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
            "sh", "-c", """
cd /tmp && export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj /CN=postgres -keyout key -out cert 2>/dev/null
initdb -D data -A trust >initdb.log
echo host all all all trust >>data/pg_hba.conf
exec postgres -D data -k /tmp -c listen_addresses='*' -c fsync=off -c ssl=on \
    -c ssl_cert_file=/tmp/cert -c ssl_key_file=/tmp/key
""")
REDIS = ("redis-server", "--save", "", "--protected-mode", "no")
KINDS = ("ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,"
         "lrange_100,mset")
PSQL = ("psql", "-U", "postgres", "-h", "postgres", "-v", "ON_ERROR_STOP=1",
        "-XAtc")


def accepts(port):
    return {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}}


def put(space):
    space.service("postgres", 5432)
    space.service("redis", 6379)
    space.apply([
        app_pod("postgres", *POSTGRES, node="n1", container=accepts(5432)),
        app_pod("redis", *REDIS, node="n1", container=accepts(6379)),
        app_pod("client", node="n2")])
    return [], ["postgres", "redis", "client"]


@pytest.fixture(scope="module")
def town(kube, mesh):
    with twins(kube, mesh, put) as t:
        yield t


# --- PostgreSQL ---------------------------------------------------------------

def pgbench(space, *words, tls="disable"):
    return shell(space, 'export PGSSLMODE=$1 PGDATABASE=postgres; shift; exec '
                 '/usr/lib/postgresql/*/bin/pgbench "$@" 2>&1', tls,
                 "-h", "postgres", "-U", "postgres", *words)


def transactions(said):
    """(done, failed); there may be nothing that looks like an error."""
    assert not re.search("error|fatal|abort", said, re.I), said
    done, wanted = re.search(
        r"^number of transactions actually processed: (\d+)/(\d+)", said,
        re.M).groups()
    assert done == wanted, said
    failed = re.search(r"^number of failed transactions: (\d+)", said, re.M)
    return int(done), int(failed.group(1)) if failed else 0


def balances(space):
    """What pgbench keeps equal, and how many transactions it wrote down."""
    return in_client(space, *PSQL, """
        select (select sum(abalance) from pgbench_accounts),
               (select sum(bbalance) from pgbench_branches),
               (select sum(tbalance) from pgbench_tellers),
               (select sum(delta) from pgbench_history),
               (select count(*) from pgbench_history)""").strip().split("|")


@pytest.mark.parametrize("tls, protocol", [
    ("disable", "simple"), ("disable", "prepared"), ("require", "extended")])
def test_pgbench(town, tls, protocol):
    """Seeded, so that the same money moves."""
    def run(space):
        pgbench(space, "-i", "-q", tls=tls)
        said = pgbench(space, "-c", str(CLIENTS), "-j", "2", "-t", str(EACH),
                       "-M", protocol, "--random-seed=7", "-n", tls=tls)
        return transactions(said), balances(space)
    done, (*sums, written) = town.same(run)
    assert done == (CLIENTS * EACH, 0)
    assert int(written) == CLIENTS * EACH
    assert len(set(sums)) == 1 and int(sums[0])


def test_pgbench_connects_each_time(town):
    def run(space):
        pgbench(space, "-i", "-q")
        return transactions(pgbench(space, "-C", "-S", "-n", "-c",
                                    str(CLIENTS), "-t", "25"))
    assert town.same(run) == (CLIENTS * 25, 0)


def test_postgres_tls_is_its_own(town):
    """It starts within the stream, once the server has agreed."""
    assert town.same(lambda space: [shell(
        space, 'export PGSSLMODE=$1; shift; exec "$@"', mode, *PSQL,
        "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()")
        for mode in ("require", "disable")]) == ["t|TLSv1.3\n", "f|\n"]


def test_postgres_moves_much(town):
    """Ten megabytes there and back."""
    def run(space):
        return shell(space, """
            seq 1 200000 | sed 's/$/\\t012345678901234567890123456789012345/' \
                >/tmp/rows
            "$@" 'drop table if exists much' \
                -c 'create table much (n int, t text)' \
                -c 'copy much from stdin' </tmp/rows
            "$@" 'copy (select * from much order by n) to stdout' | cmp - /tmp/rows
            "$@" 'select count(*), sum(n) from much'
            """, *PSQL).splitlines()[-1]
    assert town.same(run) == "200000|20000100000"


def test_postgres_is_carried_by_the_mesh(town):
    town.meshed.run_in("client", *PSQL, "select 1", container="app")
    town.proved("postgres", "proxy_tcp_connections_total")


# --- Redis --------------------------------------------------------------------

def redis(space, *words):
    return in_client(space, "redis-cli", "-h", "redis", *words).rstrip("\n")


def counters(space, section, pattern):
    return dict(re.findall(pattern, redis(space, "info", section)))


@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark(town, pipeline):
    """Each kind of command that many times, no error, the same keys."""
    count = 1000 * pipeline

    def run(space):
        redis(space, "flushall")
        redis(space, "config", "resetstat")
        said = shell(space, 'redis-benchmark "$@" 2>&1', "-h", "redis", "-n",
                     str(count), "-c", "20", "-P", str(pipeline), "-t", KINDS,
                     "--csv")
        assert not re.search("err|fail", said, re.I), said
        calls = counters(space, "commandstats",
                         r"cmdstat_(\w+):calls=(\d+)")
        return ([row[0] for row in csv.reader(io.StringIO(said))],
                {c: n for c, n in calls.items() if int(n) >= count},
                counters(space, "errorstats", r"errorstat_(\w+):(.*)"),
                sorted(redis(space, "keys", "*").split()),
                redis(space, "get", "counter:__rand_int__"))
    tests, calls, errors, _, counter = town.same(run)
    assert len(tests) >= 16 and {"set", "get", "zadd", "mset"} <= set(calls)
    assert errors == {} and counter == str(count)


def test_redis_takes_much_at_once(town):
    """A hundred thousand commands of one client that does not wait, and a
    value of 32 MB."""
    def run(space):
        return shell(space, """
            redis-cli -h redis flushall
            seq 1 100000 | sed 's/.*/SET key:& value:&/' |
                redis-cli -h redis --pipe | tail -n 1
            redis-cli -h redis dbsize
            head -c 32000000 /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 \
                2>/dev/null >/tmp/much
            redis-cli -h redis -x set much </tmp/much
            redis-cli -h redis --no-raw strlen much
            cmp -n 32000000 <(redis-cli -h redis get much) /tmp/much
            """).splitlines()
    assert town.same(run) == ["OK", "errors: 0, replies: 100000", "100000",
                              "OK", "(integer) 32000000"]


def test_redis_publishes(town):
    """To three at once, in order."""
    def run(space):
        return shell(space, """
            ids=
            for n in 1 2 3; do
                redis-cli -h redis subscribe news >/tmp/heard.$n 2>&1 &
                ids="$ids $!"
            done
            for try in $(seq 600); do
                [ "$(redis-cli -h redis --raw pubsub numsub news |
                    tail -n 1)" != 3 ] || break
                sleep 0.05
            done
            seq 1 500 | sed 's/.*/PUBLISH news &/' |
                redis-cli -h redis | sort -u
            for try in $(seq 600); do
                [ "$(grep -x 500 /tmp/heard.* | wc -l)" != 3 ] || break
                sleep 0.05
            done
            kill $ids
            for n in 1 2 3; do
                grep '^[0-9]' /tmp/heard.$n | tail -n 500 | md5sum
            done
            seq 1 500 | md5sum
            """).split()
    receivers, *sums = town.same(run)
    assert receivers == "3" and len(sums[::2]) == 4 and len(set(sums[::2])) == 1


def test_redis_blocks(town):
    """Three wait for what nobody has pushed yet; a fourth in vain."""
    def run(space):
        return shell(space, """
            redis-cli -h redis del queue >/tmp/deleted
            for n in 1 2 3; do
                redis-cli -h redis blpop queue 30 >/tmp/got.$n &
            done
            for try in $(seq 600); do
                redis-cli -h redis info clients |
                    grep -q '^blocked_clients:3' && break
                sleep 0.05
            done
            redis-cli -h redis rpush queue one two three
            wait
            cat /tmp/got.* | grep -v '^queue$' | sort
            redis-cli -h redis blpop queue 1
            """).split()
    assert town.same(run) == ["3", "one", "three", "two"]


def test_redis_is_carried_by_the_mesh(town):
    assert redis(town.meshed, "ping") == "PONG"
    town.proved("redis", "proxy_tcp_connections_total")
