//! The whole stack on images, judged by e2fsck and by the kernel's own ext4.

use crate::judge::{CLOCK, operations, run};
use disksmith_guest::{
    Context, Error, Guest, GuestOptions, ListSink, MountSpec, Report, RootChoice, SeededRandom, Skeleton,
    customize, default_operations, edit, lay_out_skeleton, list_paths, look, sysprep,
};
use disksmith_image::{DiskSpec, TransactionOptions};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

fn edit_image<T>(
    image: &Path,
    dry_run: bool,
    mounts: &[&str],
    work: impl FnOnce(&Guest) -> Result<T, Error>,
) -> Result<T, Error> {
    let options = GuestOptions {
        mounts: mounts.iter().map(|m| MountSpec::parse(m).unwrap()).collect(),
        root: RootChoice::default(),
        clock: CLOCK,
        keys: disksmith_image::Keys::none(),
        gate: disksmith_image::Gate::FollowAll,
    };
    let transaction = TransactionOptions {
        dry_run,
        ..TransactionOptions::default()
    };
    edit(&[DiskSpec::in_place(image)], &transaction, &options, work).map(|(result, _)| result)
}

fn customize_image(image: &Path, dry_run: bool, list: &[(&str, &str)]) -> Result<Report, Error> {
    edit_image(image, dry_run, &[], |guest| {
        let mut random = SeededRandom::new(5);
        customize(guest, &operations(list), &mut Context::new(&mut random))
    })
}

/// A disk of 96 MiB whose second partition, at 2 MiB, holds the skeleton guest.
fn small_guest(dir: &Path) -> Option<(PathBuf, u64)> {
    let image = dir.join("guest.raw");
    fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
    let name = image.display().to_string();
    let table = dir.join("table");
    fs::write(&table, "label: gpt\n2048,2048,U\n4096,,L\n").unwrap();
    let (good, output) = run(
        "sh",
        &["-c", &format!("/usr/sbin/sfdisk -q {name} <{}", table.display())],
    )?;
    assert!(good, "{output}");
    let offset = 2u64 << 20;
    let offset_option = format!("offset={offset}");
    let (good, output) = run(
        "/usr/sbin/mke2fs",
        &["-q", "-F", "-t", "ext4", "-E", &offset_option, &name, "90M"],
    )?;
    assert!(good, "{output}");
    edit_image(&image, false, &["/dev/sda2"], |guest| {
        lay_out_skeleton(guest.tree(), &Skeleton::default())
    })
    .unwrap();
    Some((image, offset))
}

fn check_clean(image: &Path, offset: u64) {
    let name = format!("{}?offset={offset}", image.display());
    let Some((good, output)) = run("/usr/sbin/e2fsck", &["-fn", &name]) else {
        return;
    };
    assert!(
        good && !output.contains("? no") && !output.contains("rror"),
        "{output}"
    );
}

/// Runs `look` over the image as the kernel sees it.
fn with_kernel_mount(image: &Path, offset: u64, look: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let options = format!("ro,noload,loop,offset={offset}");
    let mounted = Command::new("mount")
        .args(["-o", &options])
        .arg(image)
        .arg(dir.path())
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "cannot mount {} (root is needed)",
            image.display()
        );
        eprintln!("SKIPPED: no kernel mount to judge");
        return;
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(dir.path())));
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn edits_go_through_to_the_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let Some((image, offset)) = small_guest(dir.path()) else {
        return;
    };
    check_clean(&image, offset);
    let app = dir.path().join("app");
    fs::create_dir(&app).unwrap();
    for number in 0..300 {
        fs::write(
            app.join(format!("file-{number}")),
            vec![number as u8; number * 37],
        )
        .unwrap();
    }
    let copy = format!("{}:/opt", app.display());
    let list = [
        ("hostname", "web1.example.com"),
        ("timezone", "Asia/Shanghai"),
        ("root-password", "password:s3cret"),
        ("ssh-inject", "debian:string:ssh-ed25519 AAAA me"),
        ("copy-in", copy.as_str()),
        (
            "edit",
            "/etc/ssh/sshd_config:s/^#?PermitRootLogin.*/PermitRootLogin no/",
        ),
        ("firstboot-command", "echo hi"),
        ("delete", "/var/cache/apt/archives/*.deb"),
        ("chmod", "0600:/opt/app/file-7"),
    ];
    let before = fs::read(&image).unwrap();
    let planned = customize_image(&image, true, &list).unwrap();
    assert_eq!(fs::read(&image).unwrap(), before, "a dry run changed the image");
    let done = customize_image(&image, false, &list).unwrap();
    assert_eq!(planned.to_string(), done.to_string());
    check_clean(&image, offset);
    with_kernel_mount(&image, offset, |root| {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(text("etc/hostname"), "web1.example.com\n");
        assert_eq!(text("etc/timezone"), "Asia/Shanghai\n");
        assert!(text("etc/ssh/sshd_config").contains("\nPermitRootLogin no\n"));
        assert!(text("etc/shadow").starts_with("root:$y$j9T$"));
        let shadow = fs::metadata(root.join("etc/shadow")).unwrap();
        assert_eq!((shadow.mode() & 0o7777, shadow.gid()), (0o640, 42));
        let ssh = fs::metadata(root.join("home/debian/.ssh")).unwrap();
        assert_eq!((ssh.mode() & 0o7777, ssh.uid(), ssh.gid()), (0o700, 1000, 1000));
        assert_eq!(
            fs::metadata(root.join("opt/app/file-7"))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777,
            0o600
        );
        for number in 0..300 {
            let file = fs::read(root.join(format!("opt/app/file-{number}"))).unwrap();
            assert_eq!(file, vec![number as u8; number * 37]);
        }
        assert!(!root.join("var/cache/apt/archives/example_1.0_all.deb").exists());
    });
}

