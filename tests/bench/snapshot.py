# SPDX-License-Identifier: GPL-2.0-or-later
"""snapshot: saving, going on from what was saved, and copies, hull against QEMU's microvm.

The guest is Debian's cloud kernel with busybox, which fills --touched MiB with what cannot be left out, and then answers each
line on its console by one of its own. Every VMM has one vCPU and no disk. QEMU migrates to a file ("exec:cat >FILE") and
is started again with -incoming.

save: from the command to the end of saving; file, on disk: the size of what was saved, and what of it the disk has; first
entry: from exec to the first entry into the guest (hull: its own timeline; QEMU: when it answers after "cont");
answer: to the guest's answer to a line; private: what nobody else has of the restored VMM's memory then, the guest's
included. Copies: from the command until all run, and what each has of its own a second later.
"""
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import time

import host
import vmm
from vmm import MICROVM, Machine, shell

NAME = "snapshot"

TASK = """dmesg -n 1
stty -opost -echo
mkdir -p /fill; mount -t tmpfs -o size=90% none /fill
head -c {touched}M /dev/urandom >/fill/data
echo "guest is warm"
n=0
while read -r line; do n=$((n + 1)); echo "answer $n"; done
"""


def disk_mib(path):
    files = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
    return (sum(os.stat(f).st_size for f in files) / 2**20, sum(os.stat(f).st_blocks for f in files) / 2**11)


def answer(machine):
    machine.go_on()
    machine.wait_for(rb"answer \d+")


class Hull:
    name = "hull"

    def start(self, paths, memory):
        return Machine([vmm.HULL, "run", "--name", "bench", "-k", paths["kernel"], "-i", paths["initrds"][0], "-i",
                        paths["initrds"][1], "-m", f"{memory}M"])

    def save(self, machine, path, _paths):
        begin = time.monotonic()
        subprocess.run([vmm.HULL, "snapshot", "bench", path], check=True)
        took = time.monotonic() - begin
        machine.end()
        return took

    def restore(self, paths, memory, path):
        begin = time.monotonic()
        machine = Machine([vmm.HULL, "restore", "-v", "--name", "bench", path])
        answer(machine)
        took = time.monotonic() - begin
        own = host.memory_of(machine.process.pid, 0)["private"]
        subprocess.run([vmm.HULL, "stop", "--force", "bench"], check=True)
        machine.process.wait()
        machine.log.seek(0)
        entry = re.search(rb"(\d+) +\+\d+  first entry", machine.log.read())
        machine.end()
        return int(entry.group(1)) / 1e6 if entry else 0, took, own


