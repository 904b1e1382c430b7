"""Seeds, ISO images and FAT volumes, against genisoimage, mkfs.vfat and mtools."""
import random
import shutil
from pathlib import Path

from timing import DISKSMITH, case, compare, reset, run


@case
def seed(options):
    folder = options.dir
    (folder / "user-data").write_text("#cloud-config\nhostname: web1\npackages: [nginx]\n")
    (folder / "meta-data").write_text("instance-id: web1\n")
    peers = [
        "genisoimage -quiet -output peer.iso -volid cidata -joliet -rock user-data meta-data",
        "xorriso -as mkisofs -quiet -o peer.iso -V cidata -J -R user-data meta-data",
    ]
    script = Path.home() / ".cache/disksmith-judges/cloud-image-utils/usr/bin/cloud-localds"
    if script.exists():
        peers.append(f"{script} peer.iso user-data meta-data")
    compare(
        "seed ISO",
        [DISKSMITH, "seed", "our.iso", "--user-data", "user-data", "--meta-data", "meta-data", "--force", "-q"],
        peers,
        folder,
        options.runs,
        before="rm -f our.iso peer.iso",
    )


@case
def iso_tree(options):
    """A tree of 20,000 small files as an ISO image: what counts is the work for each name and each file."""
    tree = options.dir / "iso-tree"
    if not tree.exists():
        source = random.Random(1)
        for number in range(20000):
            folder = tree / f"pkg{number // 1000:02d}" / f"sub-{number // 50 % 20:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            size = source.choice([300, 2000, 5000, 9000, 20000, 55000])
            (folder / f"some-file-{number % 50:03d}.conf").write_bytes(source.randbytes(size))
    compare(
        "ISO of 20,000 files, 300 MB",
        [DISKSMITH, "genisoimage", "-quiet", "-J", "-R", "-o", "our.iso", "iso-tree"],
        ["genisoimage -quiet -J -R -o peer.iso iso-tree", "xorriso -as mkisofs -quiet -J -R -o peer.iso iso-tree"],
        options.dir,
        options.runs,
        before="rm -f our.iso peer.iso",
    )


@case
def seed_fleet(options):
    """A seed for each row of a table, against the tools that make one seed a call."""
    folder, rows = options.dir, 3000
    (folder / "user-data").write_text("#cloud-config\nhostname: web\npackages: [nginx]\n")
    (folder / "meta-data").write_text("instance-id: web\n")
    (folder / "blank").write_text("#cloud-config\nfqdn: @{name}.example.com\npackages: [nginx]\nruncmd:\n- [echo, '@{ip}']\n")
    table = "name,ip\n" + "".join(f"web{n},10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(rows))
    (folder / "hosts.csv").write_text(table)
    ours = [DISKSMITH, "seed", "fleet/@{name}.iso", "--each", "hosts.csv", "-u", "blank", "-H", "@{name}", "-q"]
    compare(
        f"{rows} seeds from a table", ours,
        [f"for i in $(seq {rows}); do genisoimage -quiet -output fleet/p$i.iso -volid cidata -joliet -rock user-data meta-data; done"],
        folder, min(options.runs, 3), before="rm -rf fleet; mkdir fleet",
    )
    reset("rm -rf fleet; mkdir fleet", folder)
    print(f"{'':<34} disksmith {rows / run(ours, folder).wall:9.0f} seeds a second", flush=True)
    shutil.rmtree(folder / "fleet")


def small_files(folder, count=5000):
    """A tree of many small files."""
    if folder.exists():
        return
    source = random.Random(5)
    for number in range(count):
        path = folder / f"folder {number // 100:02d}" / f"file-{number:04d}-with-a-long-name.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(source.randrange(100, 8000)))


@case
def vfat(options):
    """A volume of 64 MiB with 5,000 files: made in one pass, and by the same two commands."""
    folder = options.dir
    small_files(folder / "tree")
    peer = "truncate -s 64M peer.img && mkfs.vfat peer.img && mcopy -s -i peer.img tree ::"
    clean = "rm -f our.img peer.img"
    compare("VFAT with 5000 files, fat create", [DISKSMITH, "fat", "create", "our.img", "-s", "64M", "tree"],
            [peer], folder, options.runs, before=clean)
    faces = "truncate -s 64M our.img && {0} mkfs.vfat our.img && {0} mcopy -s -i our.img tree ::".format(DISKSMITH)
    compare("VFAT with 5000 files, the faces", faces, [peer], folder, options.runs, before=clean)
