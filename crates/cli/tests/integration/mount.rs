//! Mounts, judged by the kernel's own ext4 on a loop mount, by e2fsck, and by what was said to be durable.

use crate::lab::{Lab, judges, long, may_mount};
use crate::small_guest::{Layout, make};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whether mounts can be made here. The same rule as for [`judges`].
fn may_fuse() -> bool {
    if Path::new("/dev/fuse").exists() && may_mount() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "these tests need root and /dev/fuse"
    );
    eprintln!("SKIPPED, for want of root and /dev/fuse");
    false
}

/// A mount that does not outlive its test.
struct Mounted<'a> {
    lab: &'a Lab,
    place: PathBuf,
    pid: u32,
}

impl<'a> Mounted<'a> {
    /// Mounts with these arguments at `name` in the lab.
    #[track_caller]
    fn new(lab: &'a Lab, name: &str, arguments: &str) -> Self {
        let place = lab.path(name);
        std::fs::create_dir_all(&place).unwrap();
        let said = lab
            .disksmith(&format!("mount {arguments} --json-ready {name}"))
            .ok();
        let ready: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(ready["mounted"], place.canonicalize().unwrap().to_str().unwrap());
        Self {
            lab,
            place,
            pid: u32::try_from(ready["pid"].as_u64().unwrap()).unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Runs one of the programs beside these tests, and gives what it says.
    #[track_caller]
    fn python(&self, program: &str, arguments: &[&str]) -> String {
        python(self.lab, program, arguments)
    }

    #[track_caller]
    fn umount(self) {
        let said = self.lab.disksmith_args(&["umount", self.place.to_str().unwrap()]);
        assert_eq!(said.status, 0, "{said:?}");
        assert!(!self.is_alive());
    }

    /// One that has ended, and whose parent has not asked how, is not alive.
    fn is_alive(&self) -> bool {
        Path::new(&format!("/proc/{}/exe", self.pid)).exists()
    }

    fn kill(&self) {
        let _ = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
        let until = Instant::now() + Duration::from_secs(10);
        while self.is_alive() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if mounted.contains(self.place.to_str().unwrap()) {
            let _ = Command::new("umount")
                .arg("-l")
                .arg(&self.place)
                .stderr(Stdio::null())
                .status();
            let until = Instant::now() + Duration::from_secs(10);
            while self.is_alive() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.kill();
        }
    }
}

fn program(name: &str) -> String {
    format!("{}/tests/mount/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn python(lab: &Lab, name: &str, arguments: &[&str]) -> String {
    let mut words = vec!["python3".to_owned(), program(name)];
    words.extend(arguments.iter().map(|a| (*a).to_owned()));
    lab.tool_args(&words).ok()
}

/// An image that holds an empty filesystem.
fn empty(lab: &Lab, image: &str, options: &str) {
    let raw = lab.path("empty.raw");
    std::fs::File::create(&raw).unwrap().set_len(256 << 20).unwrap();
    lab.tool(&format!("mke2fs -q -F -t ext4 {options} {}", raw.display()))
        .ok();
    let format = image.rsplit('.').next().unwrap();
    lab.tool(&format!(
        "qemu-img convert -f raw -O {format} {} {image}",
        raw.display()
    ))
    .ok();
    std::fs::remove_file(raw).unwrap();
}

/// The kernel's own mount of a fresh copy of an image, which is taken away again.
struct KernelMount<'a> {
    lab: &'a Lab,
    place: PathBuf,
}

impl<'a> KernelMount<'a> {
    fn new(lab: &'a Lab, raw: &str) -> Self {
        let place = lab.path("kernel");
        std::fs::create_dir_all(&place).unwrap();
        lab.tool(&format!("mount -o loop,noatime {raw} {}", place.display()))
            .ok();
        Self { lab, place }
    }
}

impl Drop for KernelMount<'_> {
    fn drop(&mut self) {
        let _ = self.lab.tool(&format!("umount -l {}", self.place.display()));
    }
}

#[test]
fn a_guest_is_shown_and_left_as_it_was() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "sfdisk"]) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "guest.qcow2", Layout::Gpt, "");
    let before = lab.read("guest.qcow2");
    let one = Mounted::new(&lab, "one", "-a guest.qcow2");
    let two = Mounted::new(&lab, "two", "-a guest.qcow2 -m /dev/sda1");
    for mount in [&one, &two] {
        assert_eq!(
            std::fs::read_to_string(mount.path("etc/hostname")).unwrap(),
            "template\n"
        );
        assert_eq!(
            std::fs::read_to_string(mount.path("etc/timezone")).unwrap(),
            "Etc/UTC\n"
        );
        assert_eq!(std::fs::read_dir(mount.path("usr/share")).unwrap().count(), 201);
        let refused = std::fs::write(mount.path("etc/new"), "x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(30));
    }
    assert!(
        lab.disksmith("umount two/etc")
            .fails(1)
            .contains("nothing is mounted")
    );
    let busy = std::fs::File::open(one.path("etc/hostname")).unwrap();
    assert!(lab.disksmith("umount one").fails(5).contains("busy"));
    drop(busy);
    one.umount();
    two.umount();
    assert!(lab.read("guest.qcow2") == before);
    assert!(
        lab.disksmith("mount -a guest.qcow2 missing")
            .fails(2)
            .contains("missing")
    );
    assert!(
        lab.disksmith("mount -a none.qcow2 one")
            .fails(1)
            .contains("none.qcow2")
    );
}

