#!/usr/bin/env python3
"""Asks a filesystem what it does in some hundred situations, and prints a line for each.

Run as root with a directory on the filesystem; the lines of two filesystems that behave alike are equal. What is printed is
errno names and fields of stat, never times, but whether a time moved.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
NAME_255 = "n" * 255
NAME_256 = "n" * 256
ONE, TWO = 65534, 65533
count = 0


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def attempt(function, *args, **kwargs):
    """The result of a call, or the name of its error."""
    try:
        result = function(*args, **kwargs)
    except OSError as error:
        return name_of(error)
    return "ok" if result is None else result


def tell(text, *values):
    global count
    count += 1
    print(f"{text}: " + " ".join(str(v) for v in values), flush=True)


def as_user(uid, gid, function, *args, groups=()):
    """Runs a call as another user, in a child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.write(write, str(attempt(function, *args)).encode())
        os._exit(0)
    os.close(write)
    text = b""
    while piece := os.read(read, 65536):
        text += piece
    os.close(read)
    os.waitpid(pid, 0)
    return text.decode()


def raw(function, *args):
    ctypes.set_errno(0)
    result = function(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(old, new, flags):
    raw(LIBC.renameat2, -100, old.encode(), -100, new.encode(), flags)


def fallocate(fd, mode, offset, length):
    raw(LIBC.fallocate, fd, mode, ctypes.c_long(offset), ctypes.c_long(length))


def shape(path, follow=False):
    """What stat shows, without times and numbers of inodes."""
    try:
        s = os.stat(path, follow_symlinks=follow)
    except OSError as error:
        return name_of(error)
    kind = stat.S_IFMT(s.st_mode)
    size = "-" if kind == stat.S_IFDIR else s.st_size
    return f"{oct(s.st_mode)} links={s.st_nlink} {s.st_uid}:{s.st_gid} size={size} rdev={s.st_rdev}"


def times(path):
    s = os.stat(path, follow_symlinks=False)
    return s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns


def moved(path, function, *args, also=()):
    """Runs a call; tells which times of which paths moved."""
    watched = [path, *also]
    before = [times(p) for p in watched]
    time.sleep(0.02)
    result = attempt(function, *args)
    told = []
    for where, old in zip(watched, before):
        try:
            new = times(where)
        except OSError:
            told.append("gone")
            continue
        told.append("".join(c if a != b else "-" for c, a, b in zip("amc", old, new)))
    return result, *told


def make(path, kind="file", mode=0o644):
    """Makes a file of a kind."""
    if kind == "file":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    elif kind == "dir":
        os.mkdir(path, mode)
    elif kind == "link":
        os.symlink("nowhere", path)
    elif kind == "fifo":
        os.mkfifo(path, mode)
    elif kind == "char":
        os.mknod(path, mode | stat.S_IFCHR, os.makedev(1, 3))
    elif kind == "block":
        os.mknod(path, mode | stat.S_IFBLK, os.makedev(259, 70000))
    elif kind == "socket":
        os.mknod(path, mode | stat.S_IFSOCK)


KINDS = ["file", "dir", "link", "fifo", "char", "block", "socket"]


def case_making():
    for kind in KINDS:
        make(kind, kind)
        tell(f"make {kind}", shape(kind), os.path.lexists(kind))
        tell(f"make {kind} again", attempt(make, kind, kind))
        tell(f"make {kind} below a file", attempt(make, "file/x", kind))
        tell(f"make {kind} nowhere", attempt(make, "missing/x", kind))
        tell(f"make {kind} long", attempt(make, NAME_255, kind), shape(NAME_255))
        if os.path.lexists(NAME_255):
            os.rmdir(NAME_255) if kind == "dir" else os.unlink(NAME_255)
        tell(f"make {kind} too long", attempt(make, NAME_256, kind))
        tell(f"make {kind} path too long", attempt(make, "x/" * 2048 + "x", kind))
        tell(f"make {kind} parent", *moved(".", make, "t" + kind, kind))
    os.symlink("loop-b", "loop-a")
    os.symlink("loop-a", "loop-b")
    for kind in KINDS:
        tell(f"make {kind} behind a loop", attempt(make, "loop-a/x", kind))
    for target in [1, 59, 60, 61, 100, 1000, 4095]:
        path = f"l{target}"
        tell(f"symlink {target}", attempt(os.symlink, "t" * target, path), shape(path))
        tell(f"readlink {target}", len(os.readlink(path)) if os.path.islink(path) else "none")
    tell("symlink empty", attempt(os.symlink, "", "l0"))
    tell("symlink 4096", attempt(os.symlink, "t" * 4096, "l4096"))
    tell("readlink of a file", attempt(os.readlink, "file"))


def case_umask():
    old = os.umask(0o027)
    make("a", "file", 0o777)
    make("b", "dir", 0o7777)
    make("c", "fifo", 0o666)
    make("s", "link")
    os.umask(0o777)
    make("d", "file", 0o777)
    os.umask(old)
    for path in "abcsd":
        tell(f"umask {path}", shape(path))


def case_set_group_id():
    os.mkdir("d")
    os.chown("d", ONE, TWO)
    os.chmod("d", 0o2777)
    os.mkdir("d/dir")
    make("d/file", "file", 0o2755)
    tell("setgid dir", shape("d/dir"), shape("d/file"))
    tell("setgid by another", as_user(ONE, ONE, make, "d/f2", "file", 0o2755), shape("d/f2"))
    tell("setgid dir by another", as_user(ONE, ONE, os.mkdir, "d/d2", 0o755), shape("d/d2"))
    tell("setgid member", as_user(ONE, TWO, make, "d/f3", "file", 0o2775), shape("d/f3"))
    tell("setgid no exec", as_user(ONE, ONE, make, "d/f4", "file", 0o2644), shape("d/f4"))


def case_chmod():
    for kind in KINDS:
        make(kind, kind)
        if kind == "link":
            continue
        for mode in [0o111, 0o4755, 0o2755, 0o1777, 0o7777, 0]:
            os.chmod(kind, mode)
            tell(f"chmod {kind} {oct(mode)}", shape(kind))
        tell(f"chmod {kind} times", *moved(kind, os.chmod, kind, 0o644))
        tell(f"chmod {kind} by another", as_user(ONE, ONE, os.chmod, kind, 0o600), *moved(kind, as_user, ONE, ONE, os.chmod, kind, 0o600))
    tell("chmod missing", attempt(os.chmod, "missing", 0o600))
    tell("chmod below file", attempt(os.chmod, "file/x", 0o600))
    make("mine")
    os.chown("mine", ONE, ONE)
    tell("chmod mine", as_user(ONE, ONE, os.chmod, "mine", 0o2755), shape("mine"))
    os.chown("mine", ONE, TWO)
    tell("chmod foreign group", as_user(ONE, ONE, os.chmod, "mine", 0o2755), shape("mine"))
    tell("chmod group member", as_user(ONE, ONE, os.chmod, "mine", 0o2755, groups=[TWO]), shape("mine"))
    tell("chmod sticky file", as_user(ONE, ONE, os.chmod, "mine", 0o1644), shape("mine"))


def case_chown():
    for kind in KINDS:
        make(kind, kind, 0o6755)
        if kind != "link":
            os.chmod(kind, 0o6755)
        tell(f"chown {kind}", *moved(kind, lambda: os.chown(kind, 123, 456, follow_symlinks=False)), shape(kind))
    for mode in [0o4755, 0o2755, 0o2745, 0o6777, 0o6644, 0o7111]:
        for uid, gid in [(0, 0), (7, -1), (-1, 7), (-1, -1)]:
            path = f"{oct(mode)}-{uid}-{gid}"
            make(path)
            os.chmod(path, mode)
            os.chown(path, uid, gid)
            tell(f"chown root {oct(mode)} {uid} {gid}", shape(path))
    for mode in [0o4755, 0o2755, 0o2745, 0o6644]:
        path = f"u{oct(mode)}"
        make(path)
        os.chown(path, ONE, ONE)
        os.chmod(path, mode)
        tell(f"chown own group {oct(mode)}", as_user(ONE, ONE, os.chown, path, -1, TWO, groups=[TWO]), shape(path))
    make("other")
    tell("chown others'", as_user(ONE, ONE, os.chown, "other", ONE, ONE), as_user(ONE, ONE, os.chown, "other", -1, ONE))
    make("mine")
    os.chown("mine", ONE, ONE)
    tell("give away", as_user(ONE, ONE, os.chown, "mine", TWO, -1))
    tell("group not mine", as_user(ONE, ONE, os.chown, "mine", -1, TWO))
    tell("no change", as_user(ONE, ONE, os.chown, "mine", ONE, ONE), as_user(ONE, ONE, os.chown, "mine", -1, -1))
    tell("big numbers", attempt(os.chown, "mine", 3000000000, 4000000000), shape("mine"))
    os.mkdir("d", 0o755)
    os.chmod("d", 0o6755)
    os.chown("d", 5, 5)
    tell("chown keeps bits of directories", shape("d"))


def case_link():
    for kind in KINDS:
        make(kind, kind)
        result = attempt(lambda: os.link(kind, kind + "2", follow_symlinks=False))
        tell(f"link {kind}", result, shape(kind), shape(kind + "2"))
    make("f")
    tell("link times", *moved("f", os.link, "f", "g", also=["."]))
    tell("link exists", attempt(os.link, "f", "g"), attempt(os.link, "f", "dir"))
    tell("link missing", attempt(os.link, "missing", "h"), attempt(os.link, "f", "missing/h"), attempt(os.link, "f", "g/h"))
    tell("link long", attempt(os.link, "f", NAME_256))
    tell("link names", os.stat("f").st_ino == os.stat("g").st_ino)
    os.unlink("f")
    tell("link left", shape("g"))
    os.mkdir("closed", 0o755)
    tell("link by another", as_user(ONE, ONE, os.link, "g", "closed/x"), as_user(ONE, ONE, os.link, "g", "y"))
    tell("unlink times", *moved("g", os.unlink, "g", also=["."]))
    make("a")
    os.link("a", "b")
    tell("unlink one of two", *moved("a", os.unlink, "b", also=["."]))


def case_unlink():
    for kind in KINDS:
        make(kind, kind)
        tell(f"unlink {kind}", attempt(os.unlink, kind), os.path.lexists(kind))
    tell("unlink missing", attempt(os.unlink, "missing"), attempt(os.unlink, "missing/x"))
    make("f")
    tell("unlink below file", attempt(os.unlink, "f/x"), attempt(os.unlink, "f/"))
    tell("unlink long", attempt(os.unlink, NAME_256))
    os.mkdir("d", 0o755)
    make("d/f")
    tell("unlink forbidden", as_user(ONE, ONE, os.unlink, "d/f"))
    for mode in [0o1777, 0o777]:
        path = f"sticky{oct(mode)}"
        os.mkdir(path)
        os.chmod(path, mode)
        for owner in [ONE, TWO, 0]:
            for top in [ONE, TWO]:
                os.chown(path, top, top)
                make(f"{path}/f")
                os.chown(f"{path}/f", owner, owner)
                tell(f"sticky {oct(mode)} {owner} {top}", as_user(ONE, ONE, os.unlink, f"{path}/f"))
                if os.path.exists(f"{path}/f"):
                    os.unlink(f"{path}/f")
    fd = os.open("open", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"hello")
    os.unlink("open")
    s = os.fstat(fd)
    tell("unlinked and open", s.st_nlink, s.st_size, os.pread(fd, 10, 0))
    os.pwrite(fd, b"x" * 10000, 5)
    os.ftruncate(fd, 8000)
    os.fchmod(fd, 0o600)
    os.fsync(fd)
    s = os.fstat(fd)
    tell("unlinked and used", s.st_nlink, s.st_size, oct(s.st_mode), os.pread(fd, 3, 6000))
    make("new")
    tell("a new one is another", os.stat("new").st_ino != s.st_ino)
    os.close(fd)


def case_rmdir():
    os.mkdir("d")
    tell("rmdir times", *moved(".", os.rmdir, "d"))
    for kind in KINDS:
        make(kind, kind)
        tell(f"rmdir {kind}", attempt(os.rmdir, kind))
    os.mkdir("full")
    make("full/x")
    tell("rmdir full", attempt(os.rmdir, "full"), attempt(os.rmdir, "full/."), attempt(os.rmdir, "full/.."))
    tell("rmdir missing", attempt(os.rmdir, "missing"), attempt(os.rmdir, "file/x"), attempt(os.rmdir, NAME_256))
    before = os.stat(".").st_nlink
    os.mkdir("sub")
    during = os.stat(".").st_nlink
    os.rmdir("sub")
    tell("links of the parent", during - before, os.stat(".").st_nlink - before)
    os.mkdir("gone")
    fd = os.open("gone", os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir("gone")
    s = os.fstat(fd)
    tell("removed and open", s.st_nlink, attempt(os.listdir, fd), attempt(lambda: os.mkdir("x", dir_fd=fd)))
    os.close(fd)
    os.mkdir("top", 0o755)
    os.mkdir("top/d")
    tell("rmdir forbidden", as_user(ONE, ONE, os.rmdir, "top/d"))


def case_rename():
    for old in KINDS:
        for new in KINDS:
            make("old", old)
            make("new", new)
            result = attempt(os.rename, "old", "new")
            tell(f"rename {old} {new}", result, shape("old"), shape("new"))
            for path in ["old", "new"]:
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                elif os.path.lexists(path):
                    os.unlink(path)
    os.mkdir("a")
    os.mkdir("a/b")
    os.mkdir("full")
    make("full/x")
    tell("rename into itself", attempt(os.rename, "a", "a/b/c"), attempt(os.rename, "a", "a/c"))
    tell("rename over above", attempt(os.rename, "a/b", "a"), attempt(os.rename, "full/x", "full"))
    tell("rename over full", attempt(os.rename, "a/b", "full"))
    tell("rename dots", attempt(os.rename, "a/.", "z"), attempt(os.rename, "a", "full/.."))
    tell("rename missing", attempt(os.rename, "missing", "z"), attempt(os.rename, "a", "missing/z"))
    make("f")
    tell("rename below file", attempt(os.rename, "f", "full/x/y"), attempt(os.rename, "a", "f/y"), attempt(os.rename, "f", "z/"))
    tell("rename long", attempt(os.rename, "f", NAME_256), attempt(os.rename, "f", NAME_255))
    os.rename(NAME_255, "f")
    os.link("f", "g")
    tell("rename same inode", attempt(os.rename, "f", "g"), shape("f"), shape("g"))
    tell("rename same name", attempt(os.rename, "f", "f"))
    tell("rename times", *moved("a", os.rename, "a", "full/a", also=[".", "full"]))
    tell("rename moved time", *moved("f", os.rename, "f", "full/f", also=[".", "full"]))
    links = [os.stat(p).st_nlink for p in [".", "full", "full/a"]]
    tell("rename links", links[1:])
    make("v")
    fd = os.open("v", os.O_RDWR)
    os.write(fd, b"victim")
    make("w")
    os.rename("w", "v")
    tell("victim", os.fstat(fd).st_nlink, os.pread(fd, 6, 0))
    os.close(fd)
    tell("noreplace", attempt(renameat2, "v", "g", 1), attempt(renameat2, "v", "free", 1))
    tell("exchange", attempt(renameat2, "free", "full", 2), shape("free"), shape("full"))
    tell("exchange missing", attempt(renameat2, "free", "missing", 2))
    tell("exchange below", attempt(renameat2, "free", "free/a", 2))
    os.mkdir("p")
    os.mkdir("p/q")
    os.mkdir("r")
    make("r/s")
    tell("exchange parents", attempt(renameat2, "p/q", "r/s", 2), os.stat("p").st_nlink, os.stat("r").st_nlink)
    tell("flags together", attempt(renameat2, "p", "r", 3))
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    make("sticky/f")
    os.chown("sticky/f", TWO, TWO)
    make("sticky/mine")
    os.chown("sticky/mine", ONE, ONE)
    tell("rename sticky", as_user(ONE, ONE, os.rename, "sticky/f", "sticky/z"), as_user(ONE, ONE, os.rename, "sticky/mine", "sticky/f"), as_user(ONE, ONE, os.rename, "sticky/mine", "sticky/new"))
    os.mkdir("open")
    os.chmod("open", 0o777)
    os.mkdir("open/d", 0o755)
    tell("rename a foreign directory", as_user(ONE, ONE, os.rename, "open/d", "open/e"))
    os.mkdir("other")
    os.chmod("other", 0o777)
    tell("rename a foreign directory away", as_user(ONE, ONE, os.rename, "open/e", "other/e"))
    tell("rename over the same", attempt(os.rename, "p", "p"))


def case_truncate():
    with open("f", "wb") as f:
        f.write(b"0123456789" * 1000)
    for size in [12345, 5000, 4096, 1, 0, 1 << 40, 7]:
        os.truncate("f", size)
        with open("f", "rb") as f:
            tell(f"truncate {size}", os.stat("f").st_size, f.read(20))
    tell("truncate times", *moved("f", os.truncate, "f", 100))
    tell("truncate same", *moved("f", os.truncate, "f", 100))
    tell("truncate kinds", [attempt(os.truncate, k, 0) for k in ["missing", ".", "f/x", NAME_256]])
    tell("truncate too far", attempt(os.truncate, "f", 1 << 62), attempt(os.truncate, "f", -1))
    os.chmod("f", 0o6777)
    os.chown("f", TWO, TWO)
    os.chmod("f", 0o6777)
    tell("truncate by another", as_user(ONE, ONE, os.truncate, "f", 50), shape("f"))
    os.chmod("f", 0o6777)
    os.truncate("f", 40)
    tell("truncate by root", shape("f"))
    os.chmod("f", 0o444)
    tell("truncate forbidden", as_user(ONE, ONE, os.truncate, "f", 5))
    fd = os.open("ro", os.O_CREAT | os.O_RDONLY)
    tell("ftruncate read-only", attempt(os.ftruncate, fd, 5))
    os.close(fd)


def case_write():
    for mode, who in [(0o6777, ONE), (0o6777, 0), (0o2767, ONE), (0o4777, ONE), (0o6766, ONE)]:
        path = f"w{oct(mode)}-{who}"
        make(path)
        os.chown(path, TWO, TWO)
        os.chmod(path, mode)

        def put():
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"data")
            os.close(fd)

        tell(f"write {oct(mode)} by {who}", as_user(who, who, put), shape(path))
    make("t")
    fd = os.open("t", os.O_RDWR)
    tell("write times", *moved("t", os.write, fd, b"x"))
    tell("read times", *moved("t", os.pread, fd, 1, 0))
    tell("empty write", *moved("t", os.write, fd, b""))
    os.pwrite(fd, b"end", 100000)
    tell("hole", os.pread(fd, 4, 50000), os.fstat(fd).st_size)
    tell("write far", attempt(os.pwrite, fd, b"x", (1 << 62)))
    os.close(fd)
    fd = os.open("t", os.O_WRONLY | os.O_APPEND)
    os.pwrite(fd, b"A", 0)
    os.write(fd, b"B")
    os.close(fd)
    with open("t", "rb") as f:
        f.seek(100003)
        tell("append", f.read())
    fd = os.open("t", os.O_RDWR | os.O_TRUNC)
    tell("open truncates", os.fstat(fd).st_size)
    os.close(fd)
    tell("open truncates times", *moved("t", lambda: os.close(os.open("t", os.O_RDWR | os.O_TRUNC))))


def case_open():
    make("f", "file", 0o600)
    tell("open", [attempt(lambda f: os.close(os.open(*f)), a) for a in [
        ("f", os.O_RDONLY), ("f", os.O_CREAT | os.O_EXCL), ("missing", os.O_RDONLY), (".", os.O_WRONLY),
        ("f/x", os.O_RDONLY), ("f", os.O_DIRECTORY), (NAME_256, os.O_CREAT), (".", os.O_CREAT | os.O_RDWR), ("f/", os.O_RDONLY),
    ]])
    tell("open foreign", [as_user(ONE, ONE, lambda m=m: os.close(os.open("f", m))) for m in [os.O_RDONLY, os.O_WRONLY, os.O_RDWR]])
    os.symlink("f", "s")
    os.symlink("dangling", "dang")
    os.symlink("self", "self")
    tell("open links", [attempt(lambda f: os.close(os.open(*f)), a) for a in [
        ("s", os.O_RDONLY), ("s", os.O_RDONLY | os.O_NOFOLLOW), ("dang", os.O_RDONLY), ("dang", os.O_CREAT | os.O_EXCL),
        ("self", os.O_RDONLY), ("dang", os.O_CREAT | os.O_RDWR),
    ]], os.path.exists("dangling"))
    make("sock", "socket")
    tell("open socket", attempt(os.open, "sock", os.O_RDONLY))
    tell("create times", *moved(".", make, "new"))
    tell("create there times", *moved(".", lambda: os.close(os.open("new", os.O_CREAT))))
    for mode in range(8):
        path = f"m{mode}"
        make(path)
        os.chmod(path, mode | mode << 3)
        os.chown(path, TWO, TWO)
        tell(f"modes {mode}", [as_user(u, g, lambda m=m: os.close(os.open(path, m))) for u, g in [(ONE, ONE), (ONE, TWO), (TWO, ONE)] for m in [os.O_RDONLY, os.O_WRONLY, os.O_RDWR]],
             as_user(ONE, TWO, os.access, path, os.X_OK))
    os.mkdir("noexec", 0o644)
    make("noexec/f")
    tell("search", as_user(ONE, ONE, os.stat, "noexec/f"), as_user(ONE, ONE, os.listdir, "noexec"))
    with open("script", "w") as f:
        f.write("#!/bin/sh\nexit 3\n")
    os.chmod("script", 0o755)
    tell("execute", os.system("./script") >> 8)
    copy = "prog"
    with open("/bin/sleep", "rb") as source, open(copy, "wb") as target:
        target.write(source.read())
    os.chmod(copy, 0o755)
    pid = os.fork()
    if pid == 0:
        os.execv("./prog", ["prog", "5"])
    time.sleep(0.2)
    tell("busy text", attempt(os.open, copy, os.O_WRONLY), attempt(os.truncate, copy, 0))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    fd = os.open(copy, os.O_WRONLY)
    tell("busy the other way", attempt(os.posix_spawn, "./prog", ["prog", "0"], {}) in ("ETXTBSY",))
    os.close(fd)


def case_times():
    make("f")
    for kind in KINDS:
        if kind != "file":
            make(kind, kind)
    make("file")
    for kind in KINDS:
        for atime, mtime in [(0, 0), (1, 2), (1111111111123456789, 1222222222987654321), (5000000000 * 10**9 + 1, 6000000000 * 10**9 + 999999999), (-1 * 10**9, -5), (-2**31 * 10**9, 0), ((2**34 - 2**31 - 1) * 10**9, 0)]:
            try:
                os.utime(kind, ns=(atime, mtime), follow_symlinks=False)
                s = os.stat(kind, follow_symlinks=False)
                tell(f"utime {kind} {atime} {mtime}", s.st_atime_ns, s.st_mtime_ns)
            except OSError as error:
                tell(f"utime {kind} {atime} {mtime}", name_of(error))
    tell("utime moves", *moved("f", lambda: os.utime("f", ns=(5, 5))))
    tell("utime now", *moved("f", os.utime, "f"))
    tell("utime missing", attempt(os.utime, "missing"), attempt(os.utime, "f/x"))
    tell("utime by another", as_user(ONE, ONE, os.utime, "f"), as_user(ONE, ONE, lambda: os.utime("f", ns=(1, 1))))
    os.chmod("f", 0o666)
    tell("utime by a writer", as_user(ONE, ONE, os.utime, "f"), as_user(ONE, ONE, lambda: os.utime("f", ns=(1, 1))))


def case_allocate():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.write(fd, bytes(range(1, 251)) * 400)

    def look(text, result):
        s = os.fstat(fd)
        data = os.pread(fd, 300000, 0)
        tell(text, result, s.st_size, sum(data), [data[i] for i in range(0, min(len(data), 120000), 4097)])

    for text, mode, offset, length in [
        ("allocate", 0, 0, 50000), ("allocate further", 0, 90000, 60000), ("keep size", 1, 200000, 50000),
        ("punch", 3, 10000, 20000), ("punch small", 3, 40001, 10), ("punch end", 3, 140000, 100000),
        ("punch blocks", 3, 8192, 4096), ("zero range", 0x10, 60000, 5000), ("zero range keep", 0x11, 145000, 50000),
        ("zero range grow", 0x10, 149000, 20000), ("punch without keep", 2, 0, 100), ("collapse with keep", 9, 0, 4096),
        ("nothing", 0, 0, 0), ("negative", 0, -1, 10), ("negative length", 0, 0, -1), ("far", 0, 1 << 62, 1 << 62),
        ("punch beyond", 3, 500000, 1000), ("insert with punch", 0x22, 0, 4096), ("too far", 0, 1 << 44, 4096),
    ]:
        look(text, attempt(fallocate, fd, mode, offset, length))
    tell("allocate times", *moved("f", fallocate, fd, 0, 0, 300000))
    tell("punch times", *moved("f", fallocate, fd, 3, 0, 4096))
    os.close(fd)
    fd = os.open("f", os.O_RDONLY)
    tell("allocate read-only", attempt(fallocate, fd, 0, 0, 100))
    os.close(fd)
    fd = os.open(".", os.O_RDONLY)
    tell("allocate a directory", attempt(fallocate, fd, 0, 0, 100))
    os.close(fd)


def case_seek():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"a" * 4096, 0)
    os.pwrite(fd, b"b" * 4096, 65536)
    os.pwrite(fd, b"c", 200000)
    os.fsync(fd)
    for whence, text in [(os.SEEK_DATA, "data"), (os.SEEK_HOLE, "hole")]:
        for offset in [0, 1, 4095, 4096, 65535, 65536, 66000, 69632, 196608, 199999, 200000, 200001, 300000, -1]:
            tell(f"seek {text} {offset}", attempt(os.lseek, fd, offset, whence))
    os.ftruncate(fd, 1000000)
    tell("seek behind", attempt(os.lseek, fd, 500000, os.SEEK_DATA), attempt(os.lseek, fd, 500000, os.SEEK_HOLE))
    os.ftruncate(fd, 0)
    tell("seek empty", attempt(os.lseek, fd, 0, os.SEEK_DATA), attempt(os.lseek, fd, 0, os.SEEK_HOLE))
    os.close(fd)


