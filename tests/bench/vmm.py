# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: a VMM whose guest is run line by line, and what it costs."""
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HULL = os.environ.get("HULL", TOP + "/build/hull")
WORDS = "console=ttyS0 panic=-1 pci=noearly cryptomgr.notests quiet"
EVENTS = ("kvm:kvm_exit", "kvm:kvm_userspace_exit", "raw_syscalls:sys_enter")
LIMIT = 120  # seconds that one machine may take


class Machine:
    """A VMM whose guest is run line by line."""

    def __init__(self, command, pass_fds=()):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        pass_fds=pass_fds)
        self.deadline = time.monotonic() + LIMIT
        self.buffer = b""

    def wait_for(self, pattern):
        while True:
            match = re.search(pattern, self.buffer)
            if match:
                self.buffer = self.buffer[match.end():]
                return match
            left = max(self.deadline - time.monotonic(), 0)
            ready = select.select([self.process.stdout], [], [], left)[0]
            data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not data:
                self.log.seek(0)
                raise RuntimeError(f"the guest went away: {self.buffer[-300:]!r} {self.log.read()[-300:]!r}")
            self.buffer += data

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()


def descendants(pid):
    found = [pid]
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            for child in file.read().split():
                found += descendants(int(child))
    return found


def start_counting(pid, table):
    perf = subprocess.Popen(["perf", "stat", "-x", ";", "-o", table, "-e", ",".join(EVENTS), "-p",
                             ",".join(map(str, descendants(pid)))], stderr=subprocess.DEVNULL)
    time.sleep(1)  # until it has attached
    return perf


def stop_counting(perf, table):
    perf.send_signal(signal.SIGINT)
    perf.wait()
    counts = {}
    with open(table) as file:
        for line in file:
            fields = line.split(";")
            if len(fields) > 2 and fields[2] in EVENTS:
                counts[fields[2]] = int(fields[0])
    return [counts[event] for event in EVENTS]


def shell(script, *arguments):
    subprocess.run(["bash", "-ec", f". {TOP}/scripts/lib.sh; . {TOP}/tests/lib/guest.sh; "
                    + script, "bench", *arguments], check=True, text=True)


def join(initrds):
    """The path of one archive with all of them: QEMU takes one only."""
    joined = initrds[0] + ".joined"
    with open(joined, "wb") as out:
        for initrd in initrds:
            with open(initrd, "rb") as file:
                shutil.copyfileobj(file, out)
    return joined