#[test]
fn changes_are_kept_or_put_aside_or_thrown_away() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "sfdisk", "e2fsck"]) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "guest.qcow2", Layout::Gpt, "");
    let offset = Layout::Gpt.root_offset();
    let before = lab.read("guest.qcow2");

    let mount = Mounted::new(&lab, "m", "-a guest.qcow2 --discard-on-unmount");
    std::fs::write(mount.path("etc/hostname"), "gone\n").unwrap();
    std::fs::File::open(mount.path("etc"))
        .unwrap()
        .sync_all()
        .unwrap();
    mount.umount();
    assert!(lab.read("guest.qcow2") == before);

    let mount = Mounted::new(&lab, "m", "-a guest.qcow2 --overlay over.qcow2");
    std::fs::write(mount.path("etc/hostname"), "over\n").unwrap();
    mount.umount();
    assert!(lab.read("guest.qcow2") == before);
    lab.qemu_check("over.qcow2");
    lab.e2fsck("over.qcow2", offset);
    assert_eq!(lab.disksmith("cat -a over.qcow2 /etc/hostname").ok(), "over\n");
    std::fs::remove_file(lab.path("over.qcow2")).unwrap();

    let mount = Mounted::new(&lab, "m", "-a guest.qcow2 --rw --pid-file pid");
    assert_eq!(
        std::fs::read_to_string(lab.path("pid")).unwrap(),
        format!("{}\n", mount.pid)
    );
    std::fs::write(mount.path("etc/hostname"), "kept\n").unwrap();
    // umount(8) does not wait, and the file tells when all is done
    lab.tool_args(&["umount", mount.place.to_str().unwrap()]).ok();
    let until = Instant::now() + Duration::from_secs(20);
    while lab.path("pid").exists() {
        assert!(Instant::now() < until, "the mount does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    lab.qemu_check("guest.qcow2");
    lab.e2fsck("guest.qcow2", offset);
    assert_eq!(lab.disksmith("cat -a guest.qcow2 /etc/hostname").ok(), "kept\n");

    // a signal ends it as well
    std::fs::create_dir_all(lab.path("f")).unwrap();
    let mut child = lab
        .command(&[
            "mount",
            "-a",
            "guest.qcow2",
            "--rw",
            "--foreground",
            "--json-ready",
            "f",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    assert!(line.contains("\"writable\":true"), "{line}");
    std::fs::write(lab.path("f/etc/hostname"), "signal\n").unwrap();
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(lab.disksmith("cat -a guest.qcow2 /etc/hostname").ok(), "signal\n");
    lab.e2fsck("guest.qcow2", offset);
}

#[test]
fn it_behaves_like_the_kernels_own_mount() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck", "python3"]) {
        return;
    }
    let lab = Lab::new();
    empty(&lab, "image.raw", "-b 4096");
    std::fs::copy(lab.path("image.raw"), lab.path("other.raw")).unwrap();
    let kernel = KernelMount::new(&lab, "other.raw");
    let mount = Mounted::new(
        &lab,
        "m",
        "-a image.raw -m /dev/sda --rw --allow-other -o dev,suid",
    );
    // others must be able to come in
    lab.tool_args(&["chmod", "755", lab.path(".").to_str().unwrap()])
        .ok();
    let expected = python(&lab, "posix_table.py", &[kernel.place.to_str().unwrap()]);
    let told = mount.python("posix_table.py", &[mount.place.to_str().unwrap()]);
    assert!(expected.lines().count() > 500, "{expected}");
    for (expected, told) in expected.lines().zip(told.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.lines().count(), expected.lines().count());
    for seed in 0..if long() { 50 } else { 3 } {
        let trees = [&mount.place, &kernel.place].map(|place| {
            let dir = place.join(format!("seed-{seed}"));
            std::fs::create_dir(&dir).unwrap();
            python(
                &lab,
                "random_tree.py",
                &[&seed.to_string(), "1500", dir.to_str().unwrap()],
            )
        });
        assert_eq!(trees[0], trees[1], "seed {seed}");
    }
    drop(kernel);
    mount.umount();
    lab.e2fsck("image.raw", 0);
}

#[test]
fn random_changes_of_files_are_what_the_kernel_reads_afterwards() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck", "python3"]) {
        return;
    }
    let steps = if long() { "100000" } else { "600" };
    for (image, options) in [
        ("a.qcow2", "-b 4096"),
        ("b.qcow2", "-b 1024 -O ^extents,^64bit,^metadata_csum"),
        ("c.raw", "-b 4096 -O inline_data,bigalloc -C 16384"),
    ] {
        let lab = Lab::new();
        empty(&lab, image, options);
        let mount = Mounted::new(&lab, "m", &format!("-a {image} -m /dev/sda --rw"));
        let told = mount.python("random_file.py", &[mount.place.to_str().unwrap(), "7", steps]);
        mount.umount();
        lab.e2fsck(image, 0);
        lab.kernel_mount(image, 0, |root| {
            for line in told.lines() {
                let mut words = line.split(' ');
                let path = root.join(words.next().unwrap());
                assert_eq!(path.metadata().unwrap().len().to_string(), words.next().unwrap());
                let said = lab.tool_args(&["sha256sum", path.to_str().unwrap()]).ok();
                assert_eq!(said.split(' ').next(), words.next());
            }
        });
    }
}