def case_blocks():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    for size in [0, 1, 4096, 4097, 1 << 20]:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"x" * size, 0)
        os.fsync(fd)
        tell(f"blocks of {size}", os.fstat(fd).st_blocks)
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"x", 10 << 20)
    os.fsync(fd)
    tell("blocks of a hole", os.fstat(fd).st_blocks)
    fallocate(fd, 3, 10 << 20, 4096)
    os.fsync(fd)
    tell("blocks of a punched one", os.fstat(fd).st_blocks)
    fallocate(fd, 0, 0, 1 << 20)
    os.fsync(fd)
    tell("blocks allocated", os.fstat(fd).st_blocks)
    os.close(fd)
    s = os.statvfs(".")
    tell("statvfs", s.f_bsize, s.f_frsize, s.f_namemax, s.f_files > 1000)
    tell("block size", os.stat("f").st_blksize, os.stat(".").st_blksize)


def case_xattr():
    for kind in KINDS:
        make(kind, kind)
        for name in ["user.a", "trusted.b", "security.c", "security.selinux"]:
            value = b"system_u:object_r:etc_t:s0\0"
            tell(f"setxattr {kind} {name}", attempt(lambda: os.setxattr(kind, name, value, follow_symlinks=False)),
                 attempt(lambda: os.getxattr(kind, name, follow_symlinks=False)))
        tell(f"listxattr {kind}", attempt(lambda: sorted(os.listxattr(kind, follow_symlinks=False))))
    f = "file"
    tell("create flag", attempt(os.setxattr, f, "user.a", b"x", os.XATTR_CREATE), attempt(os.setxattr, f, "user.n", b"x", os.XATTR_CREATE))
    tell("replace flag", attempt(os.setxattr, f, "user.a", b"y", os.XATTR_REPLACE), attempt(os.setxattr, f, "user.m", b"x", os.XATTR_REPLACE))
    tell("values", os.getxattr(f, "user.a"), attempt(os.getxattr, f, "user.none"))
    tell("remove", attempt(os.removexattr, f, "user.a"), attempt(os.removexattr, f, "user.a"))
    tell("empty value", attempt(os.setxattr, f, "user.e", b""), attempt(os.getxattr, f, "user.e"))
    tell("long name", attempt(os.setxattr, f, "user." + "n" * 250, b"v"), attempt(os.setxattr, f, "user." + "n" * 251, b"v"))
    tell("no namespace", attempt(os.setxattr, f, "x", b""), attempt(os.setxattr, f, "system.x", b""), attempt(os.setxattr, f, "user.", b""))
    tell("sizes", [attempt(os.setxattr, f, "user.s", b"v" * n) for n in [100, 1000, 3000]], len(os.getxattr(f, "user.s")))
    tell("xattr times", *moved(f, os.setxattr, f, "user.t", b"1"), *moved(f, os.removexattr, f, "user.t"))
    tell("trusted for others", as_user(ONE, ONE, os.getxattr, f, "trusted.b"), as_user(ONE, ONE, lambda: sorted(os.listxattr(f))))
    tell("set by others", as_user(ONE, ONE, os.setxattr, f, "user.z", b""), as_user(ONE, ONE, os.setxattr, f, "trusted.z", b""), as_user(ONE, ONE, os.setxattr, f, "security.z", b""))
    tell("missing", attempt(os.getxattr, "missing", "user.a"))
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    tell("sticky directory", as_user(ONE, ONE, os.setxattr, "sticky", "user.a", b""))


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


