# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests whose root, and a directory beside, are the host's: what suites run and fs share.

QEMU is a microvm with an initramfs of busybox and the few modules it needs, which mounts the host's / read-only by
virtiofs or 9p under an overlay. virtiofsd is Debian's (of QEMU 7.2) with its defaults: cache=auto, no xattrs, no locks on
the host. hull has its own: xattrs and locks of the host's files. Of 9p it is cache=loose (run, read-only) and
cache=mmap (fs); Debian's cloud kernel has none.
"""
import os
import subprocess
import time

import vmm
from vmm import MICROVM, PLAIN_MICROVM, PLAIN_WORDS, join, shell

VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
MEMORY = 768  # MiB
MODULES = ["virtio_pci", "virtio_mmio", "virtiofs", "overlay"]
MODULES_9P = ["9pnet_virtio", "9p"]

# What QEMU's guest does until the host's files are its root.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do insmod "/modules/$module"; done </modules/order
mkdir -p /lower /upper /new
attach() {
	if grep -q hull_bench=9p /proc/cmdline; then
		mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$4" "$1" "$2"
	else
		mount -t virtiofs -o "$3" "$1" "$2"
	fi
}
attach root /lower ro ro,cache=loose
mount -t tmpfs none /upper
mkdir /upper/up /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work none /new
if grep -q hull_bench_share /proc/cmdline; then
	attach share /new/mnt rw cache=mmap
	cp /task /new/task
	words=/task
fi
mount --move /dev /new/dev
mount --move /proc /new/proc
mount --move /sys /new/sys
if [ -n "$words" ]; then
	chroot /new /bin/sh $words
else
	chroot /new /bin/true
fi
poweroff -f
"""


class Hull:
    def __init__(self, kernel="kernel", *words):
        self.kernel, self.words = kernel, words

    def run(self, paths):
        return [vmm.HULL, "run", "-k", paths[self.kernel], "-m", f"{MEMORY}M", "--root", "/"]

    def start(self, paths, scratch):
        return [*self.run(paths), "--", "true"]

    def share(self, paths, scratch):
        return [*self.run(paths), "--share", ",".join([paths["share"] + ":/mnt", *self.words]),
                "--", "/bin/sh", "-c", paths["task"]]

    def stop(self):
        pass


class Qemu:
    def __init__(self, kind, kernel="kernel", plain=False):
        self.kind, self.kernel, self.plain, self.servers = kind, kernel, plain, []

    def command(self, machine, paths, words):
        line = f"{PLAIN_WORDS if self.plain else vmm.words()} hull_bench={self.kind} {words}"
        # Without that global the devices of virtio-mmio are of the time before 1.0, which vhost-user cannot be.
        return vmm.qemu(machine, paths[self.kernel], [paths["initrd"]], MEMORY, line,
                        ["-global", "virtio-mmio.force-legacy=false"])

    def attach(self, tag, path, bus, scratch, read_only):
        if self.kind == "9p":
            return ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap"
                    + (",readonly=on" if read_only else ""),
                    "-device", f"virtio-9p-{bus},fsdev={tag},mount_tag={tag}"]
        socket = f"{scratch}/{tag}.sock"
        if os.path.exists(socket):
            os.unlink(socket)
        # Its other sandbox cannot have / as its root: it has that already.
        sandbox = ["-o", "sandbox=chroot"] if path == "/" else []
        self.servers.append(subprocess.Popen([VIRTIOFSD, "-f", f"--socket-path={socket}", "-o", f"source={path}",
                                              "-o", "log_level=err", *sandbox], stdout=subprocess.DEVNULL))
        while not os.path.exists(socket):
            if self.servers[-1].poll() is not None:
                raise RuntimeError("virtiofsd does not start")
            time.sleep(0.005)
        return ["-chardev", f"socket,id=c-{tag},path={socket}",
                "-device", f"vhost-user-fs-{bus},chardev=c-{tag},tag={tag},queue-size=1024"]

    def memory(self):
        return [] if self.kind == "9p" else ["-object", f"memory-backend-memfd,id=ram,size={MEMORY}M,share=on",
                                             "-machine", "memory-backend=ram"]

    def start(self, paths, scratch):
        machine = PLAIN_MICROVM if self.plain else MICROVM
        return self.command(machine, paths, "") + self.memory() + self.attach("root", "/", "device", scratch, True)

    def share(self, paths, scratch):
        return (self.command(MICROVM + ",pcie=on", paths, "hull_bench_share") + self.memory()
                + self.attach("root", "/", "pci", scratch, True)
                + self.attach("share", paths["share"], "pci", scratch, False))

    def stop(self):
        for server in self.servers:
            server.kill()
            server.wait()
        self.servers = []


def left_out(row, kernel):
    """Why this one of QEMU's cannot run here with this kernel, or None."""
    if isinstance(row, Hull):
        return None
    if row.kind == "9p":
        return None if has_9p(kernel) else "this kernel has no 9p"
    return None if os.path.exists(VIRTIOFSD) else f"{VIRTIOFSD} is not there"


def has_9p(kernel):
    with open(kernel + "/version") as file:
        version = file.read().strip()
    with open(f"{kernel}/lib/modules/{version}/modules.dep") as file:
        return "/9p.ko" in file.read()


def make_initrd(kernel, task, scratch):
    """The path of QEMU's initramfs for the kernel of a directory; task: what /task is there."""
    with open(scratch + "/init", "w") as file:
        file.write(INIT)
    with open(scratch + "/task", "w") as file:
        file.write(task)
    modules = MODULES + (MODULES_9P if has_9p(kernel) else [])
    shell('make_guest "$1/guest.cpio" "$2" ' + " ".join(modules) + '; chmod 755 "$1/init"; '
          '(cd "$1" && printf "init\\ntask\\n" | cpio -o -H newc -R 0:0 --quiet) >"$1/init.cpio"', scratch, kernel)
    return join([scratch + "/guest.cpio", scratch + "/init.cpio"])
