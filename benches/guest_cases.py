"""Guests: looking into them and editing them."""
import os
import random
import shutil
import subprocess
from pathlib import Path

from timing import DISKSMITH, case, compare, prepared, reset

# The libguestfs tools boot a virtual machine for each call; they are timed only when they are asked for by --libguestfs.

CUSTOMIZE = (
    "--hostname web1 --timezone Asia/Shanghai --ssh-inject root:file:key.pub --copy-in app:/opt --upload a.conf:/etc/a.conf"
    " --write /etc/motd:hello --mkdir /srv/data --chmod 0600:/etc/a.conf --touch /etc/cloned --firstboot setup.sh"
)


@case
def customize(options):
    if not options.guest:
        print("customize: skipped (give --guest IMAGE, made by testdata/guests/make-guest --layout ext4 --format qcow2)")
        return
    folder = options.dir
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app/run").write_text("#!/bin/sh\n")
    (folder / "a.conf").write_text("a = 1\n")
    (folder / "setup.sh").write_text("#!/bin/sh\necho hi\n")
    (folder / "key.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVzZSBhIHJlYWwga2V5IGhlcmUgcGxlYXNlIQ== me@host\n")
    base = Path(options.guest).resolve()
    before = f"rm -f vm.qcow2; qemu-img create -q -f qcow2 -b {base} -F qcow2 vm.qcow2"
    for name, more in (("customize, no passwords", ""), ("customize, two passwords", " --root-password password:a --password debian:password:b")):
        compare(name, [DISKSMITH, "customize", "-q", "-a", "vm.qcow2", *CUSTOMIZE.split(), *more.split()], [], folder, options.runs, before)


def overlay_of(options, name="vm.qcow2"):
    """A shell command that makes a new overlay of the guest."""
    base = Path(options.guest).resolve()
    return f"rm -f {name}; qemu-img create -q -f qcow2 -b {base} -F qcow2 {name}"


def against_tool(options, name, verb, tool, before=""):
    """One verb on the guest, against the libguestfs tool of the same arguments."""
    peers = [tool] if options.libguestfs and shutil.which(tool.split()[0]) else []
    compare(name, f"{DISKSMITH} {verb}", peers, options.dir, options.runs if not peers else 1, before)


@case
def guest_look(options):
    """Verbs that only read: what counts is CPU."""
    if not options.guest:
        print("guest-look: skipped (give --guest IMAGE)")
        return
    image = Path(options.guest).resolve()
    for name, arguments in (
        ("cat", "/etc/hostname"), ("ls", "-lR /"), ("filesystems", "--all --long"), ("df", ""), ("inspector", ""),
    ):
        verb = {"inspector": "inspect"}.get(name, name)
        against_tool(options, f"{verb} {arguments}".strip(), f"{verb} -a {image} {arguments}", f"virt-{name} -a {image} {arguments}")


@case
def guest_edit(options):
    """Small edits of a new overlay."""
    if not options.guest:
        print("guest-edit: skipped (give --guest IMAGE)")
        return
    before = overlay_of(options)
    against_tool(options, "sysprep", "sysprep -q -a vm.qcow2", "virt-sysprep -q -a vm.qcow2", before)
    against_tool(options, "edit -e", "edit -q -a vm.qcow2 /etc/hostname -e s/a/b/", "virt-edit -a vm.qcow2 /etc/hostname -e s/a/b/", before)


@case
def guest_bulk(options):
    """Much data: a whole root out, a tree of 20,000 files in, two roots compared, free space given back."""
    if not options.guest:
        print("guest-bulk: skipped (give --guest IMAGE)")
        return
    image = Path(options.guest).resolve()
    many_files(options.dir / "tree-in", 20000, 50000)
    against_tool(options, "tar-out of the root", f"tar-out -a {image} / out.tar", f"virt-tar-out -a {image} / out.tar", "rm -f out.tar")
    against_tool(options, "copy-in of 20,000 files, 1 GB", "copy-in -q -a vm.qcow2 tree-in /opt", "virt-copy-in -a vm.qcow2 tree-in /opt",
                 overlay_of(options) + "; qemu-img resize -q vm.qcow2 +0")
    reset(overlay_of(options) + f"; {DISKSMITH} customize -q -a vm.qcow2 --delete /usr/share/doc --hostname other", options.dir)
    against_tool(options, "diff of two roots", f"diff -a {image} -A vm.qcow2; [ $? -le 1 ]", f"virt-diff -a {image} -A vm.qcow2")
    against_tool(options, "sparsify in place", "sparsify -q --in-place vm.qcow2", "virt-sparsify -q --in-place vm.qcow2",
                 overlay_of(options) + f"; {DISKSMITH} customize -q -a vm.qcow2 --delete /usr/share/doc")


def many_files(folder, count, mean):
    """A tree of `count` files of `mean` bytes on average, most of them small, as a root has them."""
    if folder.exists():
        return
    source = random.Random(7)
    pattern = source.randbytes(1 << 20)
    for number in range(count):
        path = folder / f"share{number // 2000:02d}" / f"package-{number // 40 % 50:02d}" / f"file-{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = min(int(source.paretovariate(0.9) * mean / 12), 1 << 20)
        path.write_bytes(pattern[:size])
        if number % 25 == 0:
            os.symlink(path.name, path.with_suffix(".link"))


@case
def make_fs(options):
    """A filesystem of 50,000 files from a directory."""
    many_files(options.dir / "root", 50000, 14000)
    compare(
        "ext4 of 50,000 files",
        f"{DISKSMITH} make-fs -q --type ext4 --size 3G root our.img",
        ["truncate -s 3G peer.img && mke2fs -q -t ext4 -d root peer.img"],
        options.dir, options.runs, before="rm -f our.img peer.img",
    )
