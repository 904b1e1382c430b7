//! A real Debian guest, customised with everything at once and booted.

use crate::customize::{everything, host_files};
use crate::lab::{Lab, judges, may_mount};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bumped when the cached guest shall be made anew.
const GUEST_VERSION: u32 = 1;

/// Where the scripts stand that make and boot guests.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/guests")
}

/// The Debian guest with a user `debian`, made once and kept in the user's cache: ext4 in GPT.
pub(crate) fn debian_guest() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap()
        .join("disksmith-guests");
    std::fs::create_dir_all(&cache).unwrap();
    let image = cache.join(format!("debian-ext4-{GUEST_VERSION}.qcow2"));
    if image.exists() {
        return image;
    }
    let lab = Lab::below(&cache);
    let raw = lab.path("guest.raw");
    let make = scripts().join("make-guest");
    lab.tool_args(&[
        make.as_os_str(),
        "--layout".as_ref(),
        "ext4".as_ref(),
        "--out".as_ref(),
        raw.as_os_str(),
    ])
    .ok();
    let info = String::from_utf8(lab.read("guest.raw.info")).unwrap();
    let start = info
        .lines()
        .find_map(|line| line.strip_prefix("part1=start:"))
        .unwrap();
    let sector: u64 = start.split(',').next().unwrap().parse().unwrap();
    std::fs::create_dir(lab.path("root")).unwrap();
    let mount = format!("mount -o loop,offset={} guest.raw root", sector * 512);
    lab.tool(&mount).ok();
    let added = lab.tool("chroot root /usr/sbin/useradd -m -s /bin/bash debian");
    lab.tool("umount root").ok();
    added.ok();
    lab.tool("qemu-img convert -f raw -O qcow2 guest.raw guest.qcow2")
        .ok();
    for part in ["vmlinuz", "initrd", "append"] {
        let mut to = image.clone().into_os_string();
        to.push(format!(".{part}"));
        std::fs::rename(lab.path(&format!("guest.raw.{part}")), to).unwrap();
    }
    std::fs::rename(lab.path("guest.qcow2"), &image).unwrap();
    image
}

const USER_DATA: &str = r#"#cloud-config
write_files:
  - path: /etc/from-user-data
    content: "user-data was applied\n"
runcmd:
  - |
    for i in $(seq 60); do grep -q three /var/log/order 2>/dev/null && break; sleep 2; done
    {
      echo "PROOF hostname $(hostname)"
      echo "PROOF timezone $(readlink -f /etc/localtime)"
      echo "PROOF user-data $(cat /etc/from-user-data)"
      echo "PROOF first-boot $(wc -l < /var/log/first-boot-proof) time"
      echo "PROOF address $(ip -o -4 addr show | grep -c 192.0.2.77)"
      echo "PROOF host-keys $(ls /etc/ssh/ssh_host_*_key | wc -l)"
      echo "PROOF machine-id $(wc -c < /etc/machine-id)"
      echo "PROOF motd $(cat /etc/motd)"
      echo "PROOF app $(/usr/local/bin/run)"
      echo "PROOF permit $(grep -c '^PermitRootLogin no' /etc/ssh/sshd_config)"
      echo "PROOF sshd $(systemctl is-active ssh)"
      echo "PROOF password $(printf 's3cret\0' | unix_chkpwd root nullok; echo $?) wrong $(printf 'other\0' | unix_chkpwd root nullok; echo $?)"
      echo "PROOF ssh $(ssh -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=no debian@127.0.0.1 id -un)"
      echo "PROOF order $(tr '\n' ' ' < /var/log/order)left $(ls /usr/lib/virt-sysprep/scripts | wc -l)"
      echo "PROOF failed $(systemctl --failed --no-legend | grep -v foo | wc -l)"
      echo "PROOF end"
    } > /dev/ttyS0
"#;

const NETWORK_CONFIG: &str = r#"version: 2
ethernets:
  nic:
    match:
      name: "e*"
    addresses: [192.0.2.77/24]
"#;

