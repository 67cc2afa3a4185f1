# SPDX-License-Identifier: Apache-2.0
"""What a network plugin with socket load balancing does: a program in the kernel
that replaces an address in connect(), for all processes of a control group."""
import contextlib
import ctypes
import os
import platform
import socket
import struct
import tempfile

import pytest

BPF_CALLS = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, PROG_ATTACH = 5, 8
CGROUP_SOCK_ADDR, INET4_CONNECT = 18, 10
USER_IP4 = 4  # its place in struct bpf_sock_addr
_LIBC = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attributes):
    number = BPF_CALLS.get(platform.machine())
    if number is None:
        pytest.skip(f"no number of bpf() for {platform.machine()}")
    buf = ctypes.create_string_buffer(attributes, len(attributes))
    fd = _LIBC.syscall(number, command, buf, len(attributes))
    if fd < 0:
        err = ctypes.get_errno()
        pytest.skip(f"the kernel takes no program here: {os.strerror(err)}")
    return fd


def _instruction(code, dst=0, src=0, offset=0, value=0):
    return struct.pack("=BBhI", code, dst | src << 4, offset, value)


def _program(old, new):
    """if (ctx->user_ip4 == old) ctx->user_ip4 = new; return 1;"""
    old, new = (struct.unpack("=I", socket.inet_aton(ip))[0]
                for ip in (old, new))
    return (_instruction(0x61, 2, 1, USER_IP4) +   # w2 = ctx->user_ip4
            _instruction(0x56, 2, 0, 2, old) +     # if w2 != old: skip two
            _instruction(0xb4, 2, 0, 0, new) +     # w2 = new
            _instruction(0x63, 1, 2, USER_IP4) +   # ctx->user_ip4 = w2
            _instruction(0xb7, 0, 0, 0, 1) +       # r0 = 1
            _instruction(0x95))                    # return


def _load(code):
    body = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    return _bpf(PROG_LOAD, struct.pack(
        "=IIQQIIQII16sII", CGROUP_SOCK_ADDR, len(code) // 8,
        ctypes.addressof(body), ctypes.addressof(license_), 0, 0, 0, 0, 0,
        b"rewrite", 0, INET4_CONNECT))


def _hierarchy():
    with open("/proc/mounts", encoding="ascii") as f:
        for line in f:
            _, where, kind, *_ = line.split()
            if kind == "cgroup2":
                return where
    return pytest.skip("no cgroup2 is mounted")


def _join(group):
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as f:
        f.write(str(os.getpid()))


def _own_group(hierarchy):
    with open("/proc/self/cgroup", encoding="ascii") as f:
        for line in f:
            if line.startswith("0::"):
                return hierarchy + line[3:].strip()
    return hierarchy


@contextlib.contextmanager
def rewriting(old, new):
    """Who calls connect() meanwhile, this process and what it starts, and means
    IPv4 address `old`, gets `new`."""
    hierarchy = _hierarchy()
    program = _load(_program(old, new))
    before = _own_group(hierarchy)
    group = tempfile.mkdtemp(prefix="tulle-test-", dir=hierarchy)
    fd = os.open(group, os.O_RDONLY)
    try:
        _bpf(PROG_ATTACH, struct.pack("=IIII", fd, program, INET4_CONNECT, 0))
        _join(group)
        yield
    finally:
        _join(before)
        os.close(fd)
        os.close(program)
        os.rmdir(group)
