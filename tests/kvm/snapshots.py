# SPDX-License-Identifier: GPL-2.0-or-later
"""
Snapshots of bare-metal guests, a part of tests/kvm/run: saved, gone on from, copied, and everything that
may go wrong meanwhile.
"""
import array
import filecmp
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
import zlib

import __main__ as kvm

test, check, equal = kvm.test, kvm.check, kvm.equal
hull, PATIENCE = kvm.hull, kvm.PATIENCE


class Place:
    """A directory for a test."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(dir=kvm.SCRATCH)
        return self

    def __exit__(self, *args):
        shutil.rmtree(self.path, ignore_errors=True)

    def at(self, name):
        return os.path.join(self.path, name)

    def hidden(self):
        """What is left of snapshots that were being made."""
        return [name for name in os.listdir(self.path) if name.startswith('.')]


class Restored(kvm.Running):
    """hull restore, with its console on pipes."""

    def __init__(self, directory, *words, **options):  # pylint: disable=super-init-not-called
        self.err = tempfile.TemporaryFile()  # pylint: disable=consider-using-with
        self.seen = b''
        self.start = time.monotonic()
        self.p = subprocess.Popen([kvm.HULL, 'restore', directory, '--timeout', str(4 * PATIENCE), '--grace', '0', *words],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err,
                                  env=kvm.environment(), **options)
        self.fd = self.p.stdout.fileno()


def counter(name, *words, guest='counter', **options):
    return kvm.Running(guest, '--name', name, *words, stdin=subprocess.PIPE, **options)


def ask(vm):
    """The four counts and the rounds of the disk; fails when the guest has found something wrong."""
    vm.seen = b''
    vm.send(b'p')
    vm.wait_for(b'failures ')
    while True:
        found = re.search(rb'count ([0-9a-f ]*)failures ([0-9a-f]{8}) \n', vm.seen)
        if found:
            break
        check(vm.read_some(PATIENCE), 'the console ended', vm.seen)
    equal(found.group(2), b'00000000', 'failures in the guest')
    return [int(word, 16) for word in found.group(1).split()]


def tell(vm, letter, answer):
    vm.seen = b''
    vm.send(letter)
    vm.wait_for(answer)


def goes_on(vm, before):
    """Nothing was lost, and all that counted counts."""
    now = ask(vm)
    check(all(n >= b for n, b in zip(now, before)), 'counts went back', before, now)
    while True:
        later = ask(vm)
        if all(n > b or b == 0 for n, b in zip(later, now)):
            return later
        check(time.monotonic() - vm.start < 4 * PATIENCE, 'it does not count', now, later)


def power_off(vm):
    vm.send(b'Q')
    vm.wait().expect(0)


def snapshot(*words, **options):
    return hull('snapshot', *words, **options)


def contents(directory):
    """What is in a snapshot, and what that is."""
    if not os.path.isdir(directory):
        return None
    found = {}
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        st = os.lstat(path)
        found[name] = st.st_ino, st.st_mtime_ns, st.st_size
        if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 20:  # else it would take its time
            with open(path, 'rb') as f:
                found[name] += (hashlib.sha256(f.read()).hexdigest(),)
    return found


def whole(directory):
    """The snapshot is one."""
    hull('snapshot', '--dump', directory).expect(0).silent()
    equal(os.path.getsize(os.path.join(directory, 'memory')), 64 << 20, 'bytes of memory')


# ---- there and back ----

@test('snapshot-restore', '1', 2)
@test('snapshot-restore-4-cpus', '4', 1)
@test('snapshot-restore-20-times', '1', 20, heavy=True)
@test('snapshot-restore-20-times-4-cpus', '4', 20, heavy=True)
def there_and_back(cpus, times):
    """Each is saved from the one before, which goes on until then."""
    with Place() as place, counter('c', '-c', cpus) as vm:
        vm.wait_for(b'ready')
        counts = ask(vm)
        snapshot('c', place.at('0')).expect(0).silent()
        goes_on(vm, counts)
        equal(stat.S_IMODE(os.stat(place.at('0')).st_mode), 0o700, 'mode')
        check(os.stat(place.at('0/memory')).st_blocks * 512 < 8 << 20, 'memory is not sparse')
        power_off(vm)
        for i in range(times):
            with Restored(place.at(str(i)), '--name', 'c') as copy:
                counts = goes_on(copy, counts)
                snapshot('c', place.at(str(i + 1))).expect(0).silent()
                power_off(copy)
            shutil.rmtree(place.at(str(i)))


@test('snapshot-disk', 'counter-disk', 'pci', 'auto')
@test('snapshot-disk-mmio', 'counter-disk-mmio', 'mmio', 'auto', heavy=True)
@test('snapshot-disk-sync', 'counter-disk', 'pci', 'sync', heavy=True)
@test('snapshot-disk-aio', 'counter-disk', 'pci', 'aio,direct', heavy=True)
def with_a_disk(guest, transport, engine):
    """A guest that works on its disk all the time, and two copies of it, each with the disk of that moment."""
    with Place() as place:
        disk = place.at('disk.img')
        with open(disk, 'wb') as f:
            f.truncate(1 << 20)
        words = '' if engine == 'auto' else ',engine=' + engine
        with counter('c', '-d', f'{disk},id=data{words}', '--transport', transport, guest=guest) as vm:
            vm.wait_for(b'ready')
            counts = goes_on(vm, ask(vm))
            snapshot('c', place.at('one')).expect(0).silent()
            equal(sorted(os.listdir(place.at('one'))), ['disk-data', 'memory', 'state'], 'files')
            goes_on(vm, counts)
            before = contents(place.at('one'))
            with Restored(place.at('one'), '--name', 'a') as a, Restored(place.at('one'), '--name', 'b') as b:
                goes_on(a, counts)
                goes_on(b, counts)
                snapshot('b', place.at('two')).expect(0).silent()
                power_off(a)
                power_off(b)
            equal(contents(place.at('one')), before, 'the snapshot')
            power_off(vm)
        # A file of the user's: made from the copy, and used again.
        with Restored(place.at('two'), '-d', f'id=data,path={place.at("new.img")}') as copy:
            goes_on(copy, counts)
            power_off(copy)
        check(not filecmp.cmp(place.at('new.img'), place.at('two/disk-data'), False), 'the new file was not used')
        os.unlink(place.at('two/disk-data'))
        hull('restore', place.at('two')).expect(125, 'no copy of disk data: give its file, --disk id=data,path=').one_line()
        os.mkfifo(place.at('two/disk-data'))
        hull('restore', place.at('two')).expect(125, 'disk-data is no file').one_line()


@test('snapshot-shared-memory', heavy=True)
def shared_memory():
    """With a share memory is a memfd: the same, by the other way."""
    with Place() as place:
        os.mkdir(place.at('share'))
        share = place.at('share') + ':/x'
        with counter('c', '--share', share) as vm:
            vm.wait_for(b'ready')
            counts = ask(vm)
            tell(vm, b'w', b'written')
            snapshot('c', place.at('one')).expect(0).silent()
            tell(vm, b'w', b'written')
            tell(vm, b'z', b'zeroed')
            hull('pause', 'c').expect(0)
            snapshot('c', '--base', place.at('one'), place.at('two')).expect(0).silent()
            snapshot('c', place.at('full')).expect(0).silent()
            hull('resume', 'c').expect(0)
            goes_on(vm, counts)
            power_off(vm)
        snapshot('--merge', place.at('one'), place.at('two'), place.at('merged')).expect(0).silent()
        check(filecmp.cmp(place.at('merged/memory'), place.at('full/memory'), False), 'merged memory differs')
        hull('restore', place.at('merged')).expect(125, 'directory of the host at /x: give it, as by --share ') \
            .one_line()
        with Restored(place.at('merged'), '--share', share) as copy:
            goes_on(copy, counts)
            power_off(copy)


@test('snapshot-stop', heavy=True)
def stop():
    with Place() as place:
        with counter('c', '-c', '2') as vm:
            vm.wait_for(b'ready')
            counts = ask(vm)
            snapshot('--stop', 'c', place.at('s')).expect(0).silent()
            vm.wait().expect(143)
        with Restored(place.at('s')) as copy:
            goes_on(copy, counts)
            power_off(copy)


@test('snapshot-while-paused', heavy=True)
def while_paused():
    with Place() as place, counter('c', '-c', '2') as vm:
        vm.wait_for(b'ready')
        counts = ask(vm)
        hull('pause', 'c').expect(0)
        snapshot('c', place.at('one')).expect(0).silent()
        vm.idle(0.3)
        equal(kvm.listed()['c']['state'], 'paused', 'state')
        snapshot('c', place.at('two')).expect(0).silent()
        check(filecmp.cmp(place.at('one/memory'), place.at('two/memory'), False), 'it did not stand still')
        hull('resume', 'c').expect(0)
        goes_on(vm, counts)
        with Restored(place.at('two')) as copy:
            goes_on(copy, counts)
            power_off(copy)
        power_off(vm)


# ---- incremental ones ----

@test('snapshot-chain')
def chain():
    """Five that hang on each other, merged, are what a whole one is; one that was restored is a base, too."""
    with Place() as place, counter('c') as vm:
        vm.wait_for(b'ready')
        counts = ask(vm)
        snapshot('c', place.at('0')).expect(0).silent()
        for i, letters in enumerate(('w', 'ww', 'zw', 'wz', 'zw'), 1):
            for letter in letters:
                tell(vm, letter.encode(), b'written' if letter == 'w' else b'zeroed')
            if i == 5:
                hull('pause', 'c').expect(0)
            snapshot('c', '--base', place.at(str(i - 1)), place.at(str(i))).expect(0).silent()
            check(os.stat(place.at(f'{i}/memory')).st_blocks * 512 < 1 << 20, 'not only what has changed')
        snapshot('c', place.at('full')).expect(0).silent()
        hull('resume', 'c').expect(0)
        power_off(vm)
        links = [place.at(str(i)) for i in range(6)]
        snapshot('--merge', *links, place.at('merged')).expect(0).silent()
        check(filecmp.cmp(place.at('merged/memory'), place.at('full/memory'), False), 'merged memory differs')
        equal(sorted(os.listdir(place.at('merged'))), ['memory', 'state'], 'files')
        hull('restore', place.at('3')).expect(125, "3 is incremental: make one that stands alone by 'hull snapshot --merge'") \
            .one_line()
        hull('fork', place.at('3'), '-n', '2').expect(125, 'is incremental').one_line()
        for wrong in ([0, 2], [1, 2], [0, 0], [0, 1, 3]):
            snapshot('--merge', *(links[i] for i in wrong), place.at('no')).expect(125, 'was not made on|is incremental') \
                .one_line()
        check(not os.path.exists(place.at('no')), 'something was made')
        with Restored(place.at('merged'), '--name', 'c') as copy:
            goes_on(copy, counts)
            tell(copy, b'w', b'written')
            hull('pause', 'c').expect(0)
            snapshot('c', '--base', place.at('merged'), place.at('next')).expect(0).silent()
            snapshot('c', place.at('full')).expect(0).silent()
            check(os.stat(place.at('next/memory')).st_blocks * 512 < 1 << 20, 'not only what has changed')
            hull('resume', 'c').expect(0)
            power_off(copy)
        snapshot('--merge', place.at('merged'), place.at('next'), place.at('again')).expect(0).silent()
        check(filecmp.cmp(place.at('again/memory'), place.at('full/memory'), False), 'merged memory differs')
        equal(place.hidden(), [], 'left')


@test('snapshot-base-is-wrong')
def wrong_base():
    with Place() as place, counter('c') as vm, counter('other', '-m', '128M') as other:
        vm.wait_for(b'ready')
        other.wait_for(b'ready')
        counts = ask(vm)
        snapshot('other', place.at('other')).expect(0).silent()
        snapshot('c', place.at('a')).expect(0).silent()
        snapshot('c', '--base', place.at('a'), place.at('b')).expect(0).silent()

        def refused(base, pattern):
            snapshot('c', '--base', base, place.at('x')).expect(125, pattern).one_line()
            check(not os.path.exists(place.at('x')) and not place.hidden(), 'something was made')
        for base, there in (('a', 'a'), ('b', 'b'), ('b', 'a')):
            before = contents(place.at(there))
            snapshot('c', '--base', place.at(base), place.at(there)).expect(125, 'would need itself').one_line()
            equal(contents(place.at(there)), before, 'what was there')
        refused(place.at('other'), 'another size of memory')
        refused(place.at('none'), 'none: No such file')
        refused(place.path, 'state: No such file')
        os.truncate(place.at('b/pages'), 100)
        refused(place.at('b'), 'list of pages has another length')
        os.truncate(place.at('b/pages'), 2048)
        os.unlink(place.at('b/base'))
        refused(place.at('b'), 'the snapshot before it: No such file')
        os.symlink(place.at('other'), place.at('b/base'))
        refused(place.at('b'), 'is not what the snapshot behind it was made on')
        os.unlink(place.at('b/base'))
        os.symlink(place.at('b'), place.at('b/base'))
        refused(place.at('b'), 'is not what the snapshot behind it was made on')
        goes_on(vm, counts)


# ---- in the way ----

@test('snapshot-places', heavy=True)
def places():
    with Place() as place, counter('c') as vm:
        vm.wait_for(b'ready')
        os.mkdir(place.at('empty'))
        os.mkdir(place.at('full'))
        with open(place.at('full/file'), 'wb') as f:
            f.write(b'x')
        with open(place.at('file'), 'wb') as f:
            f.write(b'x')
        os.symlink('empty', place.at('link'))
        snapshot('c', place.at('full')).expect(125, 'full is there, and is no snapshot').one_line()
        snapshot('c', place.at('file')).expect(125, 'file is there, and is no directory').one_line()
        snapshot('c', place.at('link')).expect(125, 'link is there, and is no directory').one_line()
        snapshot('c', place.at('none/s')).expect(125, 'none/: No such file').one_line()
        for odd in ('/', '.', '..', place.at('.')):
            snapshot('c', odd).expect(125, 'expected the name of a directory that is to be made').one_line()
        snapshot('c', '').expect(125).one_line()
        snapshot('c', 'x' * 250).expect(125, 'name of the directory is too long').one_line()
        snapshot('c', place.at('empty') + '//').expect(0).silent()
        first = contents(place.at('empty'))
        snapshot('c', 'empty', cwd=place.path).expect(0).silent()
        check(contents(place.at('empty')) != first, 'it is the old one')
        name = ' an odd\n näme'
        snapshot('c', place.at(name)).expect(0).silent()
        whole(place.at(name))
        # What makers have left that are gone; and what looks like it.
        os.mkdir(place.at('.empty.hull-0123abcd'))
        with open(place.at('.empty.hull-0123abcd/memory'), 'wb') as f:
            f.write(b'x')
        os.mkdir(place.at('.empty.hull-mine'))
        os.mkdir(place.at('.other.hull-0123abcd'))
        snapshot('c', place.at('empty')).expect(0).silent()
        equal(sorted(place.hidden()), ['.empty.hull-mine', '.other.hull-0123abcd'], 'left')
        snapshot('nobody', place.at('x')).expect(125, "no VM called 'nobody'").one_line()
        snapshot('../c', place.at('x')).expect(125, 'is no name').one_line()
        if os.getuid() != 0:
            os.chmod(place.path, 0o500)
            snapshot('c', place.at('x')).expect(125, 'Permission denied').one_line()
            os.chmod(place.path, 0o700)
        power_off(vm)


@test('snapshot-words', kvm=False)
def words_of_snapshot():
    for words, text in ((['a'], 'expected the name of a VM'), (['--bas', 'a'], "unexpected word '--bas'"), ([], 'expected the name'),
                        (['a', 'b', 'c'], 'expected the name'), (['--base'], '--base: expected'), (['--base=', 'a', 'b'], '--base: expected'),
                        (['--dump'], '--dump: expected one'), (['--dump', '--stop', 'a'], 'go with no other'),
                        (['--merge', 'a', 'b'], '--merge: expected'), (['--merge', '--base', 'x', 'a', 'b', 'c'], 'go with no other'),
                        (['a'] * 30, 'unexpected word'), (['--dump', '/none'], '/none: No such file')):
        snapshot(*words).expect(125, re.escape(text)).one_line()


# ---- who else wants something ----

def link_of(name):
    """A link to the worker, as one has it who wants a snapshot; and what was answered."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(os.path.join(kvm.SCRATCH, 'run', 'hull', name + '.sock'))
    s.send(b'{"do":"snapshot"}\n')
    text, data, _, _ = s.recvmsg(4096, socket.CMSG_LEN(4))
    s.close()
    fds = array.array('i')
    for level, kind, bytes_ in data:
        check((level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS), 'control data')
        fds.frombytes(bytes_[:4])
    link = socket.socket(fileno=fds[0])
    # What the machine is given, a file: the supervisor's first word.
    data, ancillary, _, _ = link.recvmsg(4096, socket.CMSG_LEN(4))
    equal(struct.unpack('=I', data[:4])[0], 9, 'first message')
    os.close(array.array('i', ancillary[0][2][:4])[0])
    return link, json.loads(text)