#[test]
fn a_customised_clone_boots_with_its_seed() {
    if !judges(&[
        "qemu-img",
        "mmdebstrap",
        "e2fsck",
        "qemu-system-x86_64",
        "ssh-keygen",
    ]) || !may_mount()
    {
        return;
    }
    let guest = debian_guest();
    let lab = Lab::new();
    host_files(&lab);
    lab.write(
        "setup.sh",
        "#!/bin/sh\necho one >> /var/log/order\necho FIRST-BOOT $(date +%s) >> /var/log/first-boot-proof\n",
    );
    lab.write("user-data", USER_DATA);
    lab.write("meta-data", "instance-id: web1-1\n");
    lab.write("network-config", NETWORK_CONFIG);
    lab.disksmith_args(&["clone", "--full", guest.to_str().unwrap(), "template.qcow2"])
        .ok();
    lab.disksmith("sysprep -a template.qcow2").ok();
    lab.disksmith("clone template.qcow2 vm1.qcow2").ok();
    let template = lab.read("template.qcow2");
    lab.disksmith_args(&everything("vm1.qcow2")).ok();
    lab.tool_args(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "pair"])
        .ok();
    lab.write("third.sh", "#!/bin/sh\necho three >> /var/log/order\n");
    lab.disksmith_args(&[
        "customize",
        "-a",
        "vm1.qcow2",
        "--ssh-inject",
        "debian:file:pair.pub",
        "--upload",
        "pair:/root/key",
        "--chmod",
        "0600:/root/key",
        "--firstboot-command",
        "echo two >> /var/log/order",
        "--firstboot",
        "third.sh",
    ])
    .ok();
    assert!(lab.read("template.qcow2") == template, "the template changed");
    drop(template);
    lab.disksmith(
        "seed vm1-seed.iso --user-data user-data --meta-data meta-data --network-config network-config",
    )
    .ok();
    lab.qemu_check("vm1.qcow2");
    let check = scripts().join("check-guest");
    lab.tool_args(&[check.as_os_str(), "vm1.qcow2".as_ref()]).ok();

    let with = |part: &str| {
        let mut path = guest.clone().into_os_string();
        path.push(format!(".{part}"));
        path
    };
    for part in ["vmlinuz", "initrd", "append"] {
        std::fs::copy(with(part), lab.path(&format!("vm1.qcow2.{part}"))).unwrap();
    }
    let output = Command::new(scripts().join("boot-guest"))
        .args([
            "vm1.qcow2",
            "--seed",
            "vm1-seed.iso",
            "--expect",
            "PROOF end",
            "--timeout",
            "1200",
            "--log",
            "console",
        ])
        .current_dir(lab.path("."))
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&lab.read("console")).replace('\r', "");
    assert!(
        output.status.success(),
        "{}\n{console}",
        String::from_utf8_lossy(&output.stderr)
    );
    for proof in [
        "PROOF hostname web1",
        "PROOF timezone /usr/share/zoneinfo/Asia/Shanghai",
        "PROOF user-data user-data was applied",
        "PROOF first-boot 1 time",
        "PROOF address 1",
        "PROOF machine-id 33",
        "PROOF motd hello",
        "PROOF app app",
        "PROOF permit 1",
        "PROOF sshd active",
        "PROOF failed 0",
        "PROOF password 0 wrong 7",
        "PROOF ssh debian",
        "PROOF order one two three left 0",
    ] {
        assert!(
            console.lines().any(|line| line.contains(proof)),
            "no {proof:?} on the console:\n{console}"
        );
    }
    let keys = console
        .lines()
        .find_map(|line| line.split("PROOF host-keys ").nth(1))
        .unwrap();
    assert!(keys.trim().parse::<u32>().unwrap() >= 2, "host keys: {keys}");
}

/// What a guest of a plain seed says of itself.
const PLAIN_USER_DATA: &str = r#"#cloud-config
write_files:
  - path: /etc/from-user-data
    content: "user-data was applied\n"
runcmd:
  - |
    {
      echo "PROOF hostname $(hostname)"
      echo "PROOF user-data $(cat /etc/from-user-data)"
      echo "PROOF address $(ip -o -4 addr show | grep -c 192.0.2.77)"
      echo "PROOF datasource $(cat /run/cloud-init/cloud-id 2>/dev/null) $(grep -o 'DataSource[A-Za-z]*' /var/lib/cloud/instance/datasource | head -1)"
      echo "PROOF injected $(cat /etc/from-drive 2>/dev/null)"
      echo "PROOF end"
    } > /dev/ttyS0
"#;

/// Boots the guest, unchanged, with a seed; every proof must stand on its console.
fn boots_with(seed: &str, make: &str, proofs: &[&str]) {
    if std::env::var_os("DISKSMITH_LONG").is_none() {
        return;
    }
    if !judges(&["qemu-img", "mmdebstrap", "qemu-system-x86_64"]) || !may_mount() {
        return;
    }
    let guest = debian_guest();
    let lab = Lab::new();
    lab.write("user-data", PLAIN_USER_DATA);
    lab.write("network-config", NETWORK_CONFIG);
    lab.write(
        "network-config-by-mac",
        "version: 2\nethernets:\n  nic:\n    match: {macaddress: '52:54:00:12:34:56'}\n    addresses: [192.0.2.77/24]\n",
    );
    lab.write("from-drive", "a file of the drive\n");
    lab.disksmith(&format!(
        "seed {seed} --user-data user-data --hostname seeded {make}"
    ))
    .ok();
    let output = Command::new(scripts().join("boot-guest"))
        .arg(&guest)
        .args([
            "--seed",
            seed,
            "--expect",
            "PROOF end",
            "--timeout",
            "1200",
            "--log",
            "console",
        ])
        .current_dir(lab.path("."))
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&lab.read("console")).replace('\r', "");
    assert!(
        output.status.success(),
        "{}\n{console}",
        String::from_utf8_lossy(&output.stderr)
    );
    for proof in proofs.iter().chain(&[
        "PROOF hostname seeded",
        "PROOF user-data user-data was applied",
        "PROOF address 1",
    ]) {
        assert!(
            console.lines().any(|line| line.contains(proof)),
            "no {proof:?} on the console:\n{console}"
        );
    }
}

#[test]
fn a_guest_takes_nocloud_on_vfat() {
    boots_with(
        "seed.img",
        "--format vfat --network-config network-config",
        &["DataSourceNoCloud"],
    );
}

#[test]
fn a_guest_takes_a_config_drive_on_iso() {
    boots_with(
        "seed.iso",
        "--datasource configdrive --network-config network-config-by-mac --file /etc/from-drive=from-drive",
        &["DataSourceConfigDrive", "PROOF injected a file of the drive"],
    );
}

#[test]
fn a_guest_takes_a_config_drive_on_vfat() {
    boots_with(
        "seed.img",
        "--datasource configdrive --format vfat --network-config network-config-by-mac --file /etc/from-drive=from-drive",
        &["DataSourceConfigDrive", "PROOF injected a file of the drive"],
    );
}
