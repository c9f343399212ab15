# SPDX-License-Identifier: GPL-2.0-or-later
"""The VMMs that the bench compares, and how each is told of the same guest."""
import dataclasses
import json
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HULL = os.environ.get("HULL", TOP + "/build/hull")
LIMIT = 120  # seconds that one machine may take

PLAIN_WORDS = "console=ttyS0 panic=-1 quiet"  # what a user would say
# What suits QEMU best on these kernels. Reset by triple fault or ACPI ends it (-no-reboot). The RTC stays:
# without it the kernel polls one that is not there 40,000 times.
MICROVM = "microvm,acpi=on,rtc=on,pit=off,pic=off,x-option-roms=off"
PLAIN_MICROVM = "microvm,rtc=on,pcie=on"  # as virtme-ng starts it


@dataclasses.dataclass
class Guest:
    """A machine, whoever runs it. memory is in MiB; tap and disk are names; console is "serial" or "virtio"."""
    kernel: str
    initrds: list
    memory: int = 256
    cpus: int = 1
    plain: bool = False  # peers get what a user would give them, not hull's kernel command line
    disk: str = None
    tap: str = None
    console: str = "serial"


_words = {}


def words(guest=None):
    """hull's own kernel command line for such a guest, which peers get as well; of a guest with a serial console by default."""
    if guest and guest.plain:
        return PLAIN_WORDS
    console = guest.console if guest else "serial"
    if console not in _words:
        # It does not depend on the kernel; only the file has to be one.
        kernel = guest.kernel if guest else kernel_file("cloud")
        told = subprocess.run([HULL, "run", "--dry-run", "-k", kernel, "--console", console], check=True,
                              stdout=subprocess.PIPE).stdout
        _words[console] = json.loads(told)["cmdline"]
    return _words[console]


_other = {}


def use_kernel(directory):
    """Of --kernel: takes the place of Debian's cloud kernel."""
    _other["cloud"] = os.path.abspath(directory)


def kernel_dir(flavour):
    return _other.get(flavour, f"{TOP}/build/kernels/{flavour}")


def kernel_file(flavour):
    return kernel_dir(flavour) + "/vmlinuz"


def elf_file(directory):
    """Where prepare_elf() has put the unpacked kernel of a directory."""
    return f"{TOP}/build/bench/{os.path.basename(os.path.abspath(directory))}.elf"


def prepare_kernel(flavour):
    if flavour not in _other:
        subprocess.run([TOP + "/scripts/kernel", flavour], check=True, stdout=subprocess.DEVNULL)


def prepare_elf(directory):
    """The kernel's ELF file, made when it is not there yet."""
    elf = elf_file(directory)
    if not os.path.exists(elf):
        os.makedirs(os.path.dirname(elf), exist_ok=True)
        shell('vmlinux "$1/vmlinuz" "$2.new"; mv "$2.new" "$2"', directory, elf)


def shell(script, *arguments):
    subprocess.run(["bash", "-ec", f". {TOP}/scripts/lib.sh; . {TOP}/tests/lib/guest.sh; "
                    + script, "bench", *arguments], check=True, text=True)


def join(initrds):
    """The path of one archive with all of them: QEMU takes one only."""
    if len(initrds) == 1:
        return initrds[0]
    joined = initrds[0] + ".joined"
    with open(joined, "wb") as out:
        for initrd in initrds:
            with open(initrd, "rb") as file:
                shutil.copyfileobj(file, out)
    return joined


def hull(guest):
    command = [HULL, "run", "-k", guest.kernel, *sum((["-i", i] for i in guest.initrds), []), "-m", f"{guest.memory}M"]
    command += ["-c", str(guest.cpus)] if guest.cpus != 1 else []
    command += ["-d", guest.disk] if guest.disk else []
    command += ["-n", f"tap={guest.tap}"] if guest.tap else []
    return command + (["--console", "virtio"] if guest.console == "virtio" else [])


def qemu(machine, kernel, initrds, memory, line, more=(), serial=True):
    """What every QEMU of the bench has in common."""
    return ["qemu-system-x86_64", "-M", machine, "-accel", "kvm", "-cpu", "host", "-m", f"{memory}M", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-name", "bench,debug-threads=on",
            *(["-serial", "stdio"] if serial else []), "-kernel", kernel, "-initrd", join(initrds), "-append", line, *more]


def _qemu_guest(machine, guest, bus):
    more = ["-smp", str(guest.cpus)] if guest.cpus != 1 else []
    if guest.disk:
        more += ["-drive", f"if=none,id=d,file={guest.disk},format=raw", "-device", f"virtio-blk-{bus},drive=d"]
    if guest.tap:
        more += ["-netdev", f"tap,id=n,ifname={guest.tap},script=no,downscript=no", "-device", f"virtio-net-{bus},netdev=n"
                 + (",romfile=" if bus == "pci" else "")]
    if guest.console == "virtio":
        more += ["-chardev", "stdio,id=c", "-device", f"virtio-serial-{bus}", "-device", "virtconsole,chardev=c"]
    return qemu(machine, guest.kernel, guest.initrds, guest.memory, words(guest), more, guest.console == "serial")


def qemu_microvm(guest):
    return _qemu_guest(PLAIN_MICROVM if guest.plain else MICROVM, guest, "device")


def qemu_q35(guest):
    return _qemu_guest("q35", guest, "pci")


def kvmtool(guest):
    return ["lkvm", "run", "-k", guest.kernel, "-i", join(guest.initrds), "-m", str(guest.memory), "-c", str(guest.cpus),
            "--console", guest.console, *(["-d", guest.disk] if guest.disk else []),
            "--network", f"mode=tap,tapif={guest.tap}" if guest.tap else "mode=none", "-p", words(guest)]


VMMS = {"hull": hull, "qemu-microvm": qemu_microvm, "qemu-q35": qemu_q35, "kvmtool": kvmtool}


def add_peer(text):
    """NAME=COMMAND of --peer. Peers of this kind have a serial console, no disk and no NIC."""
    name, _, template = text.partition("=")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name.startswith("hull") or not template:
        raise ValueError(f"--peer: '{text}' is not NAME=COMMAND")

    def command(guest):
        if guest.disk or guest.tap or guest.console != "serial":
            raise RuntimeError("not for a guest with such devices")
        return [word.format(kernel=guest.kernel, initrd=join(guest.initrds), memory=guest.memory, cpus=guest.cpus,
                            cmdline=words(guest)) for word in shlex.split(template)]

    try:
        command(Guest("", [""], plain=True))
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"--peer {name}: unknown placeholder {error}") from None
    VMMS[name] = command


class Machine:
    """A VMM whose guest is run line by line."""

    def __init__(self, command, pass_fds=(), env=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        pass_fds=pass_fds, env=env)
        self.deadline = time.monotonic() + LIMIT
        self.buffer = b""
        self.received = 0  # bytes

    def wait_for(self, pattern):
        while True:
            match = re.search(pattern, self.buffer)
            if match:
                self.buffer = self.buffer[match.end():]
                return match
            left = max(self.deadline - time.monotonic(), 0)
            ready = select.select([self.process.stdout], [], [], left)[0]
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                self.log.seek(0)
                raise RuntimeError(f"the guest went away: {self.buffer[-300:]!r} {self.log.read()[-300:]!r}")
            self.buffer += data
            self.received += len(data)

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def go_on(self):
        self.say(b"\n")

    def end(self):
        """Ends it if it has not, at once, and waits for that."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()
