# SPDX-License-Identifier: GPL-2.0-or-later
"""What a VMM costs its host: events, times, memory, wake-ups."""
import collections
import os
import re
import signal
import subprocess
import time

EVENTS = {
    "kvm:kvm_exit": "exits",
    "kvm:kvm_userspace_exit": "exits to user space",
    "kvm:kvm_page_fault": "page faults",
    "raw_syscalls:sys_enter": "system calls",
}
RUN_LIMIT = 240  # seconds: a peer that hangs is left out, not waited for
TRACING = "/sys/kernel/tracing/instances/hull-bench"
VCPU = re.compile(r"vcpu|CPU \d+/")  # names of threads that run a vCPU


def descendants(pid):
    found = [pid]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                for child in file.read().split():
                    found += descendants(int(child))
    except OSError:
        pass  # one that has ended
    return found


# --- running a command to its end -------------------------------------------


def _late(_number, _frame):
    raise TimeoutError


def run(command, out, env=None):
    """Runs command to its end, output in the file out. 

    Returns (start, end, status): seconds of the monotonic clock, and what os.waitstatus_to_exitcode() says.
    """
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
               (os.POSIX_SPAWN_DUP2, 1, 2)]
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(RUN_LIMIT)
    begin = time.monotonic()
    # Not subprocess: it is slower by more than a VMM takes to begin.
    pid = os.posix_spawnp(command[0], command, env or os.environ, file_actions=actions)
    try:
        status = os.waitpid(pid, 0)[1]
        return begin, time.monotonic(), os.waitstatus_to_exitcode(status)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise RuntimeError(f"not done after {RUN_LIMIT} s") from None
    finally:
        signal.alarm(0)


def check_output(out, wanted):
    with open(out, "rb") as file:
        said = file.read()
    if wanted not in said:
        raise RuntimeError(f"the guest did not come up: {said[-400:].decode(errors='replace')}")


# --- counts -------------------------------------------------------------------


def _read_counts(table):
    counts = {}
    with open(table) as file:
        for line in file:
            fields = line.split(";")
            if len(fields) > 2 and fields[2] in EVENTS:
                counts[EVENTS[fields[2]]] = int(fields[0])
    return counts


def count_run(command, out, env=None):
    """One run of command under perf: {name of EVENTS: how many}."""
    table = out + ".perf"
    run(["perf", "stat", "-x", ";", "-o", table, "-e", ",".join(EVENTS), "--", *command], out, env)
    return _read_counts(table)


class Counts:
    """What a process and its children do from here until stop(); pid None: the whole host."""

    def __init__(self, scratch, pid=None):
        self.table = scratch + "/perf"
        whom = ["-a"] if pid is None else ["-p", ",".join(map(str, descendants(pid)))]
        self.perf = subprocess.Popen(["perf", "stat", "-x", ";", "-o", self.table, "-e", ",".join(EVENTS), *whom],
                                     stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)  # until it has attached

    def stop(self):
        self.perf.send_signal(signal.SIGINT)
        self.perf.wait()
        return _read_counts(self.table)


# --- a run under the kernel's tracer ---------------------------------------------

Timeline = collections.namedtuple("Timeline", "first_entry gone in_guest kinds")
LINE = re.compile(r"-(\d+)\s+(?:\([ \d-]+\)\s+)?\[\d+\]\s+\S+\s+(\d+\.\d+): (\w+): (.*)")


def _put(name, text):
    with open(f"{TRACING}/{name}", "w") as file:
        file.write(text)


