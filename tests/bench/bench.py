# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench: hull against other VMMs, in one run.

    scripts/bench [OPTION]... [SUITE]...

Suites (default: all), each alone or with others:

    boot      kernels from exec to exit, exits and system calls, SMP, growth, many VMs
    memory    memory beside guest RAM, wake-ups of an idle VMM
    console   what a byte costs on ttyS0 and hvc0
    run       `hull run -- true`
    fs        shared directories
    block     disks
    net       networks
    snapshot  saving, restoring, copies

Peers are QEMU's microvm and q35, kvmtool (lkvm) if it is on the PATH, and each --peer NAME=COMMAND. COMMAND is split
as a shell would, and started with {kernel} (path), {initrd} (path of one archive), {memory} (MiB), {cpus} and {cmdline} (the
kernel command line, one word if the braces are one) filled in. The guest's serial console is its standard input and output,
and it ends when the guest powers off. It takes part in boot, memory and console as far as no disk, NIC or virtio
console is wanted.

It runs in the emulated host (tests/box/box), or on this machine where its KVM runs stock kernels. What was measured is
printed as tables: median (smallest, largest) = ratio to the best peer. Counts repeat; times are ratios at best, unless
--icount makes them repeat.
"""
import argparse
import datetime
import glob
import importlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import page
import record as records
import vmm
from vmm import TOP

SUITES = ("boot", "memory", "console", "run", "fs", "block", "net", "snapshot")
HISTORY = TOP + "/docs/performance"
BOX = TOP + "/tests/box/box"


class Bench:
    """What a suite is given: the options, where to put figures, a directory on tmpfs."""

    def __init__(self, args, suite, record, scratch):
        self.args, self.suite, self.record, self.scratch = args, suite, record, scratch
        self.rows = {}
        self.kernel = None

    def cloud(self):
        """The path of Debian's cloud kernel, copied to tmpfs."""
        if not self.kernel:
            self.kernel = shutil.copy(vmm.kernel_file("cloud"), self.scratch + "/cloud")
        return self.kernel

    def note(self, text):
        """A line of what was just measured. What there is by then is kept, should the rest never come."""
        if self.args.here:
            self.record.save(self.args.here)
        print(f"# {self.suite}: {text}", file=sys.stderr, flush=True)

    def wanted(self, name):
        return not self.args.only or name in self.args.only

    def vmms(self):
        """{name: function that makes a command of a Guest} of the VMMs that are here."""
        found = {}
        for name, make in vmm.VMMS.items():
            program = make(vmm.Guest("", [""], plain=True))[0]
            if self.wanted(name) and shutil.which(program):
                found[name] = make
        return found

    def left_out(self, name, why):
        """Says why, if there is a reason."""
        if why:
            self.note(f"{name}: left out: {why}")
        return bool(why)

    def collect(self, key, rows):
        """Keeps rows for when all of a key's have come."""
        self.rows.setdefault(key, []).extend(rows)

    def collected(self, key):
        return self.rows.get(key, [])

    def repeat(self, name, measure, runs=None):
        """What measure() returned, of each run; a VMM that fails is told of and left out."""
        rows = []
        for _ in range(runs or self.args.runs):
            begin = time.monotonic()
            try:
                rows.append(measure())
                self.note(f"{name}: {rows[-1]} ({time.monotonic() - begin:.0f} s)")
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                self.note(f"{name}: {error}")
                break
        return rows


def module(suite):
    return importlib.import_module(suite)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="*", metavar="SUITE")
    parser.add_argument("--quick", action="store_true", help="little of each suite, in minutes: does it work?")
    parser.add_argument("--runs", type=int, help="of each figure (3; with --icount 2; with --quick 1)")
    parser.add_argument("--icount", action="store_true",
                        help="the emulated host has one CPU whose clock counts instructions: a million a millisecond")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="see above; several times")
    parser.add_argument("--only", action="append", metavar="VMM", help="of the VMMs only this one; several times")
    parser.add_argument("--kernel", metavar="DIR",
                        help="in the place of Debian's cloud kernel: a directory as scripts/kernel makes")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB", help="of guests that boot (256)")
    parser.add_argument("--seconds", type=int, default=3, metavar="S", help="block, net: of each job (3)")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--record", metavar="NAME", help="keep them as docs/performance/DATE-NAME.json and make its page anew;"
                        " cases that a record of this day and name has already are replaced")
    parser.add_argument("--note", default="", help="with --record: what a reader should know of this run")
    parser.add_argument("--page", action="store_true",
                        help="only make docs/performance/index.html and the tables of docs/performance.md from the records")
    parser.add_argument("--show", action="append", metavar="FILE",
                        help="measure nothing, take the figures of such a file: tables and goals, or --record; several times")
    parser.add_argument("--here", metavar="FILE", help=argparse.SUPPRESS)
    for suite in SUITES:
        if hasattr(module(suite), "options"):
            module(suite).options(parser)
    args = parser.parse_args(arguments)
    for suite in args.suite:
        if suite not in SUITES:
            parser.error(f"no suite {suite}: {', '.join(SUITES)}")
    args.suite = args.suite or list(SUITES)
    args.runs = args.runs or (1 if args.quick else 2 if args.icount else 3)
    if args.kernel:
        vmm.use_kernel(args.kernel)
    try:
        for peer in args.peer:
            vmm.add_peer(peer)
    except ValueError as error:
        parser.error(error)
    return args


