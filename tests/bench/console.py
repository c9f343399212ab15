# SPDX-License-Identifier: GPL-2.0-or-later
"""console: what it costs that a guest writes text, on the serial port and on a virtio console.

The guest (Debian's cloud kernel, busybox) writes 300 lines of 80 bytes as a process does ("tty"), and as many through
/dev/kmsg, as the kernel writes its log ("kernel"). The VMM's output is read as fast as it comes. Columns are per byte of it.
"""
import time

import host
import vmm
from vmm import Guest, Machine, shell

NAME = "console"
LINES = 300
TASK = f"""dmesg -n 1
echo on >/proc/sys/kernel/printk_devkmsg
stty -opost -echo
n=0
line=$(printf '%078d' 0)
while [ $n -lt {LINES} ]; do printf '%s\\r\\n' "$line"; n=$((n + 1)); done >/text
echo "begin"; read -r go
cat /text
echo "the end"; read -r go
echo "begin"; read -r go
dmesg -n 8
while read -r line; do echo "<5>$line" >/dev/kmsg; done </text
dmesg -n 1
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
    for device, console in (("ttyS0", "serial"), ("hvc0", "virtio")):
        guest = Guest(bench.cloud(), initrds, console=console)
        for name, make in bench.vmms().items():
            rows = bench.repeat(f"{device}: {name}", lambda: measure(make(guest), bench.scratch))
            for who in ("kernel", "tty"):
                case = f"{device}, {who}"
                for metric in ("exits to user space", "exits", "system calls", "page faults"):
                    bench.record.add(NAME, case, name, metric, "/byte", [row[who][metric] for row in rows])
                bench.record.add(NAME, case, name, "time", "us/byte", [row[who]["time"] for row in rows])


def measure(command, scratch):
    """{"tty", "kernel": what a byte costs}. Its time has the counting in it, the same for all."""
    machine = Machine(command)
    found = {}
    try:
        for who in ("tty", "kernel"):
            machine.wait_for(rb"begin\s")
            counts = host.Counts(scratch, machine.process.pid)
            before, begin = machine.received, time.monotonic()
            machine.go_on()
            machine.wait_for(rb"the end\s")
            took = (time.monotonic() - begin) * 1e6
            size = machine.received - before
            if size < LINES * 80:
                raise RuntimeError(f"only {size} bytes came")
            found[who] = {**{event: number / size for event, number in counts.stop().items()}, "time": took / size}
            machine.go_on()
        return found
    finally:
        machine.end()
