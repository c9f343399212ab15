# SPDX-License-Identifier: GPL-2.0-or-later
"""net: networks of hull and of QEMU (virtio-net-pci on q35).

Every VMM gets the same kernel (Debian's cloud kernel), the same guest, and the same TAP device or a passt of its own. Jobs:
one TCP stream from the guest (out) and one to it (in) by iperf3, and TCP requests of one byte, each sent when the one
before was answered. Exits and system calls are per packet that the guest counts.
"""
import shutil
import signal
import socket
import subprocess

import host
import vmm
from vmm import LIMIT, TOP, Machine, shell

NAME = "net"
HOST, GUEST, TAP = "192.168.78.1", "192.168.78.2", "tap78"
SERVER = "10.99.78.1"  # of the host: behind passt, where the guest has the host's own address
RR_PORT, IPERF_PORT, PASST_PORT = 7, 5201, 7078
JOBS = {"stream-out": "out", "stream-in": "in", "rr": "requests"}


class Hull:
    def __init__(self, net):
        self.net = net

    def start(self, kernel, initrds, tools):
        return Machine([vmm.HULL, "run", "-k", kernel, *sum((["-i", i] for i in initrds), []), "-m", "512M",
                        *self.net, "-d", tools + ",ro", "--rng", "off", "--balloon", "off"])

    def stop(self):
        pass


class Qemu:
    def __init__(self, netdev, passt=False):
        self.netdev, self.passt, self.peer = netdev, passt, None

    def start(self, kernel, initrds, tools):
        netdev, fds = self.netdev, ()
        if self.passt:
            ours, theirs = socket.socketpair()
            self.peer = subprocess.Popen(["passt", "-f", "-q", "-F", str(theirs.fileno()),
                                          "-t", f"127.0.0.1/{PASST_PORT}:{RR_PORT}"], pass_fds=(theirs.fileno(),))
            theirs.close()
            netdev, fds = netdev + f",addr.str={ours.fileno()}", (ours.fileno(),)
        return Machine(vmm.qemu("q35", kernel, initrds, 512, vmm.words(), [
            "-netdev", netdev, "-device", "virtio-net-pci,netdev=n,mac=52:54:00:12:34:56",
            "-drive", f"if=none,id=b,file={tools},format=raw,readonly=on,file.locking=off",
            "-device", "virtio-blk-pci,drive=b"]), fds)

    def stop(self):
        if self.peer:
            self.peer.kill()
            self.peer.wait()


ROWS = {
    "vhost": {"hull": Hull(["-n", f"tap={TAP},vhost=on"]),
              "qemu-q35": Qemu(f"tap,id=n,ifname={TAP},script=no,downscript=no,vhost=on")},
    "TAP": {"hull": Hull(["-n", f"tap={TAP},vhost=off"]),
            "qemu-q35": Qemu(f"tap,id=n,ifname={TAP},script=no,downscript=no,vhost=off")},
    "passt": {"hull": Hull(["-p", f"127.0.0.1:{PASST_PORT}:{RR_PORT}"]),
              "qemu-q35": Qemu("stream,id=n,server=off,addr.type=fd", passt=True)},
}


def box(args):
    return ["--smp", "2", "--mem", "4096"]


def options(parser):
    parser.add_argument("--net", action="append", choices=list(ROWS), help="net: only this back end; several times")


def prepare(args):
    vmm.prepare_kernel("cloud")
    shell("guest_tools >/dev/null; guest_peer >/dev/null")


def task(seconds):
    """What the guest does: each job waits for a line, so that counting can start."""
    packets = "$(($(cat /sys/class/net/eth0/statistics/tx_packets) + $(cat /sys/class/net/eth0/statistics/rx_packets)))"
    return f"""dmesg -n 1
stty -opost -echo
ip link set lo up; ip link set eth0 up
echo "which kind"; read -r kind
if [ "$kind" = passt ]; then
	cat >/bin/bound <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev eth0
ip route add "$router" dev eth0 2>/dev/null
ip route add default via "$router" dev eth0
X
	chmod 755 /bin/bound
	udhcpc -i eth0 -n -q -s /bin/bound >/dev/null 2>&1
	host={SERVER}
else
	ip addr add {GUEST}/24 dev eth0
	host={HOST}
fi
peer echo tcp:0.0.0.0:{RR_PORT} &
for job in stream-out stream-in; do
	[ $job = stream-in ] && way=-R || way=
	iperf3 -c $host -p {IPERF_PORT} -t 1 $way >/dev/null 2>&1
	sleep 1
	echo "begin $job"; read -r go
	before={packets}
	iperf3 -c $host -p {IPERF_PORT} -t {seconds} $way -f m >/tmp/o 2>&1
	after={packets}
	echo "result $job $(grep receiver /tmp/o | grep -o '[0-9.]* Mbits' | cut -d' ' -f1) $((after - before))"; read -r go
	sleep 1
done
before={packets}
echo "begin rr"; read -r go
read -r rate
after={packets}
echo "result rr $rate $((after - before))"; read -r go
"""