#[test]
fn a_killed_mount_leaves_what_was_synced() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck", "python3"]) {
        return;
    }
    for round in 0..if long() { 100 } else { 3 } {
        let image = if round % 2 == 0 { "a.qcow2" } else { "a.raw" };
        let lab = Lab::new();
        empty(&lab, image, "-b 4096");
        let mount = Mounted::new(&lab, "m", &format!("-a {image} -m /dev/sda --rw"));
        let done = std::fs::File::create(lab.path("done")).unwrap();
        let mut writer = Command::new("python3")
            .arg(program("synced_files.py"))
            .args([mount.path("new").to_str().unwrap(), "100000", "3"])
            .stdout(done)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let enough = 30 + 20 * (round % 7);
        let until = Instant::now() + Duration::from_secs(30);
        while lab.read("done").len() < enough && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(7));
        }
        mount.kill();
        let _ = writer.kill();
        writer.wait().unwrap();
        drop(mount);
        lab.disksmith(&format!("recover {image}")).ok();
        if image.ends_with("qcow2") {
            lab.qemu_check(image);
        }
        lab.e2fsck(image, 0);
        let done = String::from_utf8(lab.read("done")).unwrap();
        assert!(!done.is_empty(), "nothing was synced");
        lab.kernel_mount(image, 0, |root| {
            for line in done.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')) {
                let (number, size) = line.split_once(' ').unwrap();
                let held = std::fs::read(root.join(format!("new/f{number}"))).unwrap();
                assert_eq!(held.len().to_string(), size, "file {number}");
                assert!(held.starts_with(format!("file {number}\n").as_bytes()));
            }
        });
    }
}

