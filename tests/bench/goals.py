# SPDX-License-Identifier: GPL-2.0-or-later
"""What hull is to reach: one table.

A key is (suite, case, metric) of a figure of hull's; a value says what of it is compared, how, and with what:

    value    the figure itself, in its unit
    ratio    the figure, of the best peer's in the same case
    speed    how many times as fast as the best peer: its time by hull's, or hull's rate by its
"""

GOALS = {
    ("boot", "cloud", "time"): ("ratio", "<=", 0.45),
    ("boot", "cloud, cache cold", "time"): ("ratio", "<=", 0.85),
    ("boot", "generic", "time"): ("ratio", "<=", 0.30),
    ("boot", "vmlinux", "time"): ("ratio", "<=", 0.70),
    ("boot", "cloud", "beyond the guest's own"): ("value", "<=", 8),
    ("boot", "cloud", "exits to user space"): ("value", "<=", 300),
    ("boot", "cloud", "exits"): ("value", "<=", 1600),
    ("boot", "cloud", "page faults"): ("value", "<=", 150),
    ("boot", "first entry here", "exec to first entry"): ("value", "<=", 2.5),
    ("boot", "cloud", "reset to gone"): ("ratio", "<=", 0.3),
    ("boot", "8 vCPUs", "of one vCPU's time"): ("value", "<=", 1.5),
    ("boot", "4 GiB", "of 128 MiB's time"): ("value", "<=", 1.1),
    ("boot", "50 VMs", "last of first: time"): ("value", "<=", 1.1),
    ("boot", "50 VMs", "last of first: memory"): ("value", "<=", 1.1),
    ("memory", "128 MiB, disk, NIC", "private dirty"): ("value", "<=", 500),
    ("memory", "128 MiB, disk, NIC", "PSS without RAM"): ("value", "<=", 1024),
    ("memory", "idle", "wake-ups"): ("value", "<=", 0),
    ("console", "ttyS0, kernel", "exits to user space"): ("value", "<=", 1.05),
    ("console", "ttyS0, tty", "exits to user space"): ("value", "<=", 1.05),
    ("console", "hvc0, kernel", "exits to user space"): ("value", "<=", 0.1),
    ("console", "hvc0, tty", "exits to user space"): ("value", "<=", 0.1),
    ("block", "randread-32", "requests"): ("speed", ">=", 1.15),
    ("block", "randwrite-32", "requests"): ("speed", ">=", 1.15),
    ("block", "randread-32, O_DIRECT", "requests"): ("speed", ">=", 1.15),
    ("block", "randwrite-32, O_DIRECT", "requests"): ("speed", ">=", 1.15),
    ("block", "randread-32", "system calls"): ("value", "<=", 0.25),
    ("block", "randwrite-32", "system calls"): ("value", "<=", 0.25),
    ("block", "randread-32, O_DIRECT", "system calls"): ("value", "<=", 0.25),
    ("block", "randwrite-32, O_DIRECT", "system calls"): ("value", "<=", 0.25),
    ("block", "randread-1", "system calls"): ("value", "<=", 3),
    ("block", "randwrite-1", "system calls"): ("value", "<=", 3),
    ("block", "randread-1, O_DIRECT", "system calls"): ("value", "<=", 3),
    ("block", "randwrite-1, O_DIRECT", "system calls"): ("value", "<=", 3),
    ("net", "out, vhost", "rate"): ("speed", ">=", 0.98),
    ("net", "in, vhost", "rate"): ("speed", ">=", 0.98),
    ("net", "out, TAP", "rate"): ("speed", ">=", 1.1),
    ("net", "in, TAP", "rate"): ("speed", ">=", 1.1),
    ("net", "out, passt", "rate"): ("speed", ">=", 1.1),
    ("net", "in, passt", "rate"): ("speed", ">=", 1.1),
    ("net", "requests, vhost", "round trip"): ("ratio", "<=", 0.9),
    ("net", "requests, TAP", "round trip"): ("ratio", "<=", 0.9),
    ("net", "requests, passt", "round trip"): ("ratio", "<=", 0.9),
    ("fs", "untar", "time"): ("speed", ">=", 1.2),
    ("fs", "find", "time"): ("speed", ">=", 1.2),
    ("fs", "git status", "time"): ("speed", ">=", 1.2),
    ("fs", "write", "time"): ("speed", ">=", 1.0),
    ("fs", "read", "time"): ("speed", ">=", 1.0),
    ("run", "true", "time"): ("ratio", "<=", 0.45),
}


def reached(kind, figure, best, better):
    """What a goal of this kind looks at, or None without a peer. best: the best peer's figure; better: "lower", "higher"."""
    if kind == "value":
        return figure
    if not best or not figure:
        return None
    return figure / best if kind == "ratio" or better == "higher" else best / figure


def met(found, relation, limit):
    """Compared as it is shown, to three digits."""
    found = float(f"{found:.3g}")
    return found <= limit if relation == "<=" else found >= limit
