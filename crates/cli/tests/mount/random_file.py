#!/usr/bin/env python3
"""Random changes of files on a mount, against copies of them in memory.

random_file.py DIRECTORY SEED STEPS: exits with 0 when every read was what it should be, and leaves the files with what they
should hold beside them in memory, printed as `name size sum`.
"""

import ctypes
import errno
import hashlib
import mmap
import os
import random
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MOST = 600_000


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) < 0:
        # Files without extents have no space that reads as zeroes.
        if ctypes.get_errno() == errno.EOPNOTSUPP:
            return False
        raise OSError(ctypes.get_errno(), "fallocate")
    return True


class Pair:
    """A file and what it should hold."""

    def __init__(self, path):
        self.path, self.held = path, bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)

    def put(self, at, data):
        end = at + len(data)
        if end > len(self.held):
            self.held.extend(bytes(end - len(self.held)))
        self.held[at:end] = data

    def resize(self, size):
        if size < len(self.held):
            del self.held[size:]
        else:
            self.held.extend(bytes(size - len(self.held)))

    def clear(self, at, length):
        end = min(at + length, len(self.held))
        if at < end:
            self.held[at:end] = bytes(end - at)


def main():
    place, seed, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    pairs = [Pair(os.path.join(place, f"random-{i}")) for i in range(3)]

    def span():
        at = rng.randrange(MOST)
        if rng.random() < 0.4:
            at &= ~4095
        length = rng.choice([1, 10, 511, 4096, 5000, 65536, 130000])
        return at, min(length, MOST - at)

    for step in range(steps):
        pair = rng.choice(pairs)
        at, length = span()
        action = rng.randrange(13)
        if action <= 2:
            data = rng.randbytes(length)
            assert os.pwrite(pair.fd, data, at) == length
            pair.put(at, data)
        elif action == 3:
            size = rng.choice([0, at, len(pair.held), at])
            os.ftruncate(pair.fd, size)
            pair.resize(size)
        elif action == 4:
            fallocate(pair.fd, 3, at, length)
            pair.clear(at, length)
        elif action == 5:
            keep = rng.random() < 0.5
            if not fallocate(pair.fd, 0x10 | keep, at, length):
                continue
            if not keep and at + length > len(pair.held):
                pair.resize(at + length)
            pair.clear(at, length)
        elif action == 6:
            keep = rng.random() < 0.5
            if not fallocate(pair.fd, int(keep), at, length):
                continue
            if not keep and at + length > len(pair.held):
                pair.resize(at + length)
        elif action == 7 and len(pair.held) > at:
            end = min(at + length, len(pair.held))
            data = rng.randbytes(end - at)
            with mmap.mmap(pair.fd, len(pair.held)) as m:
                m[at:end] = data
                if rng.random() < 0.5:
                    m.flush()
            pair.put(at, data)
        elif action == 8 and len(pair.held) > at:
            end = min(at + length, len(pair.held))
            with mmap.mmap(pair.fd, len(pair.held), prot=mmap.PROT_READ) as m:
                assert m[at:end] == pair.held[at:end], (step, "mapped", at, end)
        elif action == 9:
            other = rng.choice(pairs)
            if other is not pair:
                to = rng.randrange(max(1, MOST - length))
                n = os.copy_file_range(pair.fd, other.fd, length, at, to)
                assert n == max(0, min(length, len(pair.held) - at)), (step, "copied", n)
                if n:
                    other.put(to, pair.held[at:at + n])
        elif action == 10:
            os.fsync(pair.fd)
        elif action == 11:
            # Everything behind a hole's end is a hole or data, and every hole reads as zeroes.
            size, offset = len(pair.held), 0
            while offset < size:
                try:
                    data = os.lseek(pair.fd, offset, os.SEEK_DATA)
                except OSError:
                    data = size
                assert not any(pair.held[offset:data]), (step, "data in a hole", offset, data)
                if data >= size:
                    break
                offset = os.lseek(pair.fd, data, os.SEEK_HOLE)
                assert offset > data
        else:
            assert os.pread(pair.fd, length, at) == pair.held[at:at + length], (step, "read", at, length)
            assert os.fstat(pair.fd).st_size == len(pair.held), step
            if rng.random() < 0.2:
                os.close(pair.fd)
                pair.fd = os.open(pair.path, os.O_RDWR)
    for pair in pairs:
        assert os.pread(pair.fd, MOST, 0) == pair.held, pair.path
        os.close(pair.fd)
        print(os.path.basename(pair.path), len(pair.held), hashlib.sha256(pair.held).hexdigest())


main()
