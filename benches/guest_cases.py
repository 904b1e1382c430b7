"""Guests: looking into them and editing them."""
from pathlib import Path

from timing import DISKSMITH, case, compare

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