#[test]
fn files_in_use_without_a_name_are_not_committed() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck"]) {
        return;
    }
    let lab = Lab::new();
    empty(&lab, "a.qcow2", "-b 1024 -O quota,project -I 256");
    let mount = Mounted::new(&lab, "m", "-a a.qcow2 -m /dev/sda --rw");
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(mount.path("file"))
        .unwrap();
    use std::os::unix::fs::{FileExt, MetadataExt};
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    file.write_all_at(&data, 0).unwrap();
    std::fs::create_dir(mount.path("dir")).unwrap();
    let dir = std::fs::File::open(mount.path("dir")).unwrap();
    std::fs::remove_file(mount.path("file")).unwrap();
    std::fs::remove_dir(mount.path("dir")).unwrap();
    std::fs::write(mount.path("other"), "here").unwrap();
    for round in 0..3u64 {
        // each time it is out of what is committed, and here all the same
        file.sync_all().unwrap();
        lab.e2fsck("a.qcow2", 0);
        file.write_all_at(b"again", round * 700_000).unwrap();
        std::fs::write(mount.path(&format!("more-{round}")), vec![1; 200_000]).unwrap();
    }
    let mut held = vec![0; data.len()];
    file.read_exact_at(&mut held, 0).unwrap();
    let mut expected = data.clone();
    for round in 0..3 {
        expected[round * 700_000..][..5].copy_from_slice(b"again");
    }
    assert!(held == expected);
    assert_eq!(
        (file.metadata().unwrap().nlink(), dir.metadata().unwrap().nlink()),
        (0, 0)
    );
    file.sync_all().unwrap();
    drop((file, dir));
    std::fs::write(mount.path("last"), "x").unwrap();
    std::fs::File::open(mount.path("last"))
        .unwrap()
        .sync_all()
        .unwrap();
    mount.kill();
    drop(mount);
    lab.qemu_check("a.qcow2");
    lab.e2fsck("a.qcow2", 0);
    lab.kernel_mount("a.qcow2", 0, |root| {
        let mut names: Vec<_> = std::fs::read_dir(root)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["last", "lost+found", "more-0", "more-1", "more-2", "other"]
        );
    });
}

#[test]
fn a_fat_volume_is_mounted_too() {
    if !may_fuse() || !judges(&["mkfs.vfat", "fsck.vfat"]) {
        return;
    }
    let lab = Lab::new();
    lab.tool("truncate -s 64M a.raw").ok();
    lab.tool("mkfs.vfat -F 32 a.raw").ok();
    let mount = Mounted::new(&lab, "m", "-a a.raw -m /dev/sda --rw");
    for round in 0..50u8 {
        // the same place in the directory, and another file each time, while somebody may still hold the one before
        let path = mount.path("a file with a long name.txt");
        let before = std::fs::File::open(&path);
        std::fs::write(mount.path("new"), vec![round; 5000 + usize::from(round)]).unwrap();
        std::fs::rename(mount.path("new"), &path).unwrap();
        assert_eq!(
            std::fs::read(&path).unwrap(),
            vec![round; 5000 + usize::from(round)]
        );
        drop(before);
        if round % 3 == 0 {
            std::fs::remove_file(&path).unwrap();
            assert!(!path.exists());
        }
    }
    std::fs::create_dir(mount.path("EFI")).unwrap();
    for number in 0..100 {
        std::fs::write(mount.path(&format!("EFI/file-{number}")), format!("{number}")).unwrap();
    }
    std::fs::remove_file(mount.path("EFI/file-7")).unwrap();
    assert_eq!(std::fs::read_dir(mount.path("EFI")).unwrap().count(), 99);
    let refused = std::os::unix::fs::symlink("x", mount.path("link")).unwrap_err();
    assert!(matches!(refused.raw_os_error(), Some(1 | 95)), "{refused}");
    assert!(std::fs::remove_dir(mount.path("EFI")).is_err());
    std::fs::write(mount.path("EFI/file-8"), "8 again").unwrap();
    mount.umount();
    let said = lab.tool("fsck.vfat -n -v a.raw").ok();
    assert!(
        !said.contains("Dirty bit") && said.contains("101 files"),
        "{said}"
    );
    assert_eq!(
        lab.disksmith("cat -a a.raw -m /dev/sda /EFI/file-8").ok(),
        "8 again"
    );
}

