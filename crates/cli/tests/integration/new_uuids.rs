//! `fs-uuids`: every filesystem gets another UUID, and everything that looked for the old one finds it.

use crate::lab::{Lab, judges};
use crate::small_guest::{Layout, make};

const JUDGES: &[&str] = &[
    "qemu-img",
    "e2fsck",
    "mke2fs",
    "sfdisk",
    "mkswap",
    "mkfs.vfat",
    "fsck.vfat",
    "blkid",
];
const ROOT: &str = "6c1e0ec2-5f3c-4a6e-9b0a-0d3a3f1d7c11";
const SWAP: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

/// A guest with a root, swap space and an EFI system partition on disks of their own.
fn lay_out(lab: &Lab) {
    make(
        lab,
        "root.qcow2",
        Layout::Gpt,
        "-O metadata_csum,^metadata_csum_seed",
    );
    for (name, size) in [("swap.raw", 1 << 20), ("esp.raw", 4 << 20)] {
        std::fs::File::create(lab.path(name))
            .unwrap()
            .set_len(size)
            .unwrap();
    }
    lab.tool(&format!("mkswap -q -U {SWAP} swap.raw")).ok();
    lab.tool("mkfs.vfat -i ABCD0123 esp.raw").ok();
    let fstab = format!(
        "UUID={ROOT} / ext4 defaults 0 1\nUUID={SWAP} none swap sw 0 0\nUUID=ABCD-0123 /boot/efi vfat nofail 0 2\n"
    );
    lab.write("fstab", fstab);
    lab.write(
        "grub.cfg",
        format!("search --fs-uuid --set=root {ROOT}\nlinux /vmlinuz root=UUID={ROOT} ro\n"),
    );
    lab.write("resume", format!("RESUME=UUID={SWAP}\n"));
    lab.write("esp.cfg", format!("search.fs_uuid {ROOT} root hd0,gpt1\n"));
    lab.write("entry.conf", format!("options root=UUID={ROOT} rw\n"));
    lab.disksmith(
        "customize -a root.qcow2 --mkdir /boot/efi --mkdir /boot/grub --mkdir /boot/loader/entries \
         --mkdir /etc/initramfs-tools/conf.d --upload fstab:/etc/fstab --upload grub.cfg:/boot/grub/grub.cfg \
         --upload resume:/etc/initramfs-tools/conf.d/resume --upload entry.conf:/boot/loader/entries/a.conf",
    )
    .ok();
    lab.disksmith(
        "customize -a root.qcow2 -a swap.raw -a esp.raw --mkdir /boot/efi/EFI/debian --upload esp.cfg:/boot/efi/EFI/debian/grub.cfg",
    )
    .ok();
}

/// The UUID that blkid finds at a place of an image.
fn uuid(lab: &Lab, image: &str, offset: u64) -> String {
    let raw = lab.raw_copy(image);
    let said = lab
        .tool(&format!(
            "blkid -p -O {offset} -s UUID -o value {}",
            raw.display()
        ))
        .ok();
    std::fs::remove_file(raw).unwrap();
    said.trim().to_owned()
}

fn assert_renewed(lab: &Lab) {
    let (root, swap, esp) = (
        uuid(lab, "root.qcow2", 1 << 20),
        uuid(lab, "swap.raw", 0),
        uuid(lab, "esp.raw", 0),
    );
    assert_ne!(root, ROOT);
    assert_ne!(swap, SWAP);
    assert_ne!(esp, "ABCD-0123");
    lab.e2fsck("root.qcow2", 1 << 20);
    lab.tool("fsck.vfat -n esp.raw").ok();
    let disks = "-a root.qcow2 -a swap.raw -a esp.raw";
    let text = |path: &str| lab.disksmith(&format!("cat {disks} {path}")).ok();
    assert_eq!(
        text("/etc/fstab"),
        format!(
            "UUID={root} / ext4 defaults 0 1\nUUID={swap} none swap sw 0 0\nUUID={esp} /boot/efi vfat nofail 0 2\n"
        )
    );
    assert_eq!(
        text("/boot/grub/grub.cfg"),
        format!("search --fs-uuid --set=root {root}\nlinux /vmlinuz root=UUID={root} ro\n")
    );
    assert_eq!(
        text("/etc/initramfs-tools/conf.d/resume"),
        format!("RESUME=UUID={swap}\n")
    );
    assert_eq!(
        text("/boot/efi/EFI/debian/grub.cfg"),
        format!("search.fs_uuid {root} root hd0,gpt1\n")
    );
    assert_eq!(
        text("/boot/loader/entries/a.conf"),
        format!("options root=UUID={root} rw\n")
    );
}

#[test]
fn a_template_with_new_uuids_finds_its_filesystems() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lay_out(&lab);
    let disks = "-a root.qcow2 -a swap.raw -a esp.raw";
    lab.disksmith(&format!("sysprep -n {disks} --enable fs-uuids"))
        .ok();
    assert_eq!(uuid(&lab, "root.qcow2", 1 << 20), ROOT);
    lab.disksmith(&format!("sysprep {disks} --enable fs-uuids")).ok();
    assert_renewed(&lab);
    // once more, with all there is
    lab.disksmith(&format!("sysprep {disks} --operations all")).ok();
    assert_renewed(&lab);
}

#[test]
fn the_old_tool_does_all_operations() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lay_out(&lab);
    lab.disksmith("virt-sysprep -a root.qcow2 -a swap.raw -a esp.raw --operations all")
        .ok();
    assert_renewed(&lab);
}
