#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of include/hull/agent.h, for tests of the guest's agent alone.

    agent_host.py main SOCKET [OPTION...] -- COMMAND [ARG...]   COMMAND of the machine
    agent_host.py exec SOCKET [OPTION...] -- COMMAND [ARG...]   another command

SOCKET is the path of `hull run --vsock CID,path=SOCKET`. `main` listens where the guest's
agent connects to, and must run before the machine does. Standard input is the command's; its
output and status are this program's; FAILED prints its text and ends with its status.

    -t ROWSxCOLS   a terminal     -u USER    -w DIR    -e NAME[=VALUE]
"""
import os
import select
import socket
import struct
import sys

PORT = 0x68756C6C
VERSION = 1
MAX_DATA = 64 << 10
TTY, MAIN, TRY_DIR = 1, 2, 4
ARG, ENV, USER, DIR, RUN, STDIN, STDIN_END, RESIZE, SIGNAL, CLOSED = range(1, 11)
HELLO, FAILED, STARTED, CREDIT, STDOUT, STDERR, EXITED = range(64, 71)


def frame(kind, data=b""):
    return struct.pack("<II", kind, len(data)) + data


def u32(value):
    return struct.pack("<I", value)


def listen(path):
    """The socket that the agent of a new machine reaches."""
    s = socket.socket(socket.AF_UNIX)
    s.bind("%s_%d" % (path, PORT))
    s.listen(1)
    return s


def connect(path):
    """A connection to the agent of a running machine."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b"CONNECT %d\n" % PORT)
    answer = b""
    while not answer.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            raise EOFError("no agent: %r" % answer)
        answer += byte
    if not answer.startswith(b"OK"):
        raise EOFError("no agent: %r" % answer)
    return s


class Agent:
    """One command. Each frame that comes is taken by `take`, which returns its kind and bytes."""

    def __init__(self, sock):
        self.sock = sock
        self.credit = 0
        kind, data = self.take()
        if kind != HELLO or data != u32(VERSION):
            raise ValueError("no HELLO but %d %r" % (kind, data))

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise EOFError("the connection has ended")
            data += more
        return bytes(data)

    def take(self):
        kind, length = struct.unpack("<II", self.read(8))
        data = self.read(length)
        if kind == CREDIT:
            self.credit += struct.unpack("<I", data)[0]
        return kind, data

    def send(self, kind, data=b""):
        self.sock.sendall(frame(kind, data))

    def run(self, args, env=(), user=None, dir=None, flags=0, size=(0, 0)):
        for word in args:
            self.send(ARG, os.fsencode(word))
        for word in env:
            self.send(ENV, os.fsencode(word))
        if user is not None:
            self.send(USER, os.fsencode(user))
        if dir is not None:
            self.send(DIR, os.fsencode(dir))
        self.send(RUN, struct.pack("<IHH", flags, *size))

    def pump(self, stdin=None, output=None, stop=None):
        """
        Until the command has ended: `stdin` is a function that gives the next bytes (b"": the end) or
        None, `output` takes kind and bytes. Returns the status, or FAILED's status and text.
        """
        ended = stdin is None
        if ended:
            self.send(STDIN_END)
        while True:
            if not ended and self.credit > 0 and not select.select([self.sock], [], [], 0)[0]:
                data = stdin(min(self.credit, MAX_DATA))
                if data:
                    self.credit -= len(data)
                    self.send(STDIN, data)
                else:
                    self.send(STDIN_END)
                    ended = True
                continue
            kind, data = self.take()
            if kind == EXITED:
                return struct.unpack("<I", data)[0]
            if kind == FAILED:
                return struct.unpack("<I", data[:4])[0], data[4:].decode(errors="replace")
            if kind in (STDOUT, STDERR) and output:
                output(kind, data)


def run(sock, args, stdin=b"", **options):
    """Runs a command; returns its status (or FAILED's), standard output and error."""
    out = {STDOUT: bytearray(), STDERR: bytearray()}
    left = bytearray(stdin)

    def give(count):
        data = bytes(left[:count])
        del left[:count]
        return data

    agent = Agent(sock)
    agent.run(args, **options)
    status = agent.pump(give, lambda kind, data: out[kind].extend(data))
    return status, bytes(out[STDOUT]), bytes(out[STDERR])


def main():
    words = sys.argv[1:]
    if len(words) < 4 or "--" not in words or words[0] not in ("main", "exec"):
        sys.exit(__doc__)
    options, args = words[2 : words.index("--")], words[words.index("--") + 1 :]
    env, user, directory, flags, size = [], None, None, 0, (0, 0)
    while options:
        option, value = options[0], options[1]
        del options[:2]
        if option == "-t":
            flags |= TTY
            size = tuple(int(n) for n in value.split("x"))
        elif option == "-u":
            user = value
        elif option == "-w":
            directory = value
        elif option == "-e":
            env.append(value)
        else:
            sys.exit(__doc__)
    if words[0] == "main":
        sock = listen(words[1]).accept()[0]
        flags |= MAIN
    else:
        sock = connect(words[1])

    def put(kind, data):
        fd = 1 if kind == STDOUT else 2
        while data:
            data = data[os.write(fd, data) :]

    agent = Agent(sock)
    agent.run(args, env, user, directory, flags, size)
    status = agent.pump(lambda count: os.read(0, count), put)
    if isinstance(status, tuple):
        print(status[1], file=sys.stderr)
        status = status[0]
    sys.exit(status)


if __name__ == "__main__":
    main()
