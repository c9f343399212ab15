# SPDX-License-Identifier: GPL-2.0-or-later
"""boot: Debian kernels with one initramfs (a line on the console, then power-off), from exec to exit.

cloud, generic, vmlinux (cloud, unpacked): hull's cache of decoded kernels is warm, and peers have hull's own kernel
command line. "plain words": they have what a user would give them. "cache cold": hull's cache is empty.
8 vCPUs, 128 MiB, 4 GiB, 50 VMs: how time and memory grow. "first entry here": on this machine's own /dev/kvm, whatever it
is, by hull's timeline; the guest need not come up there.
"""
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import host
import initrd
import vmm
from vmm import Guest, Machine

NAME = "boot"


def box(args):
    parts = args.part or PARTS
    if list(parts) == ["here"]:
        return None
    return ["--mem", "12288" if "vms" in parts and not args.quick else "8192" if "growth" in parts else "4096"]


def options(parser):
    parser.add_argument("--part", action="append", choices=list(PARTS), help="boot: only this; several times")
    parser.add_argument("--vms", type=int, default=50, metavar="N", help="boot: how many VMs at once (50)")


def prepare(args):
    for flavour in ("cloud", "generic"):
        vmm.prepare_kernel(flavour)
    vmm.prepare_elf(vmm.kernel_dir("cloud"))


def run(bench):
    bench.initrd = initrd.build(bench.scratch + "/run.cpio")
    for name in bench.args.part or (QUICK if bench.args.quick else PARTS):
        PARTS[name](bench)


# --- one kernel, all VMMs ------------------------------------------------------


class Case:
    """A guest that all VMMs boot in turns; one that fails is left out."""

    def __init__(self, bench, name, guest, vmms, peer=True):
        self.bench, self.name, self.guest, self.peer = bench, name, guest, peer
        self.vmms = dict(vmms)
        self.times = {name: [] for name in vmms}
        # Those that may have a cache of kernels fill it.
        for name in [name for name in vmms if not name.startswith("qemu")]:
            if not self.attempt(name, self.once, vmms[name]):
                del self.vmms[name]

    def attempt(self, name, what, *arguments):
        try:
            what(*arguments)
            return True
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            self.bench.note(f"{self.name}: {name}: {error}")
            return False

    def once(self, make, env=None):
        """Milliseconds from exec to exit."""
        out = self.bench.scratch + "/out"
        begin, end, _ = host.run(make(self.guest), out, env)
        host.check_output(out, initrd.UP)
        return (end - begin) * 1e3

    def add(self, name, metric, unit, values, **more):
        self.bench.record.add(NAME, self.name, name, metric, unit, values, peer=self.peer, **more)

    def clock(self, runs):
        """A B A B ..., so that all see the same noise."""
        for _ in range(runs):
            for name, make in self.vmms.items():
                self.attempt(name, lambda: self.times[name].append(self.once(make)))
        for name, times in self.times.items():
            self.bench.note(f"{self.name}: {name}: {[round(t) for t in times]} ms")
            self.add(name, "time", "ms", times)
        self.vmms = {name: make for name, make in self.vmms.items() if self.times[name]}

    def count(self, runs):
        for name, make in self.vmms.items():
            rows = []
            for _ in range(runs):
                out = self.bench.scratch + "/out"
                self.attempt(name, lambda: rows.append(host.count_run(make(self.guest), out)))
            for metric in host.EVENTS.values():
                self.add(name, metric, "", [row[metric] for row in rows if metric in row])

    def trace(self, kinds):
        for name, make in self.vmms.items():
            self.attempt(name, self.trace_one, name, make, kinds)

    def trace_one(self, name, make, kinds):
        line = host.trace_run(make(self.guest), self.bench.scratch + "/out")
        if not line:
            return
        self.add(name, "exec to first entry", "ms", [line.first_entry])
        self.add(name, "reset to gone", "ms", [line.gone])
        self.add(name, "in the guest", "ms", [line.in_guest])
        if self.times[name]:
            whole = statistics.median(self.times[name])
            self.add(name, "beyond the guest's own", "%", [(whole / line.in_guest - 1) * 100])
        for kind, number in line.kinds.most_common() if kinds else ():
            self.bench.record.add(NAME, self.name + ": exits by reason", name, kind, "", [number], peer=False)


def kernel_part(case, file, whole=True):
    """whole: with counts, a trace, and plain words."""
    def part(bench):
        args = bench.args
        kernel = shutil.copy(file(), f"{bench.scratch}/{case}.kernel")
        guest = Guest(kernel, [bench.initrd], args.memory)
        same = Case(bench, case, guest, bench.vmms() if whole else without_q35(bench))
        same.clock(args.runs)
        if whole:
            same.count(1 if args.icount else args.runs)
            same.trace(kinds=case == "cloud")
        if case == "cloud":
            cold(bench, same)
        if whole and not args.quick:
            guest = Guest(kernel, [bench.initrd], args.memory, plain=True)
            plain = Case(bench, case + ", plain words", guest, bench.vmms())
            plain.clock(max(args.runs - 1, 1))
        os.unlink(kernel)
    return part


def cold(bench, same):
    """Only hull has a cache: the peers' times are those of the case that is warm."""
    case = Case(bench, same.name + ", cache cold", same.guest, {})
    for name, times in same.times.items():
        if name == "hull":
            times = []
            for _ in range(bench.args.runs):
                with tempfile.TemporaryDirectory(dir=bench.scratch) as cache:
                    env = {**os.environ, "XDG_CACHE_HOME": cache}
                    case.attempt(name, lambda: times.append(case.once(same.vmms[name], env)))
            bench.note(f"{case.name}: {name}: {[round(t) for t in times]} ms")
        case.add(name, "time", "ms", times)


