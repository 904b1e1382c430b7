"""Whole images, against qemu-img."""
import random
import subprocess

from timing import DISKSMITH, case, compare, prepared


def filled(path, size, share, seed=1):
    """A sparse raw file of which `share` per cent holds data, in runs of 1 MiB; half of it compresses well."""
    if path.exists():
        return
    source = random.Random(seed)
    with open(path, "wb") as file:
        file.truncate(size)
        for offset in range(0, size, 1 << 20):
            if source.random() * 100 < share:
                file.seek(offset)
                file.write(source.randbytes(1 << 19) + (b"disksmith and its peers " * 21846)[: 1 << 19])


@case
def info(options):
    folder = options.dir
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "big.qcow2", "15T"], cwd=folder, check=True)
    compare("info, 15 TiB sparse", [DISKSMITH, "info", "big.qcow2"], [["qemu-img", "info", "big.qcow2"]], folder, options.runs)


@case
def clones(options):
    folder = options.dir
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "base.qcow2", "20G"], cwd=folder, check=True)
    compare(
        "1000 linked clones",
        [DISKSMITH, "clone", "-q", "--count", "1000", "base.qcow2", "fleet/vm-%04d.qcow2"],
        ["for i in $(seq 1000); do qemu-img create -q -f qcow2 -b ../base.qcow2 -F qcow2 fleet/p-$i.qcow2; done"],
        folder,
        min(options.runs, 5),
        before="rm -rf fleet; mkdir fleet",
    )


def convert(options, name, source, target, ours, flags):
    # Not -t none: it is never the fastest while the page cache has room, and leaves none warm for the one behind it.
    peers = [f"qemu-img convert {f} {flags} {source} peer.out" for f in ("", "-W", "-m 16 -W")]
    compare(
        name,
        [DISKSMITH, "convert", "-q", *ours.split(), source, "our.out"],
        peers,
        options.dir,
        options.runs,
        before="rm -f our.out peer.out",
    )


@case
def convert_raw_qcow2(options):
    for share in (0, 50, 100):
        filled(options.dir / f"data{share}.raw", options.size, share)
        convert(options, f"convert raw to qcow2, {share} % data", f"data{share}.raw", "", "-O qcow2", "-f raw -O qcow2")


@case
def convert_qcow2_raw(options):
    for share in (0, 50, 100):
        data_images(options, share)
        convert(options, f"convert qcow2 to raw, {share} % data", f"data{share}.qcow2", "", "-O raw", "-f qcow2 -O raw")


@case
def convert_compressed(options):
    filled(options.dir / "data50.raw", options.size, 50)
    convert(options, "convert raw to zlib qcow2", "data50.raw", "", "-O qcow2 -c", "-f raw -O qcow2 -c")
    convert(
        options, "convert raw to zstd qcow2", "data50.raw", "", "-O qcow2 -c -o compression_type=zstd",
        "-f raw -O qcow2 -c -o compression_type=zstd",
    )


def data_images(options, share):
    """data<share>.raw and the same as qcow2."""
    filled(options.dir / f"data{share}.raw", options.size, share)
    prepared(options, f"data{share}.qcow2", f"qemu-img convert -f raw -O qcow2 data{share}.raw data{share}.qcow2")