#[test]
fn an_operation_that_fails_leaves_the_image_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let Some((image, offset)) = small_guest(dir.path()) else {
        return;
    };
    let before = fs::read(&image).unwrap();
    for (option, argument) in [
        ("timezone", "Mars/Olympus"),
        ("password", "nosuch:random"),
        ("chmod", "0600:/none"),
        ("edit", "/etc/none:s/a/b/"),
    ] {
        customize_image(
            &image,
            false,
            &[
                ("write", "/etc/first:x"),
                ("delete", "/etc/hosts"),
                (option, argument),
            ],
        )
        .unwrap_err();
        assert_eq!(fs::read(&image).unwrap(), before, "{option}");
    }
    // As does a filesystem that is too small.
    let big = dir.path().join("big");
    fs::write(&big, vec![1u8; 100 << 20]).unwrap();
    let error =
        customize_image(&image, false, &[("upload", &format!("{}:/big", big.display()))]).unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(fs::read(&image).unwrap(), before);
    check_clean(&image, offset);
}

#[test]
fn sysprep_on_an_image_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let Some((image, offset)) = small_guest(dir.path()) else {
        return;
    };
    edit_image(&image, false, &[], |guest| {
        let mut random = SeededRandom::new(5);
        sysprep(guest, &default_operations(), &[], &mut Context::new(&mut random))
    })
    .unwrap();
    check_clean(&image, offset);
    with_kernel_mount(&image, offset, |root| {
        assert_eq!(fs::metadata(root.join("etc/machine-id")).unwrap().len(), 0);
        assert!(!root.join("etc/ssh/ssh_host_ed25519_key").exists());
        assert!(
            fs::symlink_metadata(
                root.join("etc/systemd/system/multi-user.target.wants/disksmith-ssh-hostkeys.service")
            )
            .is_ok()
        );
    });
}

/// `DISKSMITH_GUEST_IMAGE` names a raw image of a real guest with its root on partition 1; it is edited in place.
#[test]
fn a_real_guest_is_edited() {
    let Some(image) = std::env::var_os("DISKSMITH_GUEST_IMAGE").map(PathBuf::from) else {
        eprintln!("SKIPPED: DISKSMITH_GUEST_IMAGE names no image of a real guest");
        return;
    };
    let table = run("/usr/sbin/sfdisk", &["-d", &image.display().to_string()])
        .unwrap()
        .1;
    let line = table.lines().find(|l| l.contains("raw1 :")).unwrap();
    let start: u64 = line
        .split("start=")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let offset = start * 512;
    let report = customize_image(
        &image,
        false,
        &[
            ("hostname", "web1"),
            ("timezone", "Asia/Shanghai"),
            ("root-password", "password:s3cret"),
            ("ssh-inject", "root:string:ssh-ed25519 AAAA me"),
            ("write", "/etc/motd:hello"),
            ("append-line", "/etc/hosts:10.0.0.5 db"),
            (
                "edit",
                "/etc/ssh/sshd_config:s/^#?PermitRootLogin.*/PermitRootLogin no/",
            ),
            ("mkdir", "/srv/data"),
            ("firstboot-command", "echo hi"),
            ("copy", "/usr/share/doc:/srv/data"),
            ("delete", "/usr/share/doc/l*"),
        ],
    )
    .unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    check_clean(&image, offset);
    edit_image(&image, false, &[], |guest| {
        let mut random = SeededRandom::new(5);
        sysprep(guest, &default_operations(), &[], &mut Context::new(&mut random))
    })
    .unwrap();
    check_clean(&image, offset);
    let options = GuestOptions {
        mounts: Vec::new(),
        root: RootChoice::default(),
        clock: CLOCK,
        keys: disksmith_image::Keys::none(),
        gate: disksmith_image::Gate::FollowAll,
    };
    let listed = look(
        &[(image.clone(), None)],
        &options,
        |_| {},
        |guest| {
            let distribution = guest.distribution();
            assert_eq!(
                (distribution.id.as_str(), distribution.major),
                ("debian", Some(12))
            );
            let mut out = Vec::new();
            list_paths(
                guest.tree(),
                "/usr",
                false,
                &mut ListSink::new(&mut out, "memory"),
            )?;
            Ok(out)
        },
    )
    .unwrap();
    with_kernel_mount(&image, offset, |root| {
        assert_eq!(fs::read_to_string(root.join("etc/hostname")).unwrap(), "web1\n");
        assert_eq!(fs::read_to_string(root.join("etc/motd")).unwrap(), "hello");
        assert_eq!(fs::metadata(root.join("etc/machine-id")).unwrap().len(), 0);
        let find = Command::new("find")
            .arg(root.join("usr"))
            .args(["-mindepth", "1", "-printf", "%P\\0"])
            .output()
            .unwrap();
        let mut wanted: Vec<&[u8]> = find.stdout.split(|b| *b == 0).filter(|p| !p.is_empty()).collect();
        wanted.sort_unstable();
        let mut found: Vec<&[u8]> = listed.split(|b| *b == b'\n').filter(|p| !p.is_empty()).collect();
        found.sort_unstable();
        assert_eq!(found, wanted);
        // What was copied within the guest is what it was copied from.
        let differ = Command::new("diff")
            .arg("-r")
            .arg(root.join("usr/share/doc"))
            .arg(root.join("srv/data/doc"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&differ.stdout).into_owned();
        assert!(
            text.lines()
                .all(|l| l.starts_with("Only in") && l.contains("srv/data/doc")),
            "{text}"
        );
    });
}
