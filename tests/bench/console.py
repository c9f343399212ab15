# SPDX-License-Identifier: GPL-2.0-or-later
"""console: what it costs that a guest writes text, on the serial port and on a virtio console.

The guest (Debian's cloud kernel, busybox) writes 24,000 bytes in lines of 80; the VMM's output is read as fast as it
comes. Columns are per byte.
"""
import time

import host
import vmm
from vmm import Guest, Machine, shell

NAME = "console"
SIZE = 24_000  # bytes, the newlines with their carriage returns included
TASK = """dmesg -n 1
stty -opost -echo
n=0
line=$(printf '%078d' 0)
while [ $n -lt 300 ]; do printf '%s\\r\\n' "$line"; n=$((n + 1)); done >/text
echo "begin"; read -r go
cat /text
echo "the end"; read -r go
"""


def box(args):
    return ["--mem", "4096"]


def prepare(args):
    vmm.prepare_kernel("cloud")


def run(bench):
    with open(bench.scratch + "/task", "w") as file:
        file.write(TASK)
    shell('make_guest "$1/guest.cpio" "$2" virtio_pci virtio_mmio virtio_console; make_task "$1/task.cpio" <"$1/task"',
          bench.scratch, vmm.kernel_dir("cloud"))
    initrds = [bench.scratch + "/guest.cpio", bench.scratch + "/task.cpio"]
    for case, console in (("ttyS0", "serial"), ("hvc0", "virtio")):
        guest = Guest(bench.cloud(), initrds, console=console)
        for name, make in bench.vmms().items():
            rows = bench.repeat(f"{case}: {name}", lambda: measure(make(guest), bench.scratch))
            for metric in ("exits to user space", "exits", "system calls", "page faults"):
                bench.record.add(NAME, case, name, metric, "/byte", [row[metric] / SIZE for row in rows])
            bench.record.add(NAME, case, name, "time", "ms", [row["time"] for row in rows])


def measure(command, scratch):
    """Counts of a run while the text is written. Its time has the counting in it, the same for all."""
    machine = Machine(command)
    try:
        machine.wait_for(rb"begin\s")
        counts = host.Counts(scratch, machine.process.pid)
        begin = time.monotonic()
        machine.go_on()
        machine.wait_for(rb"the end\s")
        took = time.monotonic() - begin
        return {**counts.stop(), "time": took * 1e3}
    finally:
        machine.end()