#[test]
fn a_full_host_is_told_and_nothing_committed_is_lost() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck", "python3"]) {
        return;
    }
    struct Small<'a>(&'a Lab);
    impl Drop for Small<'_> {
        fn drop(&mut self) {
            let _ = self.0.tool("umount -l small");
        }
    }
    let lab = Lab::new();
    empty(&lab, "a.qcow2", "-b 4096");
    std::fs::create_dir(lab.path("small")).unwrap();
    lab.tool("mount -t tmpfs -o size=6m none small").ok();
    let small = Small(&lab);
    std::fs::copy(lab.path("a.qcow2"), lab.path("small/a.qcow2")).unwrap();
    let mount = Mounted::new(&lab, "m", "-a small/a.qcow2 -m /dev/sda --rw");
    let first = std::fs::File::create(mount.path("first")).unwrap();
    std::io::Write::write_all(&mut &first, &[b'1'; 1000]).unwrap();
    first.sync_all().unwrap();
    let big = std::fs::File::create(mount.path("big")).unwrap();
    let noise: Vec<u8> = (0..1u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let failed = (0..40)
        .map(|_| std::io::Write::write_all(&mut &big, &noise))
        .find_map(Result::err)
        .or_else(|| big.sync_all().err())
        .unwrap();
    assert_eq!(failed.raw_os_error(), Some(28), "{failed}");
    assert_eq!(std::fs::read(mount.path("first")).unwrap(), vec![b'1'; 1000]);
    drop((first, big));
    let said = lab.disksmith("umount m");
    assert_eq!(said.status, 7, "{said:?}");
    drop(mount);
    std::fs::copy(lab.path("small/a.qcow2"), lab.path("after.qcow2")).unwrap();
    drop(small);
    lab.qemu_check("after.qcow2");
    lab.e2fsck("after.qcow2", 0);
    lab.kernel_mount("after.qcow2", 0, |root| {
        assert_eq!(std::fs::read(root.join("first")).unwrap(), vec![b'1'; 1000]);
        assert!(!root.join("big").exists());
    });
}

#[test]
fn another_user_mounts_and_writes_as_root_of_the_guest() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck", "setpriv", "fusermount3"]) {
        return;
    }
    let lab = Lab::new();
    empty(&lab, "a.qcow2", "-b 4096");
    for name in [".", "m", "a.qcow2"] {
        std::fs::create_dir_all(lab.path("m")).unwrap();
        lab.tool_args(&["chown", "65534:65534", lab.path(name).to_str().unwrap()])
            .ok();
    }
    // the program itself may lie where this user cannot go
    let program = lab.path("disksmith");
    std::fs::copy(env!("CARGO_BIN_EXE_disksmith"), &program).unwrap();
    let script = "set -e; ./disksmith mount -a a.qcow2 -m /dev/sda --rw --map-owner m
        stat -c '%u %g' m; echo text > m/new; mkdir m/dir; stat -c '%u %g' m/new; ls -d m/lost+found/.
        ./disksmith umount m";
    let said = lab.tool_args(&[
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "env",
        "-u",
        "XDG_RUNTIME_DIR",
        "sh",
        "-c",
        script,
    ]);
    if said.status != 0 {
        let _ = lab.tool("umount -l m");
    }
    assert_eq!(said.ok(), "65534 65534\n65534 65534\nm/lost+found/.\n");
    lab.e2fsck("a.qcow2", 0);
    lab.kernel_mount("a.qcow2", 0, |root| {
        use std::os::unix::fs::MetadataExt;
        for name in ["new", "dir"] {
            let metadata = root.join(name).metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (0, 0));
        }
    });
}

#[test]
fn guestmount_and_guestunmount() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "sfdisk", "e2fsck"]) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "guest.qcow2", Layout::Gpt, "");
    std::fs::create_dir_all(lab.path("m")).unwrap();
    for (line, text) in [
        ("guestmount", "you must specify at least one -a or -d option"),
        (
            "guestmount -a guest.qcow2 m",
            "you must specify either -i at least one -m option",
        ),
        ("guestmount -a guest.qcow2 -i", "you must specify a mountpoint"),
        (
            "guestmount -a guest.qcow2 -i --ro --rw m",
            "cannot mix --ro and --rw options",
        ),
        (
            "guestmount -a none.qcow2 -i m",
            "access: none.qcow2: No such file or directory",
        ),
        (
            "guestunmount",
            "you must specify a mountpoint in the host filesystem",
        ),
        ("guestunmount --retry=x m", "cannot parse retries option"),
    ] {
        assert!(lab.disksmith(line).fails(1).contains(text), "{line}");
    }
    assert!(
        lab.disksmith("guestunmount --no-retry m")
            .fails(3)
            .contains("not mounted")
    );
    lab.disksmith("guestmount -a guest.qcow2 -i --ro m").ok();
    let there = std::fs::read_to_string(lab.path("m/etc/hostname"));
    lab.disksmith("guestunmount m").ok();
    assert_eq!(there.unwrap(), "template\n");
    lab.disksmith(
        "guestmount -a guest.qcow2 -m /dev/sda1 --rw --pid-file pid -o allow_other,attr_timeout=1 m",
    )
    .ok();
    let written = std::fs::write(lab.path("m/etc/hostname"), "mounted\n");
    let busy = std::fs::File::open(lab.path("m/etc/hostname"));
    let refused = lab.disksmith("guestunmount -q --no-retry m");
    drop(busy);
    lab.disksmith("guestunmount m").ok();
    written.unwrap();
    assert_eq!((refused.status, refused.stderr.as_str()), (2, ""));
    assert!(!lab.path("pid").exists());
    lab.e2fsck("guest.qcow2", Layout::Gpt.root_offset());
    assert_eq!(
        lab.disksmith("cat -a guest.qcow2 /etc/hostname").ok(),
        "mounted\n"
    );
}

