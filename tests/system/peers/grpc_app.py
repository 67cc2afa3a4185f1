#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC server of grpcio's, as a program of its own, and a client for it.

    with GrpcApp() as app, app.channel() as c:
        assert c.unary("Unary")(b"x") == b"x"

Messages are bytes: nothing is generated. What the server does and sees it says
on its standard output, a line each; `GrpcApp.heard` waits for one.
"""
import json
import os
import queue
import subprocess
import sys
import threading

import grpc

SERVICE = "test.Echo"
LARGE = 8 << 20
OPTIONS = [("grpc.max_receive_message_length", LARGE),
           ("grpc.max_send_message_length", LARGE),
           ("grpc.max_metadata_size", 1 << 20),
           ("grpc.absolute_max_metadata_size", 1 << 20)]
START_SECONDS, STOP_SECONDS = 30, 10
THREADS = 300


def same(message):
    return message


# --- a client ----------------------------------------------------------------

class Channel:
    """One channel: its calls share a connection. `target`: "host:port"."""

    def __init__(self, target, *options):
        self.grpc = grpc.insecure_channel(target, options=[
            *OPTIONS, ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),  # no connection of others
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500), *options])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.grpc.close()

    def _method(self, kind, name, service=SERVICE):
        call = getattr(self.grpc, kind)(f"/{service}/{name}", same, same)

        def bounded(*arguments, timeout=30, **more):
            return call(*arguments, timeout=timeout, **more)
        bounded.with_call = lambda *a, timeout=30, **more: call.with_call(
            *a, timeout=timeout, **more)
        bounded.future = lambda *a, timeout=30, **more: call.future(
            *a, timeout=timeout, **more)
        return bounded

    def unary(self, name, **more):
        return self._method("unary_unary", name, **more)

    def down(self, name):
        return self._method("unary_stream", name)

    def up(self, name):
        return self._method("stream_unary", name)

    def both(self, name):
        return self._method("stream_stream", name)


class Talk:
    """What a client says in a stream, one by one."""

    def __init__(self, method, **more):
        self._said = queue.Queue()
        self.call = method(iter(self._said.get, None), **more)

    def say(self, message):
        self._said.put(message)

    def end(self):
        self._said.put(None)

    def echo(self, message):
        self.say(message)
        got = next(self.call)
        assert got == message, f"{got!r} instead of {message!r}"


def ask(**wanted):
    return json.dumps(wanted).encode()


def failure(call, *arguments, **more):
    """The error with which the call ends."""
    try:
        call(*arguments, **more)
    except grpc.RpcError as e:
        return e
    raise AssertionError("it should have failed")


# --- the server, seen from a test --------------------------------------------

class GrpcApp:
    """`life`: after so many milliseconds it asks a client to connect anew."""

    def __init__(self, name="app", host="127.0.0.1", port=0, life=0):
        self.lines, self._news = [], threading.Condition()
        environment = {k: v for k, v in os.environ.items()
                       if not k.lower().endswith("_proxy")}
        self.process = subprocess.Popen(
            [sys.executable, os.path.realpath(__file__), name,
             f"{host}:{port}", str(life)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment)
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.port = int(self.heard("port ", START_SECONDS))
            self.address = f"{host}:{self.port}"
        except BaseException:
            self.close()
            raise

    def _listen(self):
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def heard(self, start, seconds=10):
        """The rest of the first line that starts so, once it was said."""
        def find():
            return next((line for line in self.lines
                         if line.startswith(start)), None)
        with self._news:
            line = self._news.wait_for(find, seconds)
            assert line is not None, \
                f"no '{start}' within {seconds} s, but {self.lines}"
            return line[len(start):]

    def channel(self):
        """Straight to it."""
        return Channel(self.address)

    def leave(self):
        """Listens no more, and ends after the calls that are under way."""
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()
        self.heard("leaving")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        """The end of its standard input is its end."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- the server itself -------------------------------------------------------

def say(*words):
    sys.stdout.write(" ".join(str(w) for w in words) + "\n")
    sys.stdout.flush()


