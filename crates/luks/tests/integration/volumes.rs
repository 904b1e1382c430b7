//! Volumes that one program makes and another reads.

use crate::judges::{Fixed, have, sh};
use disksmith_luks::{
    CipherAlgorithm, CipherMode, HashAlgorithm, IvAlgorithm, NewVolume, Passphrase, Payload, Volume,
};
use disksmith_storage::{HostFile, LockMode, Memory, OpenMode, Storage, StorageRef};
use std::path::Path;
use std::sync::Arc;

const SIZE: u64 = 64 << 10;

fn pattern() -> Vec<u8> {
    (0..SIZE)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8)
        .collect()
}

fn key() -> Passphrase {
    Passphrase::new(b"abc".to_vec())
}

/// Makes a volume with the pattern in it.
fn write(path: &Path, new: &NewVolume) {
    let header = new.make(&key(), &mut Fixed::new(7)).unwrap();
    let mut bytes = vec![0; (header.len + SIZE) as usize];
    for (offset, piece) in &header.pieces {
        bytes[*offset as usize..*offset as usize + piece.len()].copy_from_slice(piece);
    }
    let file: StorageRef = Arc::new(Memory::from_bytes(&bytes));
    let disk = Payload::new(file.clone(), header.len, header.cipher);
    disk.write_at(0, &pattern()).unwrap();
    file.read_at(0, &mut bytes).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn open(path: &Path) -> Payload<StorageRef> {
    let file: StorageRef = Arc::new(HostFile::open(path, OpenMode::Read, LockMode::None).unwrap());
    let volume = Volume::open(file.clone(), false).unwrap();
    let cipher = volume.cipher(&volume.unlock(&key()).unwrap()).unwrap();
    Payload::new(file, volume.header().payload_offset(), Arc::new(cipher))
}

/// Every cipher, mode, way to make vectors and hash at least once, and what has its own rules.
fn kinds() -> Vec<NewVolume> {
    let base = NewVolume {
        iter_time: 0,
        ..NewVolume::default()
    };
    let mut kinds = Vec::new();
    for cipher in CipherAlgorithm::ALL {
        // not every QEMU has it
        if cipher == CipherAlgorithm::Sm4 {
            continue;
        }
        let mode = match cipher {
            CipherAlgorithm::Cast5 => CipherMode::Cbc,
            _ => CipherMode::Xts,
        };
        // (QEMU gives up over a header whose key material is not whole sectors: keys of 192 bits outside of XTS)
        kinds.push(NewVolume { cipher, mode, ..base });
    }
    for hash in HashAlgorithm::ALL {
        // not every QEMU has it
        if hash != HashAlgorithm::Sm3 {
            kinds.push(NewVolume { hash, ..base });
        }
    }
    for mode in CipherMode::ALL {
        for iv in [IvAlgorithm::Plain, IvAlgorithm::Plain64, IvAlgorithm::Essiv] {
            kinds.push(NewVolume { mode, iv, ..base });
        }
    }
    for cipher in [CipherAlgorithm::Serpent256, CipherAlgorithm::Twofish256] {
        kinds.push(NewVolume {
            cipher,
            mode: CipherMode::Cbc,
            iv: IvAlgorithm::Essiv,
            iv_hash: Some(HashAlgorithm::Sha256),
            ..base
        });
    }
    kinds
}

#[test]
fn qemu_reads_what_is_written_here() {
    if !have("qemu-img") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut script = String::new();
    let kinds = kinds();
    for (index, kind) in kinds.iter().enumerate() {
        write(&dir.path().join(format!("{index}.luks")), kind);
        script += &format!(
            "qemu-img convert --object secret,id=k,data=abc --image-opts \
             driver=luks,key-secret=k,file.filename={index}.luks -O raw {index}.raw; "
        );
    }
    sh(dir.path(), &script);
    for (index, kind) in kinds.iter().enumerate() {
        let there = std::fs::read(dir.path().join(format!("{index}.raw"))).unwrap();
        assert!(there == pattern(), "{kind:?}");
        // … and so is it read here.
        let mut here = vec![0; SIZE as usize];
        open(&dir.path().join(format!("{index}.luks")))
            .read_at(0, &mut here)
            .unwrap();
        assert!(here == pattern(), "{kind:?}");
    }
}

#[test]
fn what_qemu_writes_is_read_here() {
    if !have("qemu-img") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plain"), pattern()).unwrap();
    // Each one costs QEMU two seconds of measuring.
    let options = ["cipher-alg=serpent-256,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha512"];
    let more = [
        "",
        "cipher-alg=twofish-192,hash-alg=ripemd160",
        "cipher-alg=cast5-128,cipher-mode=ctr",
    ];
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    for options in options.iter().chain(more.iter().filter(|_| long)) {
        sh(
            dir.path(),
            &format!(
                "qemu-img convert --object secret,id=k,data=abc -f raw plain -O luks \
                 -o key-secret=k,iter-time=10,{options} x.luks"
            ),
        );
        let disk = open(&dir.path().join("x.luks"));
        assert_eq!(disk.size(), SIZE);
        let mut here = vec![0; SIZE as usize];
        disk.read_at(0, &mut here).unwrap();
        assert!(here == pattern(), "{options}");
        // not in whole sectors
        let mut part = vec![0; 1000];
        disk.read_at(777, &mut part).unwrap();
        assert_eq!(part, pattern()[777..1777]);
    }
}

#[test]
fn cryptsetup_understands_the_header() {
    if !have("cryptsetup") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let kind = NewVolume {
        cipher: CipherAlgorithm::Aes128,
        mode: CipherMode::Cbc,
        iv: IvAlgorithm::Essiv,
        hash: HashAlgorithm::Sha512,
        iter_time: 0,
        ..NewVolume::default()
    };
    // ESSIV with SHA-256 takes a key of 256 bits for the vectors, whatever the data's cipher has.
    write(&dir.path().join("x.luks"), &kind);
    let dump = sh(dir.path(), "cryptsetup luksDump x.luks");
    let said: Vec<String> = dump
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "Version: 1",
        "Cipher name: aes",
        "Cipher mode: cbc-essiv:sha256",
        "Hash spec: sha512",
        "Payload offset: 1032",
        "MK bits: 128",
        "MK iterations: 1000",
        "Key Slot 0: ENABLED",
        "Iterations: 1000",
        "Key material offset: 8",
        "AF stripes: 4000",
        "Key Slot 1: DISABLED",
        "Key Slot 7: DISABLED",
    ] {
        assert!(said.iter().any(|said| said == line), "{line}\n{dump}");
    }
}