NOBODY = 0xFFFFFFFF
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def case_acl():
    make("f", "file", 0o640)
    named = acl((1, 6, NOBODY), (2, 4, ONE), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
    tell("no list", attempt(os.getxattr, "f", ACCESS))
    tell("set a list", attempt(os.setxattr, "f", ACCESS, named), shape("f"), os.getxattr("f", ACCESS) == named)
    tell("granted by the list", as_user(ONE, ONE, lambda: os.close(os.open("f", os.O_RDONLY))), as_user(TWO, TWO, lambda: os.close(os.open("f", os.O_RDONLY))),
         as_user(ONE, ONE, lambda: os.close(os.open("f", os.O_WRONLY))))
    os.chmod("f", 0o600)
    tell("the mask follows", shape("f"), os.getxattr("f", ACCESS).hex(), as_user(ONE, ONE, lambda: os.close(os.open("f", os.O_RDONLY))))
    plain = acl((1, 7, NOBODY), (4, 5, NOBODY), (32, 1, NOBODY))
    tell("a plain list", attempt(os.setxattr, "f", ACCESS, plain), shape("f"), attempt(os.getxattr, "f", ACCESS))
    tell("bad lists", attempt(os.setxattr, "f", ACCESS, b"xx"), attempt(os.setxattr, "f", ACCESS, acl((1, 7, NOBODY))), attempt(os.setxattr, "f", DEFAULT, plain))
    os.mkdir("d", 0o755)
    inherited = acl((1, 7, NOBODY), (2, 7, ONE), (4, 5, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY))
    tell("default", attempt(os.setxattr, "d", DEFAULT, inherited), shape("d"), sorted(os.listxattr("d")))
    old = os.umask(0o077)
    make("d/f", "file", 0o666)
    os.mkdir("d/d", 0o777)
    make("d/fifo", "fifo", 0o622)
    os.symlink("x", "d/l")
    os.umask(old)
    for path in ["d/f", "d/d", "d/fifo", "d/l"]:
        tell(f"inherited {path}", shape(path), [attempt(lambda: os.getxattr(path, n, follow_symlinks=False).hex()) for n in [ACCESS, DEFAULT]])
    os.setxattr("d", DEFAULT, acl((1, 7, NOBODY), (4, 7, NOBODY), (32, 5, NOBODY)))
    old = os.umask(0o077)
    make("d/plain", "file", 0o666)
    os.umask(old)
    tell("inherited plain", shape("d/plain"), attempt(os.getxattr, "d/plain", ACCESS))
    tell("remove default", attempt(os.removexattr, "d", DEFAULT), attempt(os.removexattr, "d", DEFAULT), attempt(os.getxattr, "d", DEFAULT))
    make("mine")
    os.chown("mine", ONE, ONE)
    tell("by the owner", as_user(ONE, ONE, os.setxattr, "mine", ACCESS, named), as_user(TWO, TWO, os.setxattr, "mine", ACCESS, named))


def case_copy_range():
    with open("a", "wb") as f:
        f.write(bytes(i % 251 for i in range(300000)))
    src, dst = os.open("a", os.O_RDONLY), os.open("b", os.O_CREAT | os.O_RDWR)
    total = 0
    while n := os.copy_file_range(src, dst, 300000 - total):
        total += n
    tell("copy", total, os.stat("b").st_size, open("a", "rb").read() == open("b", "rb").read())
    tell("copy within", attempt(os.copy_file_range, dst, dst, 1000, 0, 500), attempt(os.copy_file_range, dst, dst, 1000, 0, 5000))
    tell("copy beyond", attempt(os.copy_file_range, src, dst, 1000, 400000, 0))
    tell("copy to the reading", attempt(os.copy_file_range, dst, src, 1000, 0, 0))
    os.close(src)
    os.close(dst)


def case_mmap():
    import mmap
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 100000)
    with mmap.mmap(fd, 100000) as m:
        m[5000:5005] = b"hello"
        m[99995:100000] = b"there"
        m.flush()
        os.pwrite(fd, b"X", 5000)
        tell("seen both ways", m[5000:5005], os.pread(fd, 5, 99995))
    os.close(fd)
    with open("f", "rb") as f:
        f.seek(5000)
        tell("mapped", f.read(5), os.stat("f").st_size)
    fd = os.open("f", os.O_RDWR)
    m = mmap.mmap(fd, 100000)
    os.unlink("f")
    os.close(fd)
    m[0:3] = b"abc"
    tell("mapped and unlinked", m[0:3], m[5000:5005])
    m.close()


