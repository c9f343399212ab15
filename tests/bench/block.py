# SPDX-License-Identifier: GPL-2.0-or-later
"""block: disks of hull and of QEMU (q35, virtio-blk-pci with an iothread, one queue).

Every VMM gets the same kernel (Debian's cloud kernel), the same guest with fio, and an image on tmpfs; in the cases
"O_DIRECT", one on ext4 over a loop device opened so, which tmpfs has not. Jobs: 4 KiB random reads and writes at depths 1
and 32, sequential ones of 1 MiB at depth 4. Exits and system calls are per request, over all of a job.
"""
import os
import shutil
import subprocess

import host
import vmm
from vmm import LIMIT, TOP, Machine, shell

NAME = "block"
SIZE_MIB = 64
JOBS = {
    "randread-1": "--rw=randread --bs=4k --iodepth=1",
    "randwrite-1": "--rw=randwrite --bs=4k --iodepth=1",
    "randread-32": "--rw=randread --bs=4k --iodepth=32",
    "randwrite-32": "--rw=randwrite --bs=4k --iodepth=32",
    "read-1M": "--rw=read --bs=1m --iodepth=4",
    "write-1M": "--rw=write --bs=1m --iodepth=4",
}


def hull(options="", transport="pci"):
    def command(kernel, initrds, image, tools):
        return [vmm.HULL, "run", "-k", kernel, *sum((["-i", i] for i in initrds), []), "-m", "512M",
                "--transport", transport, "-d", image + options, "-d", tools + ",ro"]
    return command


def qemu(drive):
    def command(kernel, initrds, image, tools):
        return vmm.qemu("q35", kernel, initrds, 512, vmm.words(), [
            "-object", "iothread,id=io",
            "-drive", f"if=none,id=a,file={image},format=raw,{drive}",
            "-device", "virtio-blk-pci,drive=a,iothread=io,num-queues=1",
            "-drive", f"if=none,id=b,file={tools},format=raw,readonly=on,file.locking=off",
            "-device", "virtio-blk-pci,drive=b,iothread=io,num-queues=1"])
    return command


ROWS = {
    "tmpfs": {
        "hull": hull(),
        "hull-sync": hull(",engine=sync"),
        "hull-mmio": hull(transport="mmio"),
        "qemu-io_uring": qemu("cache=writeback,aio=io_uring"),
        "qemu-threads": qemu("cache=writeback,aio=threads"),
    },
    "O_DIRECT": {
        "hull": hull(",direct"),
        "hull-aio": hull(",direct,engine=aio"),
        "qemu-io_uring": qemu("cache=none,aio=io_uring"),
        "qemu-native": qemu("cache=none,aio=native"),
    },
}
QUICK = {"tmpfs": ("hull", "qemu-io_uring")}
QUICK_JOBS = ("randread-1", "randread-32")


def box(args):
    # With one CPU QEMU's iothread and its guest take turns, as do hull's.
    return ["--smp", "2", "--mem", "4096"]


def options(parser):
    parser.add_argument("--image", action="append", choices=list(ROWS), help="block: only on this; several times")


def prepare(args):
    vmm.prepare_kernel("cloud")
    shell("guest_tools >/dev/null")


def jobs(args):
    return QUICK_JOBS if args.quick else tuple(JOBS)


def task(names, seconds):
    """What the guest does: each job waits for a line, so that counting can start."""
    lines = ["dmesg -n 1", "stty -opost -echo"]
    for name in names:
        fio = (f"fio --name=j --filename=/dev/vda --direct=1 --ioengine=io_uring --time_based --size={SIZE_MIB}m "
               f"--norandommap --randrepeat=1 --gtod_reduce=1 --thread {JOBS[name]} --minimal --output=/tmp/out")
        # Terse fields: 6 and 47 KiB read and written, 8 and 49 requests a second.
        lines += [f"{fio} --runtime=1s >/dev/null 2>&1",
                  f"echo begin {name}", "read -r go", f"{fio} --runtime={seconds}s >/dev/null 2>&1",
                  f"awk -F';' '{{ print \"result {name} \" $8 + $49 \" \" $6 + $47 }}' /tmp/out", "read -r go"]
    return "\n".join(lines) + "\n"


def measure(command, names, scratch):
    """{job: {"requests": a second, and of each of host.EVENTS how many a request costs}}"""
    machine = Machine(command)
    results = {}
    try:
        for name in names:
            machine.wait_for(rb"begin " + name.encode() + rb"\s")
            counts = host.Counts(scratch, machine.process.pid)
            machine.go_on()
            match = machine.wait_for(rb"result \S+ ([0-9.]+) ([0-9.]+)\s")
            size = 4 if "4k" in JOBS[name] else 1024
            requests = max(float(match[2]) / size, 1)
            results[name] = {"requests": float(match[1]),
                             **{event: count / requests for event, count in counts.stop().items()}}
            machine.go_on()
        machine.process.wait(timeout=LIMIT)
        return results
    finally:
        machine.end()


def run(bench):
    args = bench.args
    kernel = bench.cloud()
    tools = shutil.copy(TOP + "/build/guest/tools.ext4", bench.scratch + "/tools")
    with open(bench.scratch + "/task", "w") as file:
        file.write(task(jobs(args), args.seconds))
    shell('make_guest "$1/guest.cpio" "$2" virtio_pci virtio_mmio virtio_blk; '
          '{ use_tools; cat "$1/task"; } | make_task "$1/task.cpio"', bench.scratch, vmm.kernel_dir("cloud"))
    initrds = [bench.scratch + "/guest.cpio", bench.scratch + "/task.cpio"]
    for kind, image in make_images(bench.scratch).items():
        if args.image and kind not in args.image or args.quick and kind not in QUICK:
            continue
        rows = {name: row for name, row in ROWS[kind].items()
                if bench.wanted(name) and not (args.quick and name not in QUICK[kind])}
        for number in range(args.runs):  # in turns
            for name, row in rows.items():
                found = bench.repeat(f"{kind}: {name}", lambda: measure(
                    row(kernel, initrds, image, tools), jobs(args), bench.scratch), 1)
                bench.collect((kind, name), found)
        for name in rows:
            add(bench, kind, name, bench.collected((kind, name)))
    subprocess.run(["umount", bench.scratch + "/direct"], stderr=subprocess.DEVNULL, check=False)


def add(bench, kind, name, rows):
    for job in jobs(bench.args):
        case = job if kind == "tmpfs" else f"{job}, {kind}"
        bench.record.add(NAME, case, name, "requests", "/s", [row[job]["requests"] for row in rows], better="higher")
        for metric in ("exits", "exits to user space", "system calls"):
            bench.record.add(NAME, case, name, metric, "", [row[job][metric] for row in rows])


def make_images(scratch):
    """{kind: path}: one image on tmpfs and one on ext4, both filled."""
    subprocess.run(["truncate", "-s", f"{SIZE_MIB * 2}M", scratch + "/ext4"], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", scratch + "/ext4"], check=True)
    os.mkdir(scratch + "/direct")
    subprocess.run(["mount", "-o", "loop", scratch + "/ext4", scratch + "/direct"], check=True)
    images = {"tmpfs": scratch + "/image", "O_DIRECT": scratch + "/direct/image"}
    for image in images.values():
        with open(image, "wb") as file:
            for _ in range(SIZE_MIB):
                file.write(os.urandom(1 << 20))
    return images