def measure(row, kind, paths, bench):
    """{job: {"rate", and of each of host.EVENTS how many a packet costs}}"""
    server = subprocess.Popen(["iperf3", "-s", "-p", str(IPERF_PORT)], stdout=subprocess.DEVNULL)
    machine = row.start(*paths)
    results = {}
    try:
        # What is typed before the guest reads may be lost.
        machine.wait_for(rb"which kind\s")
        machine.say(b"passt\n" if kind == "passt" else b"tap\n")
        for job in JOBS:
            machine.wait_for(rb"begin " + job.encode() + rb"\s")
            counts = host.Counts(bench.scratch, machine.process.pid)
            machine.go_on()
            if job == "rr":
                address = f"tcp:127.0.0.1:{PASST_PORT}" if kind == "passt" else f"tcp:{GUEST}:{RR_PORT}"
                machine.say(subprocess.run([TOP + "/build/guest/peer", "rr", address, str(bench.args.seconds), "1"],
                                           check=True, stdout=subprocess.PIPE, timeout=LIMIT).stdout)
            match = machine.wait_for(rb"result \S+ ([0-9.]+) ([0-9]+)\s")
            packets = max(int(match[2]), 1)
            results[job] = {"rate": float(match[1]), **{event: n / packets for event, n in counts.stop().items()}}
            machine.go_on()
        machine.process.wait(timeout=LIMIT)
        return results
    finally:
        machine.end()
        row.stop()
        server.send_signal(signal.SIGTERM)
        server.wait()


def run(bench):
    args = bench.args
    subprocess.run(f"ip tuntap add mode tap name {TAP} vnet_hdr && ip addr add {HOST}/24 dev {TAP} && "
                   f"ip link set {TAP} up && ip addr add {SERVER}/32 dev lo", shell=True, check=True)
    try:
        kernel = bench.cloud()
        tools = shutil.copy(TOP + "/build/guest/tools.ext4", bench.scratch + "/tools")
        with open(bench.scratch + "/task", "w") as file:
            file.write(task(args.seconds))
        shell('guest_programs=("$3"); make_guest "$1/guest.cpio" "$2" virtio_pci virtio_mmio virtio_blk virtio_net af_packet; '
              '{ use_tools; cat "$1/task"; } | make_task "$1/task.cpio"', bench.scratch, vmm.kernel_dir("cloud"),
              TOP + "/build/guest/peer")
        paths = (kernel, [bench.scratch + "/guest.cpio", bench.scratch + "/task.cpio"], tools)
        for kind in args.net or (["TAP"] if args.quick else ROWS):
            for _ in range(args.runs):  # in turns
                for name, row in ROWS[kind].items():
                    if bench.wanted(name):
                        bench.collect((kind, name), bench.repeat(
                            f"{kind}: {name}", lambda: measure(row, kind, paths, bench), 1))
            for name in ROWS[kind]:
                add(bench.record, kind, name, bench.collected((kind, name)))
    finally:
        subprocess.run(["ip", "link", "del", TAP], check=False)
        subprocess.run(["ip", "addr", "del", SERVER + "/32", "dev", "lo"], check=False)


def add(record, kind, name, rows):
    for job, title in JOBS.items():
        rates = [row[job]["rate"] for row in rows]
        case = f"{title}, {kind}"
        record.add(NAME, case, name, "rate", "/s" if job == "rr" else "MBit/s", rates, better="higher")
        if job == "rr":
            record.add(NAME, case, name, "round trip", "ms", [1e3 / rate for rate in rates if rate])
        for metric in ("exits", "exits to user space", "system calls"):
            record.add(NAME, case, name, metric, "/packet", [row[job][metric] for row in rows])
