# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest initramfs: tests/bench/init.S and a console. No root is needed to make it."""
import os
import subprocess

from vmm import TOP

UP = b"guest is up"


def cpio_entry(name, mode, data, device=(0, 0)):
    """One member of a "newc" archive; a device node needs no root this way."""
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def build(path, *defines):
    """Says that it is up and powers off; with -DWAIT it stays. Returns path."""
    init = path + ".init"
    subprocess.run(["gcc", "-nostdlib", "-static", *defines, "-o", init, TOP + "/tests/bench/init.S"], check=True)
    with open(path, "wb") as out:
        out.write(cpio_entry("dev", 0o040755, b""))
        out.write(cpio_entry("dev/console", 0o020600, b"", (5, 1)))
        with open(init, "rb") as file:
            out.write(cpio_entry("init", 0o100755, file.read()))
        out.write(cpio_entry("TRAILER!!!", 0, b""))
    os.unlink(init)
    return path