# --- growth ------------------------------------------------------------------------


def without_q35(bench):
    """Where the other QEMU says enough."""
    return {name: make for name, make in bench.vmms().items() if name != "qemu-q35"}


def compared(bench, small, large, metric):
    """The same guest, small and large; metric: what the ratio of their times is called."""
    cases = []
    for name, size in (small, large):
        guest = Guest(bench.cloud(), [bench.initrd], **size)
        cases.append(Case(bench, name, guest, without_q35(bench)))
    for _ in range(bench.args.runs):
        for case in cases:
            for name, make in case.vmms.items():
                case.attempt(name, lambda: case.times[name].append(case.once(make)))
    for case in cases:
        for name, times in case.times.items():
            case.add(name, "time", "ms", times)
    for name, times in cases[1].times.items():
        if times and cases[0].times.get(name):
            cases[1].add(name, metric, "", [statistics.median(times) / statistics.median(cases[0].times[name])])


def smp(bench):
    compared(bench, ("1 vCPU", {"cpus": 1}), ("8 vCPUs", {"cpus": 8}), "of one vCPU's time")


def growth(bench):
    compared(bench, ("128 MiB", {"memory": 128}), ("4 GiB", {"memory": 4096}), "of 128 MiB's time")


def vms(bench):
    """One VM after the other, all of which stay; each is timed until it is up."""
    number = min(bench.args.vms, 5) if bench.args.quick else bench.args.vms
    guest = Guest(bench.cloud(), [initrd.build(bench.scratch + "/wait.cpio", "-DWAIT")], 128)
    for name, make in without_q35(bench).items():
        machines, times, memory = [], [], [host.available()]
        try:
            for _ in range(number):
                begin = time.monotonic()
                machines.append(Machine(make(guest)))
                machines[-1].wait_for(initrd.UP)
                times.append((time.monotonic() - begin) * 1e3)
                memory.append(host.available())
        except RuntimeError as error:
            bench.note(f"{len(machines)} VMs: {name}: {error}")
        own = [host.memory_of(machine.process.pid, guest.memory)["private dirty"]
               for machine in machines[:1] + machines[-1:]]
        for machine in machines:
            machine.end()
        bench.note(f"{number} VMs: {name}: {[round(t) for t in times]} ms, {[a - b for a, b in zip(memory, memory[1:])]} KiB")
        if len(times) == number:
            add_growth(bench.record, f"{bench.args.vms} VMs", name, times, memory, own)


def add_growth(record, case, name, times, memory, own):
    """First and last are medians of a tenth of the VMs each; of memory without the very first, which fills caches."""
    tenth = max(len(times) // 10, 2)
    used = [before - after for before, after in zip(memory, memory[1:])]
    first, last = times[1:1 + tenth], times[-tenth:]
    less, more = used[1:1 + tenth], used[-tenth:]
    record.add(NAME, case, name, "time of the first ones", "ms", first)
    record.add(NAME, case, name, "time of the last ones", "ms", last)
    record.add(NAME, case, name, "last of first: time", "", [statistics.median(last) / statistics.median(first)])
    record.add(NAME, case, name, "host memory of the first ones", "KiB", less)
    record.add(NAME, case, name, "host memory of the last ones", "KiB", more)
    record.add(NAME, case, name, "last of first: memory", "", [statistics.median(more) / statistics.median(less)])
    record.add(NAME, case, name, "private dirty, first and last", "KiB", own)


# --- this machine's own KVM ------------------------------------------------------------


def here(bench):
    """Runs outside of the emulated host: see outside()."""


def outside(args, record, note):
    """exec to first entry on this machine's /dev/kvm: the sandbox and the calls of KVM are not emulated there."""
    if (args.part and "here" not in args.part) or not os.access("/dev/kvm", os.W_OK):
        return
    entries(args, record, note, "first entry here", vmm.kernel_file("cloud"))
    tiny = vmm.TOP + "/build/tests/kvm/hello.elf"
    if os.path.exists(tiny):
        entries(args, record, note, "first entry here, tiny guest", tiny)


def entries(args, record, note, case, kernel):
    whole, without = [], []
    for number in range(max(args.runs, 5) + 1):
        said = subprocess.run([vmm.HULL, "run", "-v", "-k", kernel, "-m", f"{args.memory}M", "--timeout", "1"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False).stderr
        match = re.search(rb"(\d+) +\+\d+  first entry", said)
        loading = sum(int(us) for us in re.findall(rb"\+(\d+)  (?:tables and kernel loaded|kernel from cache)", said))
        if match and number:  # the first fills caches
            whole.append(int(match[1]) / 1e3)
            without.append((int(match[1]) - loading) / 1e3)
    note(f"{case}: {whole} ms")
    record.add(NAME, case, "hull", "exec to first entry", "ms", whole)
    record.add(NAME, case, "hull", "without loading the kernel", "ms", without)


PARTS = {
    "cloud": kernel_part("cloud", lambda: vmm.kernel_file("cloud")),
    "vmlinux": kernel_part("vmlinux", lambda: vmm.elf_file(vmm.kernel_dir("cloud"))),
    "smp": smp,
    "growth": growth,
    "generic": kernel_part("generic", lambda: vmm.kernel_file("generic"), whole=False),
    "vms": vms,
    "here": here,
}
QUICK = ("cloud", "smp", "vms")