def trace_run(command, out, env=None):
    """One run of command with entries and exits traced: a Timeline, or None where there is no tracer.

    first_entry: milliseconds from exec to the first entry into a guest; gone: from the last exit of a guest
    to the end of the last process; in_guest: milliseconds in guests, all vCPUs; kinds: {reason: exits}.
    """
    try:
        os.makedirs(TRACING, exist_ok=True)
        _put("tracing_on", "0")
        _put("trace_clock", "mono")
        _put("buffer_size_kb", "24576")
        for event in ("kvm/kvm_entry", "kvm/kvm_exit", "sched/sched_process_exec", "sched/sched_process_exit"):
            _put(f"events/{event}/enable", "1")
        _put("options/event-fork", "1")
        _put("trace", "")
        _put("tracing_on", "1")
    except OSError:
        return None
    try:
        follow = ["sh", "-c", 'echo $$ >"$0/set_event_pid"; exec "$@"', TRACING, *command]
        _, end, _ = run(follow, out, env)
        _put("tracing_on", "0")
        with open(TRACING + "/trace") as file:
            return read_trace(file, end)
    finally:
        _put("tracing_on", "0")
        os.rmdir(TRACING)


def read_trace(lines, end):
    """end: when the command's end was seen. Returns a Timeline."""
    executed = first = None
    entered, in_guest, last_exit, gone, kinds = {}, 0.0, 0.0, end, collections.Counter()
    for line in lines:
        match = LINE.search(line)
        if not match:
            if "LOST" in line:
                raise RuntimeError("the tracer lost events")
            continue
        thread, when, event, what = match[1], float(match[2]), match[3], match[4]
        if event == "kvm_entry":
            first = first or when
            entered[thread] = when
        elif event == "kvm_exit":
            last_exit = when
            in_guest += when - entered.pop(thread, when)
            reason = re.search(r"reason (?:EXIT_)?(\S+)", what)
            kinds[reason[1].lower() if reason else "?"] += 1
        elif event == "sched_process_exec":
            executed = executed or when
        elif event == "sched_process_exit":
            gone = max(gone, when)
    if not executed or not first:
        raise RuntimeError("no guest was entered")
    return Timeline((first - executed) * 1e3, (gone - last_exit) * 1e3, in_guest * 1e3, kinds)


# --- memory and wake-ups -----------------------------------------------------------


def memory_of(pid, ram):
    """{"private dirty", "PSS", "private"}: KiB of a process and its children; the first two without guest RAM, which is
    what is mapped in one piece of at least ram MiB."""
    total = collections.Counter()
    for process in descendants(pid):
        try:
            with open(f"/proc/{process}/smaps") as file:
                _add_smaps(file, ram, total)
        except OSError:
            pass  # one that has ended
    return total


def _add_smaps(lines, ram, total):
    size = 0
    for line in lines:
        match = re.match(r"(Size|Pss|Private_Dirty|Private_Clean|Private_Hugetlb): +(\d+) kB", line)
        if not match:
            continue
        name, value = match[1], int(match[2])
        if name == "Size":
            size = value
        elif name == "Pss":
            total["PSS"] += value if size < ram * 1024 else 0
        else:
            total["private"] += value
            total["private dirty"] += value if size < ram * 1024 and name != "Private_Clean" else 0


def available():
    """KiB that the host has left."""
    with open("/proc/meminfo") as file:
        return int(re.search(r"MemAvailable: +(\d+)", file.read())[1])


def switches(pid):
    """{(name, thread): times it has gone to sleep} of all threads of a process and its children."""
    found = {}
    for process in descendants(pid):
        for thread in os.listdir(f"/proc/{process}/task"):
            try:
                with open(f"/proc/{process}/task/{thread}/status") as file:
                    text = file.read()
            except OSError:
                continue
            name = re.search(r"Name:\t(.*)", text)[1]
            found[name, int(thread)] = int(re.search(r"\nvoluntary_ctxt_switches:\t(\d+)", text)[1])
    return found


def wake_ups(pid, seconds):
    """Wake-ups a second of (threads that run no vCPU, those that do), and {name: a second} of the former."""
    before = switches(pid)
    time.sleep(seconds)
    own, vcpu, names = 0.0, 0.0, collections.Counter()
    for key, after in switches(pid).items():
        rate = (after - before.get(key, 0)) / seconds
        if VCPU.search(key[0]):
            vcpu += rate
        else:
            own += rate
            names[key[0]] += rate
    return own, vcpu, +names