def chain(options, length=10):
    """chain0.raw below chain1.qcow2 and so on; every layer holds its share of the data."""
    filled(options.dir / "chain0.raw", options.size, 20)
    megabytes = options.size >> 20
    for layer in range(1, length + 1):
        below, form = (f"chain{layer - 1}.qcow2", "qcow2") if layer > 1 else ("chain0.raw", "raw")
        source = random.Random(layer)
        writes = " ".join(
            f"-c 'write -P {layer} {source.randrange(megabytes)}M 1M'" for _ in range(max(1, megabytes // 32))
        )
        prepared(
            options, f"chain{layer}.qcow2",
            f"qemu-img create -q -f qcow2 -b {below} -F {form} chain{layer}.qcow2",
            f"qemu-io -f qcow2 {writes} chain{layer}.qcow2",
        )
    return f"chain{length}.qcow2"


@case
def create(options):
    make = "create -q -f qcow2 {} 100G"
    compare("create qcow2 of 100 GiB", [DISKSMITH, *make.format("our.out").split(), "--force"],
            ["qemu-img " + make.format("peer.out")], options.dir, options.runs, before="rm -f our.out peer.out")


def sparse_100g(options):
    """100 GiB virtual, 8 GiB of it allocated, in runs of 1 MiB, with the data left as holes."""
    prepared(
        options, "wide.qcow2",
        "qemu-img create -q -f qcow2 -o preallocation=metadata wide.qcow2 8G",
        "qemu-img resize -q wide.qcow2 100G",
    )


@case
def check(options):
    sparse_100g(options)
    compare("check, 100 GiB, 8 GiB allocated", [DISKSMITH, "check", "wide.qcow2"], ["qemu-img check wide.qcow2"],
            options.dir, options.runs)


@case
def map(options):
    sparse_100g(options)
    compare("map, 100 GiB, 8 GiB allocated", [DISKSMITH, "map", "wide.qcow2"], ["qemu-img map wide.qcow2"],
            options.dir, options.runs)
    top = chain(options)
    compare("map, chain of 10", [DISKSMITH, "map", top], [f"qemu-img map {top}"], options.dir, options.runs)


@case
def convert_qcow2_qcow2(options):
    for share in (0, 50, 100):
        data_images(options, share)
        convert(options, f"convert qcow2 to qcow2, {share} % data", f"data{share}.qcow2", "", "-O qcow2", "-f qcow2 -O qcow2")


@case
def convert_chain(options):
    top = chain(options)
    for form in ("raw", "qcow2"):
        convert(options, f"convert chain of 10 to {form}", top, "", f"-O {form}", f"-f qcow2 -O {form}")


@case
def convert_from_compressed(options):
    data_images(options, 50)
    for kind in ("zlib", "zstd"):
        prepared(options, f"{kind}.qcow2",
                 f"qemu-img convert -f raw -O qcow2 -c -o compression_type={kind} data50.raw {kind}.qcow2")
        convert(options, f"convert {kind} qcow2 to raw", f"{kind}.qcow2", "", "-O raw", "-f qcow2 -O raw")


@case
def compare_images(options):
    data_images(options, 50)
    compare("compare raw with qcow2, equal", [DISKSMITH, "compare", "-q", "data50.raw", "data50.qcow2"],
            ["qemu-img compare -q -f raw -F qcow2 data50.raw data50.qcow2"], options.dir, options.runs)


def overlay(options):
    data_images(options, 50)
    prepared(
        options, "over.qcow2",
        "qemu-img create -q -f qcow2 -b data50.qcow2 -F qcow2 over.qcow2",
        f"qemu-io -f qcow2 -c 'write -P 7 0 {options.size >> 22}M' over.qcow2",
    )


@case
def commit(options):
    overlay(options)
    step = (
        "for f in our peer; do cp --reflink=auto data50.qcow2 $f-base.qcow2; cp --reflink=auto over.qcow2 $f-over.qcow2;"
        " qemu-img rebase -u -f qcow2 -b $f-base.qcow2 -F qcow2 $f-over.qcow2; done; sync"
    )
    compare("commit, a quarter of the disk", [DISKSMITH, "qemu-img", "commit", "-q", "our-over.qcow2"],
            ["qemu-img commit -q peer-over.qcow2", "qemu-img commit -q -t unsafe peer-over.qcow2"],
            options.dir, options.runs, before=step)


@case
def rebase(options):
    overlay(options)
    step = (
        "for f in our peer; do cp --reflink=auto over.qcow2 $f-over.qcow2;"
        " qemu-img create -q -f qcow2 -b data50.qcow2 -F qcow2 $f-new.qcow2;"
        f" qemu-io -f qcow2 -c 'write -P 9 {options.size >> 21}M 64M' $f-new.qcow2; done; sync"
    )
    for name, to in (("rebase to another base", "-b {}-new.qcow2 -F qcow2"), ("rebase to none (flatten)", "-b ''")):
        peer = "qemu-img rebase -q " + to.format("peer") + " peer-over.qcow2"
        ours = f"{DISKSMITH} qemu-img rebase -q " + to.format("our") + " our-over.qcow2"
        compare(name, ours, [peer], options.dir, options.runs, before=step)


@case
def snapshots(options):
    data_images(options, 50)
    copies = "for f in our peer; do cp --reflink=auto data50.qcow2 $f.qcow2; done; sync"
    compare("snapshot create", [DISKSMITH, "qemu-img", "snapshot", "-c", "s", "our.qcow2"],
            ["qemu-img snapshot -c s peer.qcow2"], options.dir, options.runs, before=copies)
    taken = copies + "; for f in our peer; do qemu-img snapshot -c s $f.qcow2; done; sync"
    compare("snapshot delete", [DISKSMITH, "qemu-img", "snapshot", "-d", "s", "our.qcow2"],
            ["qemu-img snapshot -d s peer.qcow2"], options.dir, options.runs, before=taken)