#[test]
fn where_a_commit_lacks_space_nothing_is_lost_while_it_stays_mounted() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "e2fsck"]) {
        return;
    }
    struct Small<'a>(&'a Lab);
    impl Drop for Small<'_> {
        fn drop(&mut self) {
            let _ = self.0.tool("umount -l small");
        }
    }
    let lab = Lab::new();
    empty(&lab, "a.qcow2", "-b 4096");
    lab.tool("qemu-img convert -f qcow2 -O raw a.qcow2 b.raw").ok();
    std::fs::create_dir(lab.path("small")).unwrap();
    for image in ["a.qcow2", "b.raw"] {
        lab.tool("mount -t tmpfs -o size=12m none small").ok();
        let small = Small(&lab);
        lab.tool(&format!("cp --sparse=always {image} small/image")).ok();
        let contents: Vec<u8> = (0..3u32 << 20)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let mount = Mounted::new(
            &lab,
            "m",
            "-a small/image -m /dev/sda --rw --log-file log --commit-interval 3600",
        );
        let mut filler = std::fs::File::create(lab.path("small/filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
        drop(filler);
        let mut big = std::fs::File::create(mount.path("big")).unwrap();
        // Large writes would be told at once.
        for part in contents.chunks(60_000) {
            std::io::Write::write_all(&mut big, part).unwrap();
        }
        let failed = big.sync_all().unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(28), "{image}: {failed}");
        drop(big);
        let said = lab.disksmith("umount m");
        assert_eq!(said.status, 7, "{said:?}");
        assert!(said.stderr.contains("stays mounted"), "{said:?}");
        assert!(said.stderr.contains("make room"), "{said:?}");
        let log = std::fs::read_to_string(lab.path("log")).unwrap();
        assert!(log.contains("No space left"), "{log}");
        assert!(std::fs::read(mount.path("big")).unwrap() == contents);
        std::fs::write(mount.path("more"), b"more").unwrap();
        std::fs::remove_file(lab.path("small/filler")).unwrap();
        mount.umount();
        lab.tool("cp --sparse=always small/image after").ok();
        drop(small);
        lab.e2fsck("after", 0);
        lab.kernel_mount("after", 0, |root| {
            assert!(std::fs::read(root.join("big")).unwrap() == contents);
            assert_eq!(std::fs::read(root.join("more")).unwrap(), b"more");
        });
    }
}

#[test]
fn a_mount_says_why_it_cannot_be_as_asked() {
    if !may_fuse() || !judges(&["qemu-img", "mke2fs", "debugfs"]) {
        return;
    }
    let lab = Lab::new();
    lab.tool("truncate -s 32M a.raw").ok();
    lab.tool("mke2fs -q -F -t ext4 a.raw").ok();
    std::fs::write(lab.path("over.qcow2"), "mine").unwrap();
    std::fs::create_dir(lab.path("m")).unwrap();
    let said = lab.disksmith("mount -a a.raw -m /dev/sda --overlay over.qcow2 --force m");
    assert_eq!(said.status, 6, "{said:?}");
    assert!(!said.stderr.contains("--force"), "{said:?}");
    assert_eq!(std::fs::read(lab.path("over.qcow2")).unwrap(), b"mine");

    let said = lab
        .disksmith("mount -a a.raw -m /dev/sda -o noatime,nonsense m")
        .fails(1);
    assert!(
        said.contains("refuses one of these options: nonsense\n"),
        "{said}"
    );

    let mount = Mounted::new(&lab, "m", "-a a.raw -m /dev/sda --rw");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", mount.pid)).unwrap();
    assert_eq!(name, "disksmith\n");
    mount.umount();

    let _ = lab.tool_args(&["debugfs", "-w", "-R", "ssv journal_inum 0", "a.raw"]);
    let said = lab.disksmith("mount -a a.raw -m /dev/sda --rw m");
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        said.stderr
            .contains("/dev/sda can only be read: its journal is on another device"),
        "{said:?}"
    );
    lab.disksmith("umount m").ok();
}