#[test]
fn parts_of_sectors_are_written() {
    let header = NewVolume {
        iter_time: 0,
        ..NewVolume::default()
    }
    .make(&key(), &mut Fixed::new(1))
    .unwrap();
    let file: StorageRef = Arc::new(Memory::new(header.len + SIZE));
    let disk = Payload::new(file, header.len, header.cipher);
    let mut model = vec![0; SIZE as usize];
    disk.write_at(0, &model).unwrap();
    for (at, len) in [
        (0, 1),
        (511, 2),
        (1000, 3000),
        (4096, 512),
        (60_000, 5536),
        (5, 0),
    ] {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + at) as u8).collect();
        disk.write_at(at as u64, &bytes).unwrap();
        model[at..at + len].copy_from_slice(&bytes);
    }
    let mut here = vec![0; SIZE as usize];
    disk.read_at(0, &mut here).unwrap();
    assert!(here == model);
    assert!(disk.write_at(SIZE - 1, &[0; 2]).is_err());
}

#[test]
fn a_last_sector_may_be_cut_off() {
    let header = NewVolume {
        iter_time: 0,
        ..NewVolume::default()
    }
    .make(&key(), &mut Fixed::new(1))
    .unwrap();
    let file: StorageRef = Arc::new(Memory::new(header.len + 1000));
    let disk = Payload::new(file.clone(), header.len, header.cipher);
    assert_eq!(disk.size(), 1024);
    let mut before = [0; 1024];
    disk.read_at(0, &mut before).unwrap();
    file.set_size(header.len + 1024).unwrap();
    let mut whole = [0; 1024];
    disk.read_at(0, &mut whole).unwrap();
    assert!(before == whole);
    file.set_size(header.len + 1000).unwrap();
    disk.write_at(1001, &[7]).unwrap();
    assert_eq!(file.size(), header.len + 1024);
    whole[1001] = 7;
    disk.read_at(0, &mut before).unwrap();
    assert!(before == whole);
    assert!(disk.write_at(1024, &[7]).is_err());
    // nothing of a payload is there
    file.set_size(header.len - 1).unwrap();
    assert_eq!(disk.size(), 0);
    disk.read_at(0, &mut []).unwrap();
    file.set_size(header.len).unwrap();
    disk.set_size(700).unwrap();
    let mut zeroes = [1; 1024];
    disk.read_at(0, &mut zeroes[..700]).unwrap();
    assert!(zeroes[..700] == [0; 700]);
}