def large(name, size):
    """Metadata of that size, in pieces of at most 50,000."""
    return [(name, "v" * min(50000, size - at))
            for at in range(0, size, 50000)]


def until_ended(context, name):
    """Waits until the call is over, which is up to the client."""
    over = threading.Event()
    if context.add_callback(over.set):
        say("began", name)
        over.wait(120)
    say("over", name)


class Echo(grpc.GenericRpcHandler):
    def __init__(self, name, health):
        self.name, self.health, self.produced = name, health, 0

    def service(self, details):
        prefix, _, name = details.method.rpartition("/")
        kind = {"Unary": "unary_unary", "Who": "unary_unary",
                "Fail": "unary_unary", "Sleep": "unary_unary",
                "Produced": "unary_unary", "Health": "unary_unary",
                "Down": "unary_stream", "Hold": "unary_stream",
                "FailLate": "unary_stream",
                "Up": "stream_unary", "UpSome": "stream_unary",
                "Both": "stream_stream"}.get(name)
        if prefix != f"/{SERVICE}" or not kind:
            return None
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(getattr(self, name), same, same)

    # one and one

    @staticmethod
    def Unary(message, context):
        """The client's metadata says what ours is."""
        given = context.invocation_metadata()
        context.send_initial_metadata(
            [m for m in given if m.key.startswith("initial-")])
        context.set_trailing_metadata(
            [m for m in given if m.key.startswith("trailing-")]
            + [("seen-size", str(sum(len(m.value) for m in given
                                     if m.key.startswith("seen-"))))])
        return message

    def Who(self, _message, _context):
        return self.name.encode()

    @staticmethod
    def Fail(message, context):
        wanted = json.loads(message)
        if "trailing" in wanted:
            context.set_trailing_metadata(
                large("trailing-large", wanted["trailing"]))
        if "initial" in wanted:
            context.send_initial_metadata(
                large("initial-large", wanted["initial"]))
        context.set_code(next(c for c in grpc.StatusCode
                              if c.value[0] == wanted["code"]))
        context.set_details(wanted.get("details", ""))
        return b""

    @staticmethod
    def Sleep(_message, context):
        until_ended(context, "Sleep")
        return b""

    def Produced(self, _message, _context):
        return b"%d" % self.produced

    def Health(self, message, _context):
        from grpc_health.v1 import health_pb2
        self.health.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(
            message.decode()))
        return b""

    # streams

    def Down(self, message, _context):
        """{"count": messages, "size": bytes of each}"""
        wanted = json.loads(message)
        for n in range(wanted["count"]):
            yield (b"%d " % n).ljust(wanted["size"], b"x")
            self.produced = n + 1

    @staticmethod
    def Hold(_message, context):
        yield b"first"
        until_ended(context, "Hold")

    @staticmethod
    def FailLate(_message, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "later")

    @staticmethod
    def Up(messages, _context):
        sizes = [len(m) for m in messages]
        return json.dumps([len(sizes), sum(sizes)]).encode()

    @staticmethod
    def UpSome(messages, _context):
        """Answers before the client has ended."""
        return next(messages)

    @staticmethod
    def Both(messages, context):
        say("began", "Both")
        context.add_callback(lambda: say("over", "Both"))
        yield from messages


def main():
    from concurrent import futures
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection
    name, address, life = sys.argv[1:]
    options = OPTIONS + [("grpc.so_reuseport", 0)]
    if int(life):
        options += [("grpc.max_connection_age_ms", int(life)),
                    ("grpc.max_connection_age_grace_ms", 10000)]
    pool = futures.ThreadPoolExecutor(THREADS)
    server = grpc.server(pool, options=options)
    servicer = health.HealthServicer(experimental_non_blocking=True)
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    server.add_generic_rpc_handlers((Echo(name, servicer),))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(
        [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port(address)
    server.start()
    say("port", port)
    if sys.stdin.readline():
        ended = server.stop(30)
        say("leaving")
        ended.wait()
    os._exit(0)  # whatever a thread still waits for


if __name__ == "__main__":
    main()
