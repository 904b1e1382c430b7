"""Mounts: the same work on a mount of disksmith's, on the kernel's own loop mount, and (--libguestfs) on one of guestmount."""
import contextlib
import io
import os
import random
import shutil
import subprocess
import tarfile

from timing import DISKSMITH, ROOT, case, compare, prepared

FILES = 50_000


def tree(options):
    """An archive of many files, most of them small, as a system has them."""
    path = options.dir / "tree.tar"
    if path.exists():
        return
    chance = random.Random(1)
    with tarfile.open(path, "w") as archive:
        for folder in range(FILES // 50):
            entry = tarfile.TarInfo(f"tree/{folder // 50}/{folder}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
            for number in range(50):
                data = chance.randbytes(chance.choice([100, 800, 3000, 3000, 8000, 30000]))
                entry = tarfile.TarInfo(f"tree/{folder // 50}/{folder}/file-{number}")
                entry.size, entry.mode = len(data), 0o644
                archive.addfile(entry, io.BytesIO(data))


def shell(command, folder):
    subprocess.run(command, shell=True, cwd=folder, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def mounts(options, writable):
    """The folders of all mounts of copies of one image: ours first."""
    folder = options.dir
    made = []
    try:
        for name in ("ours", "kernel", "guest"):
            image = f"{name}.img"
            (folder / name).mkdir(exist_ok=True)
            shell(f"cp --sparse=always filled.img {image}" if not writable else f"cp --sparse=always bare.img {image}", folder)
            if name == "ours":
                shell(f"{DISKSMITH} mount -a {image} --format raw -m /dev/sda {'--rw' if writable else ''} {name}", folder)
                made.append((name, f"{DISKSMITH} umount {name}"))
            elif name == "kernel" and os.geteuid() == 0:
                shell(f"mount -o loop,noatime{'' if writable else ',ro'} {image} {name}", folder)
                made.append((name, f"umount {name}"))
            elif name == "guest" and options.libguestfs and shutil.which("guestmount"):
                shell(f"guestmount --format=raw -a {image} -m /dev/sda {'--rw' if writable else '--ro'} {name}", folder)
                made.append((name, f"guestunmount {name}"))
        yield [name for name, _ in made]
    finally:
        for name, undo in reversed(made):
            subprocess.run(undo, shell=True, cwd=folder, check=False)
            (folder / f"{name}.img").unlink(missing_ok=True)


def images(options):
    tree(options)
    prepared(options, "bare.img", "truncate -s 4G bare.img && mke2fs -q -F -t ext4 bare.img")
    prepared(
        options, "filled.img",
        "mkdir -p filled && tar xf tree.tar -C filled && head -c 1G /dev/urandom > filled/big",
        "truncate -s 4G filled.img && mke2fs -q -F -t ext4 -d filled filled.img && rm -rf filled",
    )


def each(options, name, command, places, before=""):
    """One command on every mount, each peer in a row of its own: the kernel is for reference."""
    texts = [command.format(place=place) for place in places]
    for peer in texts[1:] or [None]:
        compare(name, texts[0], [peer] if peer else [], options.dir, options.runs, before)


@case
def mount_read(options):
    images(options)
    with mounts(options, writable=False) as places:
        forget = "sync; echo 3 > /proc/sys/vm/drop_caches || true"
        each(options, "mount: find", "find {place} | wc -l", places, forget)
        each(options, "mount: tar c", "tar c {place}/tree | cat", places, forget)
        each(options, "mount: read 1 GiB", "cat {place}/big", places, forget)
        each(options, "mount: read 1 GiB again", "cat {place}/big", places)


@case
def mount_write(options):
    images(options)
    with mounts(options, writable=True) as places:
        clean = "; ".join(f"rm -rf {place}/tree {place}/big {place}/synced" for place in places)
        sync = "python3 -c 'import os; os.fsync(os.open(\"{place}\", os.O_RDONLY))'"
        each(options, f"mount: unpack {FILES} files", "tar x -f tree.tar -C {place} && " + sync, places, clean)
        each(options, "mount: write 1 GiB", "head -c 1G /dev/zero > {place}/big && " + sync, places, clean)
        program = ROOT / "crates/cli/tests/mount/synced_files.py"
        each(options, "mount: 200 files, each synced", f"python3 {program} {{place}}/synced 200", places, clean)
