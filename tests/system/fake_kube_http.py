# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 and HTTP/2 servers over TLS, for fake_kube.py: each request becomes
an Exchange, served in a thread; a connection's socket is touched by one thread
only. All of it can be frozen, and connections cut."""
import collections
import gzip
import json
import select
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from programs import free_ports

ZIPPED_FROM = 128 * 1024  # as the API server: small answers are not worth it
QUEUE_MAX = 256 * 1024
POLL = 0.2


class Gone(Exception):
    """The other side is; or we are to be."""


def server_tls(cert, ca, http2):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert)
    tls.load_verify_locations(ca)
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return tls


def client_name(sock):
    """The common name of the client's certificate; None without one."""
    cert = sock.getpeercert()
    for rdn in (cert or {}).get("subject", ()):
        for name, value in rdn:
            if name == "commonName":
                return value
    return None


class Exchange:
    """A request and its answer: method, target, headers (lower case), body,
    client_name; then start(), send() ..., end(), or answer(); cut() ends the
    whole connection. All raise Gone when nobody is there."""

    def __init__(self, method, target, headers, body, name):
        self.method, self.target, self.headers = method, target, headers
        self.body, self.client_name = body, name
        self.path, self.query, self.user = target, {}, None
        self.status = 0

    def start(self, status, headers, length=None):
        raise NotImplementedError

    def send(self, data):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError

    def gone(self):
        raise NotImplementedError

    def cut(self):
        raise NotImplementedError

    def answer(self, status, body, headers=()):
        """`body`: bytes of JSON, or a value."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = [("content-type", "application/json"), *headers]
        if len(body) > ZIPPED_FROM and \
                "gzip" in self.headers.get("accept-encoding", ""):
            body = gzip.compress(body, 1)
            headers.append(("content-encoding", "gzip"))
        self.start(status, headers, len(body))
        self.send(body)
        self.end()


# --- HTTP/1.1 ----------------------------------------------------------------

class Exchange1(Exchange):
    connection = None
    chunked = True

    def start(self, status, headers, length=None):
        self.status, self.chunked = status, length is None
        more = [("transfer-encoding", "chunked")] if self.chunked else \
            [("content-length", str(length))]
        lines = [f"HTTP/1.1 {status} x",
                 *(f"{k}: {v}" for k, v in [*headers, *more]), "", ""]
        self.connection.write("\r\n".join(lines).encode())

    def send(self, data):
        if data and self.chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        if data:
            self.connection.write(data)

    def end(self):
        if self.chunked:
            self.connection.write(b"0\r\n\r\n")

    def gone(self):
        return self.connection.ended()

    def cut(self):
        self.connection.close()


class Connection1:
    def __init__(self, sock, listener):
        self.sock, self.listener, self.kept = sock, listener, b""
        self.closed = False

    def _wait(self, write=False):
        """Until the socket may be read or written; frozen: longer."""
        while True:
            if self.closed or self.listener.stopped:
                raise Gone
            if not self.listener.running.wait(POLL):
                continue
            if not write and self.sock.pending():
                return
            if any(select.select([] if write else [self.sock],
                                 [self.sock] if write else [], [], POLL)):
                return

    def read(self):
        while True:
            self._wait()
            try:
                data = self.sock.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            if not data:
                raise Gone
            self.kept += data
            return

    def write(self, data):
        view = memoryview(data)
        while view:
            self._wait(write=True)
            try:
                view = view[self.sock.send(view[:65536]):]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue

    def ended(self):
        """Looks without waiting."""
        if self.closed or self.listener.stopped:
            return True
        try:
            data = self.sock.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        self.kept += data
        return not data

    def close(self):
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _request(self):
        while b"\r\n\r\n" not in self.kept:
            self.read()
        head, _, self.kept = self.kept.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        while len(self.kept) < length:
            self.read()
        body, self.kept = self.kept[:length], self.kept[length:]
        x = Exchange1(method, target, headers, body, client_name(self.sock))
        x.connection = self
        return x

    def run(self):
        self.sock.setblocking(False)
        while True:
            self.listener.serve(self._request())


# --- HTTP/2 ------------------------------------------------------------------

class Exchange2(Exchange):
    connection, stream = None, 0

    def start(self, status, headers, length=None):
        self.status = status
        self.connection.post(self.stream, [(":status", str(status)), *headers])

    def send(self, data):
        if data:
            self.connection.post(self.stream, data)

    def end(self):
        self.connection.post(self.stream, None)

    def gone(self):
        return not self.connection.has(self.stream)

    def cut(self):
        self.connection.close()


class Connection2:
    """One thread speaks with the socket; those that serve leave what they have
    to say in queues."""

    def __init__(self, sock, listener):
        self.sock, self.listener, self.closed = sock, listener, False
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8"))
        self.lock = threading.Condition()
        self.queues, self.requests, self.out = {}, {}, b""
        self.wake_read, self.wake_write = socket.socketpair()
        self.wake_read.setblocking(False)

    # Called by the threads that serve.
    def has(self, stream):
        with self.lock:
            return stream in self.queues and not self.closed \
                and not self.listener.stopped

    def post(self, stream, piece):
        with self.lock:
            while True:
                if not self.has(stream):
                    raise Gone
                queue = self.queues[stream]
                if sum(len(p) for p in queue if p is not None) < QUEUE_MAX:
                    break
                self.lock.wait(POLL)
            queue.append(piece)
        self._wake()

    def _wake(self):
        try:
            self.wake_write.send(b"x")
        except OSError:
            pass

    def close(self):
        self.closed = True
        self._wake()

    # The rest is the one thread's.
    def _serve(self, x, stream):
        try:
            self.listener.serve(x)
        except Gone:
            pass
        finally:
            with self.lock:
                if self.queues.get(stream) == collections.deque():
                    del self.queues[stream]  # ended without an end

    def _event(self, e):
        if isinstance(e, h2.events.RequestReceived):
            fields = dict(e.headers)
            x = Exchange2(fields.pop(":method"), fields.pop(":path"), fields,
                          b"", client_name(self.sock))
            x.connection, x.stream = self, e.stream_id
            self.requests[e.stream_id] = x
        elif isinstance(e, h2.events.DataReceived):
            self.requests[e.stream_id].body += e.data
            self.h2.acknowledge_received_data(e.flow_controlled_length,
                                              e.stream_id)
        elif isinstance(e, h2.events.StreamEnded):
            x = self.requests.pop(e.stream_id)
            with self.lock:
                self.queues[e.stream_id] = collections.deque()
            threading.Thread(target=self._serve, args=(x, e.stream_id),
                             daemon=True).start()
        elif isinstance(e, h2.events.StreamReset):
            self.requests.pop(e.stream_id, None)
            with self.lock:
                self.queues.pop(e.stream_id, None)
                self.lock.notify_all()
        elif isinstance(e, h2.events.ConnectionTerminated):
            raise Gone

    def _say(self, stream, queue):
        """What of a queue the windows allow; true when the stream is over."""
        while queue:
            piece = queue[0]
            if piece is None:
                self.h2.end_stream(stream)
                return True
            if isinstance(piece, list):
                self.h2.send_headers(stream, piece)
                queue.popleft()
                continue
            room = min(self.h2.local_flow_control_window(stream),
                       self.h2.max_outbound_frame_size, len(piece))
            if room == 0 or len(self.out) > QUEUE_MAX:
                return False
            self.h2.send_data(stream, piece[:room])
            self.out += self.h2.data_to_send()
            queue[0] = piece[room:]
            if not queue[0]:
                queue.popleft()
        return False

    def _say_all(self):
        with self.lock:
            for stream, queue in list(self.queues.items()):
                try:
                    over = self._say(stream, queue)
                except h2.exceptions.ProtocolError:
                    over = True  # the stream is closed on their side
                if over:
                    del self.queues[stream]
            self.lock.notify_all()
        self.out += self.h2.data_to_send()

    def _read(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise Gone
            for e in self.h2.receive_data(data):
                self._event(e)
            if not self.sock.pending():
                return

    def _write(self):
        try:
            while self.out:
                self.out = self.out[self.sock.send(self.out[:65536]):]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass

    def run(self):
        self.sock.setblocking(False)
        self.h2.initiate_connection()
        try:
            while not self.closed and not self.listener.stopped:
                if not self.listener.running.wait(POLL):
                    continue
                self._say_all()
                self._write()
                readable, _, _ = select.select(
                    [self.sock, self.wake_read],
                    [self.sock] if self.out else [], [],
                    0 if self.sock.pending() else POLL)
                if self.wake_read in readable:
                    self.wake_read.recv(65536)
                if not self.listener.running.is_set():
                    continue
                self._read()
        finally:
            with self.lock:
                self.closed = True
                self.queues.clear()
                self.lock.notify_all()
            self.wake_read.close()
            self.wake_write.close()


# --- the listener ------------------------------------------------------------

class Listener:
    """`serve(exchange)` is called for each request, in some thread."""

    def __init__(self, serve, tls, host, port=None):
        self.serve, self.tls = serve, tls
        self.running, self.stopped = threading.Event(), False
        self.running.set()
        self.port = port or free_ports([host])[0]
        self._lock, self._open = threading.Lock(), set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, self.port))
        self._listener.listen(100)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        while not self.stopped:
            if not self.running.wait(POLL):
                continue
            if not select.select([self._listener], [], [], POLL)[0]:
                continue
            try:
                sock, _ = self._listener.accept()
            except OSError:
                continue
            threading.Thread(target=self._run, args=(sock,),
                             daemon=True).start()
        self._listener.close()

    def _run(self, raw):
        connection, sock = None, raw
        try:
            raw.settimeout(10)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = self.tls.wrap_socket(raw, server_side=True)
            kind = Connection2 if sock.selected_alpn_protocol() == "h2" \
                else Connection1
            connection = kind(sock, self)
            with self._lock:
                self._open.add(connection)
            connection.run()
        except (Gone, OSError, ValueError, h2.exceptions.ProtocolError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            sock.close()

    def connections(self):
        with self._lock:
            return len(self._open)

    def drop_connections(self):
        with self._lock:
            for c in self._open:
                c.close()

    def stop(self):
        self.stopped = True
        self.running.set()
        self._acceptor.join(10)
        self.drop_connections()
