# SPDX-License-Identifier: GPL-2.0-or-later
"""run: from exec to exit of `hull run --root / -- true`, against QEMU's microvm that does the same (tests/bench/shares.py).

Starting virtiofsd is part of QEMU's time. Case "true": the same kernel, and all words that hull gives it; "vmlinux":
all have the kernel unpacked; "plain words": QEMU is a microvm with RTC and PCI and none of those words, as virtme-ng starts
it. Exits and system calls are those of the whole host meanwhile.
"""
import os
import shutil
import time

import host
import shares
import vmm
from shares import Hull, Qemu

NAME = "run"
ROWS = {
    "true": {"hull": Hull(), "qemu-virtiofsd": Qemu("virtiofsd"), "qemu-9p": Qemu("9p")},
    "true, vmlinux": {"hull": Hull("elf"), "qemu-virtiofsd": Qemu("virtiofsd", "elf")},
    "true, plain words": {"hull": Hull(), "qemu-virtiofsd": Qemu("virtiofsd", plain=True)},
}


def box(args):
    return ["--mem", "6144"]


def prepare(args):
    vmm.prepare_kernel("cloud")
    vmm.prepare_elf(vmm.kernel_dir("cloud"))


def run(bench):
    directory = vmm.kernel_dir("cloud")
    paths = {"kernel": bench.cloud(), "elf": shutil.copy(vmm.elf_file(directory), bench.scratch + "/vmlinux"),
             "initrd": shares.make_initrd(directory, "", bench.scratch)}
    os.environ["HULL_MODULES"] = directory
    os.chmod(bench.scratch, 0o755)
    for case, rows in ROWS.items():
        if bench.args.quick and case != "true":
            continue
        rows = {name: row for name, row in rows.items() if bench.wanted(name) and not bench.left_out(
            f"{case}: {name}", shares.left_out(row, directory))}
        for number in range(bench.args.runs + 1):  # in turns; the first for the caches
            for name, row in rows.items():
                found = bench.repeat(f"{case}: {name}", lambda: measure(row, paths, bench.scratch), 1)
                if number:
                    bench.collect((case, name), found)
        for name, row in rows.items():
            bench.record.add(NAME, case, name, "time", "ms", bench.collected((case, name)))
            if not bench.args.quick:
                counts = bench.repeat(f"{case}: {name}", lambda: count(row, paths, bench.scratch), 1)
                for metric in host.EVENTS.values():
                    bench.record.add(NAME, case, name, metric, "", [row[metric] for row in counts])


def measure(row, paths, scratch):
    out = scratch + "/out"
    begin = time.monotonic()
    try:
        _, end, status = host.run(row.start(paths, scratch), out)
    finally:
        row.stop()
    with open(out, "rb") as file:
        said = file.read()
    if status != 0 or b"anic" in said:
        raise RuntimeError(f"status {status}: {said[-500:].decode(errors='replace')}")
    return (end - begin) * 1e3


def count(row, paths, scratch):
    counts = host.Counts(scratch)
    try:
        measure(row, paths, scratch)
    finally:
        found = counts.stop()
    return found