def case_listing():
    os.mkdir("d")
    names = {f"file-{i}-{'x' * (i % 50)}" for i in range(2000)}
    for n in names:
        make("d/" + n)
    tell("listing", set(os.listdir("d")) == names, len(os.listdir("d")))
    for n in sorted(names)[::2]:
        os.unlink("d/" + n)
    tell("listing after", set(os.listdir("d")) == set(sorted(names)[1::2]))
    seen = []
    with os.scandir("d") as it:
        for e in it:
            seen.append(e.name)
            os.unlink("d/" + e.name)
    tell("remove while listing", len(seen), os.listdir("d"), attempt(os.rmdir, "d"))
    os.mkdir("k")
    for kind in KINDS:
        make("k/" + kind, kind)
    with os.scandir("k") as it:
        tell("kinds", sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink(), e.is_file(follow_symlinks=False), e.inode() == os.lstat("k/" + e.name).st_ino) for e in it))
    for name in [b"\xff\xfe", "ü".encode(), b"a b", b"a\nb", b"\\", b"...", b"-"]:
        make(b"k/" + name)
    tell("odd names", sorted(os.listdir(b"k")))


def case_many_links():
    make("f")
    result = "ok"
    n = 1
    os.mkdir("l")
    while result == "ok" and n < 1200:
        result = attempt(os.link, "f", f"l/{n}")
        n += 1
    tell("links", result, os.stat("f").st_nlink)
    for i in range(1, n):
        os.unlink(f"l/{i}")
    tell("links left", os.stat("f").st_nlink)