def take_programs(directory):
    """Copies the VMMs and their libraries to a directory on tmpfs, from which they are run: in the emulated host each
    file that is opened asks the machine outside, and a program with a hundred libraries would seem slow."""
    os.makedirs(directory + "/bin")
    os.makedirs(directory + "/lib")
    for program in filter(None, (vmm.HULL, *map(shutil.which, ("qemu-system-x86_64", "lkvm")))):
        shutil.copy(program, directory + "/bin")
        told = subprocess.run(["ldd", program], check=False, stdout=subprocess.PIPE, text=True).stdout
        for library in re.findall(r"=> (/\S+)", told):
            if not os.path.exists(f"{directory}/lib/{os.path.basename(library)}"):
                shutil.copy(library, directory + "/lib")
    # QEMU looks for its firmware beside itself.
    for name in ("qemu", "seabios"):
        os.makedirs(f"{directory}/share/{name}")
        for file in glob.glob(f"/usr/share/{name}/*.bin") + glob.glob(f"/usr/share/{name}/qboot.rom"):
            shutil.copy(file, f"{directory}/share/{name}")
    vmm.HULL = f"{directory}/bin/{os.path.basename(vmm.HULL)}"
    os.environ.update(PATH=f"{directory}/bin:{os.environ['PATH']}", LD_LIBRARY_PATH=directory + "/lib", HULL=vmm.HULL)


def inside(args):
    """On a KVM that runs stock kernels: measures, and writes the figures to the file of --here."""
    record = records.Record()
    if os.environ.get("HULL_BOX") and not any(getattr(module(suite), "IN_PLACE", False) for suite in args.suite):
        take_programs(tempfile.mkdtemp(prefix="hull-programs-", dir=os.environ.get("TMPDIR")))
    for suite in args.suite:
        scratch = tempfile.mkdtemp(prefix="hull-bench-", dir=os.environ.get("TMPDIR"))
        try:
            module(suite).run(Bench(args, suite, record, scratch))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            record.save(args.here)
    return 0 if record.figures else 1


def outside(args, arguments):
    """Every suite in a box of its own, or here; figures of one that fails half way are kept."""
    total = records.Record(about_run(args))
    native = subprocess.run([BOX, "--can-native"], check=False).returncode == 0
    status = 0
    os.makedirs(TOP + "/build/bench", exist_ok=True)
    work = tempfile.mkdtemp(prefix="run-", dir=TOP + "/build/bench")
    try:
        # A copy: who builds meanwhile must not change it under a box.
        hull = shutil.copy(vmm.HULL, work + "/hull")
        total.about["host"] = "native" if native else "emulated"
        for suite in args.suite:
            if hasattr(module(suite), "prepare"):
                module(suite).prepare(args)
            begin = time.monotonic()
            file = work + "/out/figures.json"
            wanted = module(suite).box(args)
            where = ["--native"] if native else [*(wanted or ()), *(["--icount"] if args.icount else [])]
            # The last words say which suite: one at a time.
            command = [BOX, *where, "--out", work + "/out", "--env", "HULL=" + hull, "--", TOP + "/scripts/bench", "--here",
                       file, *arguments, "--suite-only", suite]
            code = subprocess.run(command, check=False).returncode if wanted is not None else 0
            if os.path.exists(file):
                found = records.load(file)
                os.unlink(file)
            else:
                found = records.Record()
            if hasattr(module(suite), "outside"):
                module(suite).outside(args, found, Bench(args, suite, found, work).note)
            total.update(found)
            total.finish()
            print(records.tables(total, [suite]), flush=True)
            print(f"# {suite}: {time.monotonic() - begin:.0f} s, status {code}", file=sys.stderr, flush=True)
            status = max(status, code)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    keep(args, total)
    return status


def show(args):
    total = records.Record(about_run(args))
    for file in args.show:
        found = records.load(file)
        total.update(found)
        total.about.update({key: value for key, value in found.about.items() if key not in ("name", "note") or value})
    if args.record:
        total.about.update(name=args.record, note=args.note or total.about["note"])
    total.finish()
    print(records.tables(total) + "\n\n" + records.goal_table(total))
    keep(args, total)
    return 0


def about_run(args):
    commit = subprocess.run(["git", "-C", TOP, "log", "-1", "--format=%h"], check=False, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip()
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    now = datetime.datetime.now().isoformat(timespec="minutes")
    return {"date": now[:10], "time": now, "name": args.record or "", "note": args.note, "commit": commit,
            "clock": "instructions" if args.icount else "time", "machine": platform.machine(),
            "peers": qemu[0] if qemu else ""}


def keep(args, total):
    if args.json:
        total.save(args.json)
    if args.record:
        os.makedirs(HISTORY, exist_ok=True)
        path = f"{HISTORY}/{total.about['date']}-{args.record}.json"
        if os.path.exists(path):
            before = records.load(path)
            note = "; ".join(dict.fromkeys(text for text in (before.about.get("note"), args.note) if text))
            before.update(total)
            before.about = {**total.about, "note": note}
            total = before.finish()
        total.save(path)
        make_page()


def make_page():
    return page.make(HISTORY, TOP + "/docs/performance.md")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = sys.argv[1:]
    suite = None
    if "--suite-only" in arguments:  # in the box: one suite, whatever else is named
        at = arguments.index("--suite-only")
        suite = arguments[at + 1]
        arguments = arguments[:at]
    args = parse(arguments)
    if suite:
        args.suite = [suite]
    if args.page:
        return make_page()
    if args.show:
        return show(args)
    return inside(args) if args.here else outside(args, arguments)
