# SPDX-License-Identifier: GPL-2.0-or-later
"""fs: a shared directory on tmpfs, hull against QEMU's microvm with virtiofsd over PCI (tests/bench/shares.py).

The machine has the host's / as its root. Jobs: a file of --size MiB written in blocks of 1 MiB (and synced) and read back,
a tree of --files small files unpacked, walked with all attributes, and `git status` in another one. Caches of the
guest are dropped before each job. Times have the guest's programs and kernel in them, which are the same for all.
"""
import os
import shutil
import subprocess
import tarfile
import time

import host
import shares
import vmm
from shares import Hull, Qemu
from vmm import LIMIT, Machine

NAME = "fs"
JOBS = {"write": "write", "read": "read_", "untar": "untar", "find": "find_", "git status": "status"}
# The kernel is unpacked: how long these boot is no matter.
ROWS = {"hull": Hull(), "qemu-virtiofsd": Qemu("virtiofsd", "elf"), "qemu-9p": Qemu("9p", "elf"),
        "hull-writeback": Hull("kernel", "cache=writeback")}
TASK = """stty -opost -echo 2>/dev/null
export HOME=/root
git config --global --add safe.directory '*'
cd /mnt
job() {{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	echo "begin $1"; read -r go
	"$1"; echo "end $1 $?"
}}
write() {{ dd if=/dev/zero of=/mnt/file bs=1M count={size} conv=fsync 2>/dev/null; }}
read_() {{ dd if=/mnt/file of=/dev/null bs=1M 2>/dev/null; }}
untar() {{ mkdir x && tar -xf tree.tar -C x; }}
find_() {{ [ "$(find x -type f -printf '%s %m %T@\\n' | wc -l)" = {files} ]; }}
status() {{ [ -z "$(git -C tree status --short)" ]; }}
job write; job read_; job untar; job find_; job status
echo done; read -r go
"""


def box(args):
    return ["--mem", "6144"]


def options(parser):
    parser.add_argument("--size", type=int, default=32, metavar="MIB", help="fs: the large file (32)")
    parser.add_argument("--files", type=int, default=300, metavar="N", help="fs: small files (300)")
    parser.add_argument("--flavour", choices=["cloud", "generic"], default="cloud",
                        help="fs: the kernel; generic has 9p, cloud has not (cloud)")


def prepare(args):
    vmm.prepare_kernel(args.flavour)
    vmm.prepare_elf(vmm.kernel_dir(args.flavour))


def make_share(path, files):
    """A directory with a tree of small files as an archive and as a git repository."""
    os.makedirs(path + "/tree")
    for n in range(files):
        directory = f"{path}/tree/{n % 20}/{n % 7}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/{n}.c", "w") as file:
            file.write(f"/* {n} */\n" * (n % 300 + 1))
    with tarfile.open(path + "/tree.tar", "w") as tar:
        tar.add(path + "/tree", "tree")
    subprocess.run("git init -q . && git add . && git -c user.name=a -c user.email=a@b commit -q -m all", shell=True,
                   cwd=path + "/tree", check=True)


def run(bench):
    args = bench.args
    if args.quick:
        args.size, args.files = 4, 50
    directory = vmm.kernel_dir(args.flavour)
    task = TASK.format(size=args.size, files=args.files)
    os.chmod(bench.scratch, 0o755)
    paths = {"kernel": shutil.copy(vmm.kernel_file(args.flavour), bench.scratch + "/vmlinuz"), "task": task,
             "elf": vmm.elf_file(directory), "initrd": shares.make_initrd(directory, task, bench.scratch),
             "share": bench.scratch + "/share"}
    os.environ["HULL_MODULES"] = directory
    make_share(paths["share"], args.files)
    rows = {name: row for name, row in ROWS.items()
            if bench.wanted(name) and not bench.left_out(name, shares.left_out(row, directory))}
    for _ in range(args.runs):  # in turns
        for name, row in rows.items():
            bench.collect(name, bench.repeat(name, lambda: measure(row, paths, bench.scratch, False), 1))
    for name, row in rows.items():
        counts = [] if args.quick else bench.repeat(name, lambda: measure(row, paths, bench.scratch, True), 1)
        for job in JOBS:
            bench.record.add(NAME, job, name, "time", "ms", [found[job] for found in bench.collected(name)])
            for metric in ("exits", "exits to user space", "system calls"):
                bench.record.add(NAME, job, name, metric, "", [found[job][metric] for found in counts])


def measure(row, paths, scratch, counting):
    """{job: milliseconds, or with counting what the whole host does meanwhile}"""
    for name in ("file", "x"):
        subprocess.run(["rm", "-rf", f"{paths['share']}/{name}"], check=True)
    machine, results = None, {}
    try:
        machine = Machine(row.share(paths, scratch))
        for job, name in JOBS.items():
            machine.wait_for(rb"begin " + name.encode() + rb"\s")
            machine.deadline = time.monotonic() + LIMIT
            counts = host.Counts(scratch) if counting else None
            begin = time.monotonic()
            machine.go_on()
            match = machine.wait_for(rb"end " + name.encode() + rb" (\d+)\s")
            took = (time.monotonic() - begin) * 1e3
            results[job] = counts.stop() if counts else took
            if match[1] != b"0":
                raise RuntimeError(f"{job} failed: {machine.buffer[-300:]!r}")
        machine.wait_for(rb"done")
        return results
    finally:
        if machine:
            machine.end()
        row.stop()