def case_links_on_the_way():
    os.mkdir("d")
    make("d/f")
    previous = "d"
    for i in range(45):
        os.symlink(previous, f"s{i}")
        previous = f"s{i}"
    tell("chain", attempt(lambda: os.stat("s38/f") and None), attempt(lambda: os.stat("s44/f") and None))
    os.symlink("../" + os.path.basename(os.getcwd()) + "/d/f", "up")
    tell("up", shape("up", True))
    tell("follow", shape("s0", True), attempt(os.unlink, "s0"), os.path.isdir("d"))


def main():
    base = os.path.join(sys.argv[1], "posix-table")
    os.mkdir(base, 0o777)
    os.chmod(base, 0o777)
    os.umask(0o022)
    wanted = sys.argv[2:]
    for name, function in list(globals().items()):
        if name.startswith("case_") and (not wanted or name[5:] in wanted):
            place = os.path.join(base, name[5:])
            os.mkdir(place)
            os.chmod(place, 0o777)
            os.chdir(place)
            print(f"# {name[5:]}", flush=True)
            try:
                function()
            except Exception as error:  # told, so that the two can be compared all the same
                tell(f"{name[5:]} stopped", type(error).__name__, str(error))
    os.chdir("/")
    print(f"# {count} lines", flush=True)


main()
