# SPDX-License-Identifier: Apache-2.0
"""A gRPC service in Python, two pods of it, and a client of the same library:
that of the system tests, in a cluster."""
import json

import pytest

from kube import app_pod
from mesh import deployment
from testbed.tools import HERE
from twins import in_client, twins

CALLS = 1000
FOLDER = {"volumes": [{"name": "app", "configMap": {"name": "app"}}]}
MOUNT = {"volumeMounts": [{"name": "app", "mountPath": "/app"}]}
# It ends with its standard input.
SERVER = ("sh", "-c",
          'sleep infinity | python3 /app/grpc_app.py "$HOSTNAME" "[::]:50051" 0')

# Prints what came of it all.
CLIENT = """
import collections, concurrent.futures, json, sys
import grpc
from grpc_app import Channel, Talk, ask, failure, large
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

def pairs(metadata):
    return sorted([m.key, m.value if isinstance(m.value, str)
                   else m.value.hex()] for m in metadata
                  if m.key.startswith(("initial", "trailing", "seen")))

def told(error):
    return [error.code().name, error.details(),
            pairs(error.trailing_metadata())]

def calls(channel, count):
    who = channel.unary("Who")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: who(b"").decode(), range(count)))
    return collections.Counter(said)

def unary(c):
    yield [len(c.unary("Unary")(b"x" * n)) for n in (0, 1, 100000, 4 << 20)]
    message, call = c.unary("Unary").with_call(b"x", metadata=[
        ("initial-one", "1"), ("initial-bin", b"\\x00\\xff"),
        ("trailing-two", "2"), ("trailing-bin", bytes(range(256))),
        ("trailing-two", "again"), *large("seen-size", 20000)])
    yield [message.decode(), pairs(call.initial_metadata()),
           pairs(call.trailing_metadata())]

def streams(c):
    yield [sum(len(m) for m in c.down("Down")(ask(count=n, size=s)))
           for n, s in ((0, 1), (1, 0), (2000, 100), (16, 1 << 20))]
    yield [json.loads(c.up("Up")(iter([b"x" * s] * n)))
           for n, s in ((0, 1), (2000, 100), (16, 1 << 20))]
    yield c.up("UpSome")(iter([b"x"] * 10)).decode()
    talk = Talk(c.both("Both"))
    for n in range(200):
        talk.echo(b"%d" % n)
    talk.end()
    yield [len(list(talk.call)), talk.call.code().name]
    yield sum(len(m) for m in c.both("Both")(iter([b"x" * 65536] * 64)))

def errors(c):
    for code in range(1, 17):
        yield told(failure(c.unary("Fail"), ask(
            code=code, details="why: 100% \\u00fc", trailing=1000)))
    yield told(failure(c.unary("Nothing"), b""))
    # Either end may be first to notice: the text varies.
    yield failure(c.unary("Sleep"), b"", timeout=0.5).code().name
    late = c.down("FailLate")(b"")
    yield [next(late).decode(), told(failure(next, late))]
    held = c.down("Hold")(b"", timeout=0.5)
    yield [next(held).decode(), failure(next, held).code().name]
    held = c.down("Hold")(b"")
    next(held)
    held.cancel()
    yield held.code().name

def services(c):
    check = health_pb2_grpc.HealthStub(c.grpc).Check
    yield check(health_pb2.HealthCheckRequest()).status
    yield failure(check, health_pb2.HealthCheckRequest(
        service="nobody")).code().name
    stub = reflection_pb2_grpc.ServerReflectionStub(c.grpc)
    yield sorted(s.name for answer in stub.ServerReflectionInfo(iter(
        [reflection_pb2.ServerReflectionRequest(list_services="")]))
        for s in answer.list_services_response.service)

what, where = sys.argv[1:3]
with Channel(where) as channel:
    print(json.dumps(calls(channel, int(sys.argv[3])) if what == "calls" else
                     list(globals()[what](channel))))
"""


def put(space):
    with open(f"{HERE}/../system/peers/grpc_app.py", encoding="utf-8") as f:
        files = {"grpc_app.py": f.read(), "client.py": CLIENT}
    space.service("echo", 50051)
    space.service("pods", 50051, selector={"app": "echo"}, clusterIP="None")
    space.apply([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"},
         "data": files},
        deployment("echo", *SERVER, replicas=2, spec=FOLDER, container={
            **MOUNT, "readinessProbe": {"grpc": {"port": 50051},
                                        "periodSeconds": 1,
                                        "timeoutSeconds": 5}}),
        app_pod("client", node="n2", spec=FOLDER, container=MOUNT)])
    return ["deployment/echo"], ["client"]


@pytest.fixture(scope="module")
def town(kube, mesh):
    with twins(kube, mesh, put) as t:
        yield t


def client(space, *words):
    return json.loads(in_client(space, "python3", "-B", "/app/client.py",
                                *words))


@pytest.mark.parametrize("what", ["unary", "streams", "errors", "services"])
@pytest.mark.parametrize("host", ["echo", "pods"])
def test_grpc(town, host, what):
    """By the Service's address, and by one of the pods'."""
    assert town.same(lambda space: client(space, what, f"{host}:50051"))


def test_calls_are_balanced(town):
    """Each call of one connection by itself; without the mesh, all go where the
    connection goes."""
    plain, meshed = town.each(lambda space: client(space, "calls", "echo:50051",
                                                   str(CALLS)))
    assert list(plain.values()) == [CALLS]
    assert sum(meshed.values()) == CALLS
    assert set(meshed) == {p["metadata"]["name"]
                           for p in town.meshed.pods("app=echo")}
    assert min(meshed.values()) >= CALLS / 10


def test_grpc_is_carried_by_the_mesh(town):
    client(town.meshed, "services", "echo:50051")
    for pod in town.meshed.pods("app=echo"):
        town.proved(pod["metadata"]["name"], "proxy_requests_total")