class Qemu:
    name = "qemu-microvm"

    def command(self, paths, memory, *more):
        return [*vmm.qemu(MICROVM, paths["kernel"], paths["initrds"], memory, vmm.words(), more),
                "-cpu", "host,migratable=on", "-qmp", f"unix:{paths['qmp']},server=on,wait=off"]

    def start(self, paths, memory):
        return Machine(self.command(paths, memory))

    def connect(self, paths):
        control = socket.socket(socket.AF_UNIX)
        while True:
            try:
                control.connect(paths["qmp"])
                break
            except OSError:
                time.sleep(0.001)
        file = control.makefile("rw")
        file.readline()
        self.ask(file, "qmp_capabilities")
        return file

    def ask(self, file, what, **arguments):
        file.write(json.dumps({"execute": what, "arguments": arguments}) + "\n")
        file.flush()
        while True:
            reply = json.loads(file.readline())
            if "return" in reply or "error" in reply:
                return reply.get("return")

    def save(self, machine, path, paths):
        file = self.connect(paths)
        self.ask(file, "migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        begin = time.monotonic()
        self.ask(file, "stop")
        self.ask(file, "migrate", uri=f"exec:cat >{path}")
        while self.ask(file, "query-migrate").get("status") not in ("completed", "failed"):
            time.sleep(0.005)
        took = time.monotonic() - begin
        machine.end()
        return took

    def restore(self, paths, memory, path):
        begin = time.monotonic()
        machine = Machine(self.command(paths, memory, "-incoming", f"exec:cat {path}", "-S"))
        file = self.connect(paths)
        while self.ask(file, "query-status").get("status") == "inmigrate":
            time.sleep(0.001)
        self.ask(file, "cont")
        entry = time.monotonic() - begin
        answer(machine)
        took = time.monotonic() - begin
        own = host.memory_of(machine.process.pid, 0)["private"]
        machine.end()
        return entry, took, own


COLUMNS = (("save", "ms"), ("file", "MiB"), ("on disk", "MiB"), ("first entry", "ms"), ("answer", "ms"), ("private", "KiB"))


def measure(kind, memory, paths, path):
    """A value for each of COLUMNS."""
    machine = kind.start(paths, memory)
    try:
        machine.wait_for(b"guest is warm")
        answer(machine)
        save = kind.save(machine, path, paths)
        size, on_disk = disk_mib(path)
        entry, took, own = kind.restore(paths, memory, path)
        return save * 1e3, size, on_disk, entry * 1e3, took * 1e3, own
    finally:
        machine.process.kill()
        machine.process.wait()
        shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.unlink(path)


def measure_copies(count, paths, memory, scratch):
    """Copies have no console: what counts is when the last one runs, and what each has of its own a second later."""
    path = f"{scratch}/template"
    if not os.path.isdir(path):
        machine = Hull().start(paths, memory)
        machine.wait_for(b"guest is warm")
        Hull().save(machine, path, paths)
    begin = time.monotonic()
    names = subprocess.run([vmm.HULL, "fork", "-n", str(count), "--name", "copy-{}", path], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split()
    took = time.monotonic() - begin
    time.sleep(1)
    vms = json.loads(subprocess.run([vmm.HULL, "ps", "--json"], check=True, stdout=subprocess.PIPE).stdout)
    own = [host.memory_of(vm["pid"], 0)["private"] for vm in vms if vm["name"] in names]
    for name in names:
        subprocess.run([vmm.HULL, "stop", "--force", name], check=True)
    return took * 1e3, statistics.median(own)


def box(args):
    return ["--mem", "8192"]


def options(parser):
    parser.add_argument("--ram", type=int, action="append", metavar="MIB", help="snapshot: several times (128, 512, 4096)")
    parser.add_argument("--touched", type=int, default=24, metavar="MIB", help="snapshot: random bytes in the guest (24)")
    parser.add_argument("--copies", type=int, action="append", metavar="N", help="snapshot: several times (1, 10, 50)")


def prepare(args):
    vmm.prepare_kernel("cloud")


def run(bench):
    args, scratch = bench.args, bench.scratch
    sizes = args.ram or ([128] if args.quick else [128, 512, 4096])
    copies = args.copies or ([1, 3] if args.quick else [1, 10, 50])
    paths = {"kernel": bench.cloud(), "qmp": scratch + "/qmp",
             "initrds": [scratch + "/guest.cpio", scratch + "/task.cpio"]}
    with open(scratch + "/task", "w") as file:
        file.write(TASK.format(touched=args.touched))
    shell('make_guest "$1/guest.cpio"; make_task "$1/task.cpio" <"$1/task"', scratch)
    for memory in sizes:
        for kind in (Hull(), Qemu()):
            if bench.wanted(kind.name) and (kind.name == "hull" or shutil.which("qemu-system-x86_64")):
                rows = bench.repeat(f"{memory} MiB: {kind.name}", lambda: measure(kind, memory, paths, scratch + "/saved"))
                for (metric, unit), values in zip(COLUMNS, zip(*rows)):
                    bench.record.add(NAME, f"{memory} MiB", kind.name, metric, unit, values)
    for count in copies if bench.wanted("hull") else ():
        rows = bench.repeat(f"{count} copies", lambda: measure_copies(count, paths, sizes[0], scratch), 1)
        for metric, unit, values in zip(("all run", "private of each"), ("ms", "KiB"), zip(*rows)):
            bench.record.add(NAME, "copies: " + str(count), "hull", metric, unit, values)
