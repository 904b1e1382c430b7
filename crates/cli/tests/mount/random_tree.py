#!/usr/bin/env python3
"""The same random changes of a tree for every directory that it is given: random_tree.py SEED STEPS DIRECTORY.

Prints the tree as it is afterwards: names, kinds, modes, owners, links, sizes, sums, attributes. Two filesystems that behave alike
print the same.
"""

import ctypes
import hashlib
import os
import random
import stat
import sys

LIBC = ctypes.CDLL(None, use_errno=True)


def attempt(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
        return 0
    except OSError as error:
        return error.errno


def renameat2(old, new, flags):
    if LIBC.renameat2(-100, old.encode(), -100, new.encode(), flags) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def main():
    seed, steps, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(seed)
    os.umask(0o022)
    os.chdir(place)
    os.mkdir("tree")
    os.chdir("tree")
    answers = hashlib.sha256()

    def path():
        return "/".join(rng.choice("abcdefgh") * rng.choice([1, 1, 1, 40]) for _ in range(rng.randint(1, 4)))

    def write(p, size):
        fd = os.open(p, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            os.pwrite(fd, rng.randbytes(size), rng.choice([0, 0, 100, 70000]))
        finally:
            os.close(fd)

    for step in range(steps):
        a, b = path(), path()
        action = rng.randrange(20)
        size = rng.choice([0, 1, 100, 5000, 40000])
        mode = rng.choice([0o644, 0o755, 0o4755, 0o2750, 0o1777])
        owner = rng.randrange(5)
        jobs = [
            lambda: write(a, size), lambda: write(a, size), lambda: write(a, size),
            lambda: os.mkdir(a, mode), lambda: os.mkdir(a), lambda: os.mkdir(a),
            lambda: os.symlink(b, a), lambda: os.link(a, b), lambda: os.link(b, a),
            lambda: os.unlink(a), lambda: os.unlink(a), lambda: os.rmdir(a),
            lambda: os.rename(a, b), lambda: os.rename(a, b),
            lambda: renameat2(a, b, rng.choice([1, 2])),
            lambda: os.chmod(a, mode), lambda: os.chown(a, owner, owner, follow_symlinks=False),
            lambda: os.setxattr(a, f"user.{owner}", b"v" * size if size < 3000 else b"", follow_symlinks=False),
            lambda: os.truncate(a, size), lambda: os.mkfifo(a),
        ]
        answers.update(b"%d %d;" % (step, attempt(jobs[action])))
    print("answers", answers.hexdigest())
    names = {}
    for top, dirs, files in os.walk("."):
        dirs.sort()
        for name in sorted(dirs + files):
            p = os.path.join(top, name)
            s = os.lstat(p)
            first = names.setdefault(s.st_ino, p)
            held = ""
            if stat.S_ISLNK(s.st_mode):
                held = os.readlink(p)
            elif stat.S_ISREG(s.st_mode):
                with open(p, "rb") as f:
                    held = hashlib.sha256(f.read()).hexdigest()
            xattrs = {n: os.getxattr(p, n, follow_symlinks=False) for n in sorted(os.listxattr(p, follow_symlinks=False))}
            size = "-" if stat.S_ISDIR(s.st_mode) else s.st_size
            print(p, first, oct(s.st_mode), s.st_uid, s.st_gid, s.st_nlink, size, held, {k: len(v) for k, v in xattrs.items()})


main()