@test('snapshot-two-at-once', heavy=True)
def two_at_once():
    """One who has begun, and is slow, keeps others from it; but not the machine, nor its end."""
    with Place() as place, counter('c') as vm:
        vm.wait_for(b'ready')
        counts = ask(vm)
        link, answer = link_of('c')
        equal(answer, {'ok': True, 'memory': 64 << 20, 'disks': [], 'nets': [], 'shares': 0}, 'answer')
        goes_on(vm, counts)
        snapshot('c', place.at('s')).expect(125, 'makes another snapshot').one_line()
        equal(place.hidden(), [], 'left')
        # Ctrl-Z while the thread waits.
        worker = vm.worker()
        os.kill(worker, signal.SIGSTOP)
        kvm.wait_until(lambda: kvm.state_of(worker) == 'T', PATIENCE, 'it stops')
        os.kill(worker, signal.SIGCONT)
        goes_on(vm, counts)
        link.close()

        def served():
            return snapshot('c', place.at('s')).status == 0
        kvm.wait_until(served, PATIENCE, 'a snapshot')
        with_nonsense(vm, counts)
        link, _ = link_of('c')
        start = time.monotonic()
        power_off(vm)
        check(time.monotonic() - start < 5, 'the end waits for who is slow')
        link.close()


def with_nonsense(vm, counts):
    """What does not keep to the protocol ends the link, and nothing else."""
    none = struct.Struct('=IIIiQ16s16s240s')
    go, state, base, disk = 5, 1, 3, 4
    packets = [b'', b'x', bytes(none.size), none.pack(99, 0, 0, 0, 0, b'', b'', b''), none.pack(go, 0, 0, 0, 0, b'', b'', b''),
               none.pack(state, 0, 0, 0, 0, b'', b'', b''), none.pack(base, 0, 0, 0, 0, b'', b'', b''),
               none.pack(disk, 1 << 31, 0, 0, 0, b'', b'', b''), bytes(2 * none.size)]
    for packet in packets:
        for fds in ([], [0], [0, 1], [0] * 5):
            link, answer = link_of('c')
            check(answer['ok'], 'answer', answer)
            data = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
            link.settimeout(PATIENCE)
            try:
                link.sendmsg([packet], data)
                link.shutdown(socket.SHUT_WR)
                answer = link.recv(4096)
            except ConnectionError:
                answer = b''
            if answer:
                check(none.unpack(answer)[0] == 7 and none.unpack(answer)[3] < 0, 'answer', answer)
            link.close()
    goes_on(vm, counts)


