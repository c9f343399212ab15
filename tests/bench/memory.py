# SPDX-License-Identifier: GPL-2.0-or-later
"""memory: what a VMM has of its own beside guest RAM, and how often it wakes up while its guest sleeps.

The guest has 128 MiB, one disk and one NIC (a TAP device), and waits forever once it is up. Private dirty memory and PSS are
those of all the VMM's processes, guest RAM left out. Wake-ups are voluntary context switches; threads that run a
vCPU are counted apart, as the guest wakes those.
"""
import os
import subprocess
import time

import host
import initrd
import vmm
from vmm import Guest, Machine

NAME = "memory"
TAP = "tap79"
MEMORY = 128
IN_PLACE = True  # the VMMs run from where they are installed, and share libraries with whoever else runs


def box(args):
    return ["--mem", "4096"]


def prepare(args):
    vmm.prepare_kernel("cloud")


def run(bench):
    disk = bench.scratch + "/disk"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["ip", "tuntap", "add", "mode", "tap", "name", TAP, "vnet_hdr"], check=True)
    try:
        wait = initrd.build(bench.scratch + "/wait.cpio", "-DWAIT")
        bare = Guest(bench.cloud(), [wait], MEMORY)
        full = Guest(bare.kernel, [wait], MEMORY, disk=disk, tap=TAP)
        for name, make in bench.vmms().items():
            for case, guest in (("128 MiB", bare), ("128 MiB, disk, NIC", full)):
                rows = bench.repeat(f"{case}: {name}", lambda: measure(make(guest), bench))
                for metric, unit in (("private dirty", "KiB"), ("PSS without RAM", "KiB"), ("threads", "")):
                    bench.record.add(NAME, case, name, metric, unit, [row[metric] for row in rows])
                if guest is full:
                    for metric in ("wake-ups", "wake-ups of vCPUs"):
                        bench.record.add(NAME, "idle", name, metric, "/s", [row[metric] for row in rows])
    finally:
        subprocess.run(["ip", "link", "del", TAP], check=False)


def measure(command, bench):
    machine = Machine(command)
    try:
        machine.wait_for(initrd.UP)
        time.sleep(2)
        pid = machine.process.pid
        memory = host.memory_of(pid, MEMORY)
        threads = sum(len(os.listdir(f"/proc/{process}/task")) for process in host.descendants(pid))
        own, vcpu, names = host.wake_ups(pid, 5 if bench.args.quick else 20)
        if names:
            bench.note(f"woken, a second: {dict(names)}")
        return {"private dirty": memory["private dirty"], "PSS without RAM": memory["PSS"], "threads": threads,
                "wake-ups": own, "wake-ups of vCPUs": vcpu}
    finally:
        machine.end()