@test('snapshot-of-one-that-ends', 3, heavy=True)
@test('snapshot-of-one-that-ends-often', 60, heavy=True)
def one_that_ends(times):
    """By itself, by hull stop, by a signal: at any point of a save."""
    for i in range(times):
        with Place() as place, counter('c') as vm:
            vm.wait_for(b'ready')
            tell(vm, b'w', b'written')
            results = []
            saver = threading.Thread(target=lambda place=place, results=results: results.append(
                snapshot('c', place.at('s'))))
            saver.start()
            time.sleep((i // 3) * 0.04 / max(1, times // 3))
            if i % 3 == 0:
                vm.send(b'Q')
            elif i % 3 == 1:
                hull('stop', 'c')
            else:
                vm.signal(signal.SIGINT)
            saver.join()
            vm.wait().expect((0, 143, 130)[i % 3])
            if results[0].status == 0:
                whole(place.at('s'))
            else:
                results[0].expect(125).one_line()
                check(not os.path.exists(place.at('s')), 'something is there')
            equal(place.hidden(), [], 'left')


# ---- killed ----

def old_or_new(place, old):
    """What is in the place is what was there, or a whole one."""
    now = contents(place.at('s'))
    if now == old:
        return
    check(now is not None, 'the old one has gone')
    equal(sorted(now), ['memory', 'state'], 'files')
    whole(place.at('s'))


@test('snapshot-client-killed', 3)
@test('snapshot-client-killed-everywhere', 500, heavy=True)
def client_killed(points):
    """At its system calls, one after the other: the machine goes on, the old one is there, or the new one."""
    if not shutil.which('strace'):
        raise kvm.Skip('no strace')
    with Place() as place, counter('c') as vm:
        vm.wait_for(b'ready')
        counts = ask(vm)
        trace = place.at('trace')
        p = subprocess.run(['strace', '-o', trace, kvm.HULL, 'snapshot', 'c', place.at('s')], env=kvm.environment(),
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if p.returncode != 0:
            raise kvm.Skip(f'strace: {p.stderr.decode()}')
        with open(trace, encoding='ascii', errors='replace') as f:
            calls = [m.group(1) for m in (re.match(r'(\w+)\(', line) for line in f) if m]
        first = calls.index('connect')
        last = len(calls)
        for at in sorted(set(range(first, last, max(1, (last - first) // points))) |
                         {i for i, call in enumerate(calls) if call in ('renameat2', 'unlinkat')}):
            call, nth = calls[at], calls[:at + 1].count(calls[at])
            old = contents(place.at('s'))
            status = 125
            while status == 125:  # the one before is still being made
                status = subprocess.run(
                    ['strace', '-o', '/dev/null', '-e', f'inject={call}:signal=KILL:when={nth}', kvm.HULL, 'snapshot',
                     'c', place.at('s')], env=kvm.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    timeout=PATIENCE, check=False).returncode
            check(status in (-9, 137, 0), f'killed at {call} {nth}: {status}')
            old_or_new(place, old)
        goes_on(vm, counts)

        def served():
            return snapshot('c', place.at('s')).status == 0
        kvm.wait_until(served, PATIENCE, 'a snapshot')
        equal(place.hidden(), [], 'left')
        whole(place.at('s'))
        power_off(vm)


@test('snapshot-machine-killed', 3, heavy=True)
@test('snapshot-machine-killed-often', 60, heavy=True)
def machine_killed(times):
    """Supervisor or worker: one line, and the old one is there, or the new one."""
    with Place() as place:
        for i in range(times):
            old = contents(place.at('s'))
            with counter('c') as vm:
                vm.wait_for(b'ready')
                worker = vm.worker()
                tell(vm, b'w', b'written')
                results = []
                saver = threading.Thread(target=lambda results=results: results.append(snapshot('c', place.at('s'))))
                saver.start()
                time.sleep(0.004 + (i // 2) * 0.04 / max(1, times // 2))
                os.kill(worker if i % 2 else vm.p.pid, signal.SIGKILL)
                saver.join()
                vm.wait().expect(125 if i % 2 else -9)
                kvm.wait_until(lambda worker=worker: not kvm.state_of(worker), PATIENCE, 'the worker ends')
            if results[0].status != 0:
                results[0].expect(125).one_line()
                equal(contents(place.at('s')), old, 'what was there')
            else:
                whole(place.at('s'))
            equal(place.hidden(), [], 'left')


# ---- no room ----

@test('snapshot-no-space')
def no_space():
    """One line, the machine goes on, the old one is as it was."""
    if os.getuid() != 0 or not shutil.which('unshare'):
        raise kvm.Skip('needs root and unshare')
    with Place() as place, counter('c', '-d', kvm.image('space.img', 1 << 20), guest='counter-disk') as vm:
        vm.wait_for(b'ready')
        counts = goes_on(vm, ask(vm))
        snapshot('c', place.at('s')).expect(0)
        size = sum(os.stat(place.at('s/' + name)).st_blocks * 512 for name in os.listdir(place.at('s')))
        for room in (size * 3 // 2, size + (64 << 10))[:2 if kvm.ALL else 1]:
            script = (f'mount -t tmpfs -o size={room} none "$1" && cd "$1" || exit 77; "$0" snapshot c s || exit 78; '
                      'cp -r --sparse=always s /dev/shm/"$2" || exit 79; "$0" snapshot c s; r=$?; '
                      'cmp s/state /dev/shm/"$2"/state && cmp s/memory /dev/shm/"$2"/memory && ls -A; exit $r')
            name = os.path.basename(place.path)
            os.makedirs(place.at('m'), exist_ok=True)
            p = subprocess.run(['unshare', '-m', 'sh', '-c', script, kvm.HULL, place.at('m'), name], capture_output=True,
                               env=kvm.environment(), stdin=subprocess.DEVNULL, check=False)
            shutil.rmtree('/dev/shm/' + name, ignore_errors=True)
            if p.returncode == 77:
                raise kvm.Skip('no mount namespaces here')
            r = kvm.Ended(p.returncode, p.stdout, p.stderr, 0)
            r.expect(125, 'No space left|waits for space').one_line()
            equal(p.stdout, b's\n', 'what is there')
            goes_on(vm, counts)
        power_off(vm)


@test('snapshot-limits-of-files', heavy=True)
def file_limits():
    with Place() as place:
        with counter('c', preexec_fn=kvm.limited(resource.RLIMIT_FSIZE, 1 << 20)) as vm:
            vm.wait_for(b'ready')
            counts = ask(vm)
            snapshot('c', place.at('s')).expect(125, 'memory cannot be written: File too large').one_line()
            goes_on(vm, counts)
            power_off(vm)
        with counter('c') as vm:
            vm.wait_for(b'ready')
            snapshot('c', place.at('s'), preexec_fn=kvm.limited(resource.RLIMIT_FSIZE, 4096)) \
                .expect(125, 'File too large').one_line()
            snapshot('c', place.at('s'), preexec_fn=kvm.limited(resource.RLIMIT_NOFILE, 8)).expect(125).one_line()
            goes_on(vm, counts)
            power_off(vm)
        equal(os.listdir(place.path), [], 'left')


# ---- what is no snapshot any more ----

def refused(directory, pattern='', *words):
    r = hull('restore', directory, '--timeout', '5', *words)
    r.expect(125, pattern).one_line()
    equal(r.out, b'', 'output')


def sections_of(data):
    """Each with all of its bytes."""
    found, at = [], 24
    while at < len(data):
        name, kind, content = struct.unpack_from('<HHI', data, at)
        size = 12 + name + kind + content
        found.append(data[at:at + size])
        at += size
    return found


def put_together(data, sections):
    header = data[:16] + struct.pack('<I', len(sections))
    return header + struct.pack('<I', zlib.crc32(header)) + b''.join(sections)


def with_content(section, content):
    name, kind, _ = struct.unpack_from('<HHI', section)
    head = struct.pack('<HHI', name, kind, len(content))
    rest = section[12:12 + name + kind] + content
    return head + struct.pack('<I', zlib.crc32(rest, zlib.crc32(bytes(4), zlib.crc32(head)))) + rest


def saved(place, *words, guest='counter'):
    with counter('c', *words, guest=guest) as vm:
        vm.wait_for(b'ready')
        snapshot('c', place.at('s'), '--stop').expect(0).silent()
        vm.wait()
    with open(place.at('s/state'), 'rb') as f:
        return f.read()


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)


@test('restore-damaged', 997)
@test('restore-damaged-everywhere', 1, heavy=True)
def damaged(step):
    """A byte of the first 4 KiB is another one; the file ends early; a section is missing, there twice, or empty."""
    with Place() as place:
        data = saved(place, '-d', kvm.image('damaged.img'))
        path = place.at('s/state')
        for at in range(0, 4096, step):
            write(path, data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1:])
            refused(place.at('s'))
        sections = sections_of(data)
        write(path, put_together(data, sections))
        equal(put_together(data, sections), data, 'the file as this test makes it')
        ends = [0, 1, 23, 24]
        for section in sections:
            ends.append(ends[-1] + len(section))
        for end in ends[:-1][::1 if step == 1 else 17]:
            write(path, data[:end])
            refused(place.at('s'))
        write(path, data + b'x')
        refused(place.at('s'))
        for i, section in enumerate(sections):
            if i % (1 if step == 1 else 16):
                continue
            for wrong in ([], [section, section], [with_content(section, b'')]):
                write(path, put_together(data, sections[:i] + wrong + sections[i + 1:]))
                refused(place.at('s'))
            if step == 1:
                name, kind, _ = struct.unpack_from('<HHI', section)
                content = section[12 + name + kind:]
                for cut in range(1, len(content), max(1, len(content) // 8)):
                    write(path, put_together(data, sections[:i] + [with_content(section, content[:cut])] + sections[i + 1:]))
                    r = hull('restore', place.at('s'), '--timeout', '1')
                    check(r.status in (124, 125), 'status', r, section[:40])
                    if r.status == 125:
                        r.one_line()
        write(path, data)
        with Restored(place.at('s')) as copy:
            ask(copy)
            power_off(copy)


@test('restore-files-are-wrong', heavy=True)
def wrong_files():
    with Place() as place:
        data = saved(place)
        for name in ('memory', 'state'):
            path = place.at('s/' + name)
            os.rename(path, place.at('kept'))
            refused(place.at('s'), name + ': No such file')
            os.mkdir(path)
            refused(place.at('s'), name + ' is no file')
            os.rmdir(path)
            os.mkfifo(path)
            refused(place.at('s'), name + ' is no file')
            os.unlink(path)
            os.symlink(place.at('kept'), path)
            refused(place.at('s'), name + ': Too many levels')
            os.unlink(path)
            write(path, b'')
            refused(place.at('s'))
            os.rename(place.at('kept'), path)
        for size in (0, 4096, (64 << 20) - 1, (64 << 20) + 1):
            shutil.copy(place.at('s/memory'), place.at('kept'))
            os.truncate(place.at('s/memory'), size)
            refused(place.at('s'), f'the memory has {size} bytes instead of 67108864')
            os.rename(place.at('kept'), place.at('s/memory'))
        write(place.at('s/state'), data)
        refused(place.at('none'), 'none: No such file')
        refused(place.at('s/state'), 'state: Not a directory')
        refused(place.path, 'state: No such file')
        # Another machine than it says.
        hull('restore', place.at('s'), '-d', kvm.image('x.img')).expect(125, '--disk .*: the snapshot has no disk').one_line()
        hull('restore', place.at('s'), '-n', 'id=x,user').expect(125, '--net').one_line()
        hull('restore', place.at('s'), '--', 'true').expect(125, 'no agent').one_line()
        hull('restore').expect(125, 'expected the directory').one_line()
        hull('restore', place.at('s'), 'x').expect(125, "unexpected word 'x'").one_line()
        hull('restore', place.at('s'), '-m', '1G').expect(125, 'unknown option -m').one_line()
        hull('restore', place.at('s'), '--name', 'a{}').expect(125, '--name').one_line()
        r = hull('restore', place.at('s'), '--dry-run').expect(0)
        equal(json.loads(r.out)['memory'], 64 << 20, 'memory of a dry run')


@test('restore-memory-goes', heavy=True)
def memory_goes():
    """Whoever shortens the file takes the machine's memory away."""
    with Place() as place:
        saved(place)
        with Restored(place.at('s')) as copy:
            ask(copy)
            os.truncate(place.at('s/memory'), 4096)
            copy.wait().expect(125 if kvm.HARDWARE else 123, 'guest memory lost' if kvm.HARDWARE else '')


# ---- copies ----

def forked(*words, **options):
    return hull('fork', *words, '--timeout', str(4 * PATIENCE), '--grace', '0', **options)


def all_end(names):
    for name in names:
        hull('stop', name).expect(0)
    kvm.wait_until(lambda: not kvm.run_files(), PATIENCE, 'all end')


@test('fork', 2, heavy=True)
@test('fork-20', 20, heavy=True)
def fork(count):
    names = [f'c-{i + 1}' for i in range(count)]
    with Place() as place, counter('c', '-d', kvm.image('fork.img'), guest='counter-disk') as vm:
        vm.wait_for(b'ready')
        counts = goes_on(vm, ask(vm))
        r = forked('c', '-n', str(count)).expect(0).silent()
        equal(r.out.decode().split(), names, 'names')
        equal(sorted(kvm.listed()), sorted([*names, 'c']), 'VMs')
        goes_on(vm, counts)
        # A copy is a machine as any other.
        snapshot(names[1], place.at('s')).expect(0).silent()
        with Restored(place.at('s')) as copy:
            goes_on(copy, counts)
            power_off(copy)
        r = forked(names[0], '-n', '2', '--name', 'x{}y').expect(0).silent()
        equal(r.out.decode().split(), ['x1y', 'x2y'], 'names')
        for name in ('x1y', 'x2y', *names):
            hull('stop', name).expect(0).silent()
        equal(list(kvm.listed()), ['c'], 'VMs')
        goes_on(vm, counts)
        power_off(vm)
        r = forked(place.at('s'), '-n2').expect(0).silent()
        equal(r.out.decode().split(), ['s-1', 's-2'], 'names')
        all_end(['s-1', 's-2'])


@test('fork-all-or-none')
def all_or_none():
    with Place() as place, counter('c') as vm, counter('c-3') as other:
        vm.wait_for(b'ready')
        other.wait_for(b'ready')
        counts = ask(vm)
        for ignore in (False, True):
            # A shell's background job ignores SIGINT.
            options = {'preexec_fn': lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)} if ignore else {}
            forked('c', '-n', '4', **options).expect(125, "c-3: a VM called 'c-3' runs already").one_line()
            equal(sorted(kvm.listed()), ['c', 'c-3'], 'VMs')
        forked('c', '-n', '4', '--name', 'd{}', '--log', place.at('none/log')).expect(125, 'none/log').one_line()
        equal(sorted(kvm.listed()), ['c', 'c-3'], 'VMs')
        goes_on(vm, counts)


def processes_of(*words):
    """Those of hull with these words, by their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                line = f.read().split(b'\0')
        except OSError:
            continue
        if line[0] == kvm.HULL.encode() and all(word.encode() in line for word in words):
            found.append(int(pid))
    return found


def copies_go(names):
    """Ends these copies of c, and waits until nothing is left of any."""
    for name in names:
        hull('stop', name).expect(0).silent()
    try:
        kvm.wait_until(lambda: not processes_of('fork') and kvm.run_files() == ['c.lock', 'c.sock'], PATIENCE, 'nothing is left')
    except kvm.Failure as e:
        raise kvm.Failure(f'{e}: {processes_of("fork")}, {kvm.run_files()}') from None


@test('fork-killed', 10, heavy=True)
@test('fork-killed-everywhere', 500, heavy=True)
def fork_killed(points):
    """At its system calls: all copies go on, or none and nothing of them is left; the original goes on."""
    if not shutil.which('strace'):
        raise kvm.Skip('no strace')
    names = ['c-1', 'c-2', 'c-3', 'c-4']
    with Place() as place, counter('c', '-d', kvm.image('killed.img'), guest='counter-disk') as vm:
        vm.wait_for(b'ready')
        counts = goes_on(vm, ask(vm))
        equal(list(kvm.listed()), ['c'], 'VMs')  # which removes what other tests have left
        words = [kvm.HULL, 'fork', 'c', '-n', str(len(names)), '--timeout', str(4 * PATIENCE), '--grace', '0']
        os.mkdir(place.at('tmp'))
        options = {'env': kvm.environment(TMPDIR=place.at('tmp')), 'stdin': subprocess.DEVNULL, 'check': False,
                   'stdout': subprocess.DEVNULL, 'timeout': PATIENCE, 'cwd': place.path}
        p = subprocess.run(['strace', '-o', place.at('trace'), *words], stderr=subprocess.PIPE, **options)
        if p.returncode != 0:
            raise kvm.Skip(f'strace: {p.stderr.decode()}')
        copies_go(names)
        with open(place.at('trace'), encoding='ascii', errors='replace') as f:
            lines = [line for line in f if re.match(r'\w+\(', line)]
        os.unlink(place.at('trace'))
        calls = [line.split('(')[0] for line in lines]
        first, last = calls.index('connect'), len(calls)
        # One byte to all copies: they need nobody any more.
        let_go = max(i for i, line in enumerate(lines) if re.match(r'write\(\d+, "\\0", 1\)', line))
        chosen = set(range(first, last, max(1, (last - first) // points)))
        chosen |= {i for i, call in enumerate(calls) if call in ('clone', 'clone3', 'fork')} | {let_go, let_go + 1}
        for at in sorted(chosen):
            call, nth = calls[at], calls[:at + 1].count(calls[at])
            status, end = 125, time.monotonic() + PATIENCE
            while status == 125 and time.monotonic() < end:  # the snapshot before is still being taken
                status = subprocess.run(['strace', '-o', '/dev/null', '-e', f'inject={call}:signal=KILL:when={nth}', *words],
                                        stderr=subprocess.DEVNULL, **options).returncode
            check(status in (-9, 137, 0), f'killed at {call} {nth}: {status}')
            # 0: there were fewer of these calls than before.
            if status == 0 or at > let_go:
                equal(sorted(kvm.listed()), ['c', *names], f'VMs after a kill at {lines[at]}')
                copies_go(names)
            else:
                copies_go([])
            equal((os.listdir(place.path), os.listdir(place.at('tmp'))), (['tmp'], []), 'files')
        goes_on(vm, counts)
        power_off(vm)


@test('fork-words')
def words_of_fork():
    with Place() as place:
        saved(place)
        long = place.at('y' * 200)
        os.rename(place.at('s'), long)
        for words, text in ((['-n', '2'], 'expected the name of a VM or the directory'), (['c'], 'expected -n N, how many copies'),
                            (['c', '-n', '0'], '-n 0: expected a number of copies from 1 to 1000'), (['c', '-n', 'x'], '-n x: expected'),
                            (['c', '-n'], '-n : expected'), (['c', '-n', '1001'], '-n 1001: expected'), (['c', '--copies=-1'], '-n -1: expected'),
                            (['nobody', '-n', '2'], "no VM called 'nobody'"), (['/none', '-n', '2'], '/none: No such file'),
                            (['c', '-n', '2', '--name', 'x'], '--name x: expected {} in it'), (['c', '-n2', '--cpus', '2'], 'unknown option --cpus'),
                            ([long, '-n', '2'], 'too long for names of copies')):
            hull('fork', *words).expect(125, re.escape(text)).one_line()


# ---- who, and how confined ----

@test('snapshot-sandbox', 'strict', heavy=True)
@test('snapshot-sandbox-off', 'off', heavy=True)
def sandbox(mode):
    with Place() as place, counter('c', '--sandbox', mode, '-d', kvm.image('sandbox.img'), guest='counter-disk') as vm:
        vm.wait_for(b'ready')
        counts = ask(vm)
        snapshot('c', place.at('s')).expect(0).silent()
        with Restored(place.at('s'), '--sandbox', mode, '--name', 'r') as copy:
            goes_on(copy, counts)
            snapshot('--base', place.at('s'), 'r', place.at('t')).expect(0).silent()
            goes_on(copy, counts)
            power_off(copy)
        forked('c', '-n', '2', '--sandbox', mode).expect(0)
        for name in ('c-1', 'c-2'):
            hull('stop', name).expect(0)
        goes_on(vm, counts)
        power_off(vm)


@test('snapshot-ordinary-user')
def ordinary_user():
    """All of it by one who is not root."""
    if os.getuid() != 0 or not shutil.which('unshare') or not shutil.which('setpriv'):
        raise kvm.Skip('the other tests are by one; or no unshare, no setpriv')
    if kvm.EMULATED:
        raise kvm.Skip('all of tests/snapshot is by one there')
    with Place() as place:
        os.chmod(place.path, 0o777)
        os.mkdir(place.at('run'), 0o700)
        os.chown(place.at('run'), 65534, 65534)
        program = shutil.copy(kvm.HULL, place.at('hull'))
        guest = shutil.copy(kvm.guest('counter-disk'), place.at('guest'))
        os.chmod(program, 0o755)
        os.chmod(guest, 0o644)
        script = f'''
            truncate -s 1M d.img
            mkfifo in; (exec sleep 100 >in) & echo $! >sleep
            ./hull run -m 64M -k guest -d d.img --name c --timeout {PATIENCE} --grace 0 <in >out 2>err &
            n=0
            while ! grep -q ready out 2>/dev/null; do
                n=$((n + 1)); [ $n -lt {20 * PATIENCE // 2} ] || {{ kill $(cat sleep); cat err >&2; exit 70; }}; sleep 0.05
            done
            ./hull snapshot c s && ./hull snapshot --base s c t && ./hull fork c -n 2 && ./hull fork s -n 2 || exit 71
            ./hull snapshot c-2 u && ./hull snapshot s-1 v || exit 72
            for i in c c-1 c-2 s-1 s-2; do ./hull stop --force $i || exit 73; done
            echo pQ | ./hull restore v --timeout {PATIENCE}
            r=$?; kill $(cat sleep); exit $r
        '''
        user = 'setpriv --reuid=65534 --regid=65534 --clear-groups'
        outer = ('mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/kvm c 10 232 || exit 77; '
                 f'exec {user} sh -c "$1"')
        p = subprocess.run(['unshare', '-m', 'sh', '-c', outer, 'sh', script], cwd=place.path, capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=4 * PATIENCE, check=False,
                           env=kvm.environment(XDG_RUNTIME_DIR=place.at('run'), HOME=place.path))
        if p.returncode == 77:
            raise kvm.Skip('no mount namespaces here')
        equal(p.returncode, 0, f'status ({p.stdout!r}, {p.stderr!r})')
        check(p.stdout.startswith(b'c-1\nc-2\ns-1\ns-2\n') and b'failures 00000000' in p.stdout, 'output', p.stdout)
