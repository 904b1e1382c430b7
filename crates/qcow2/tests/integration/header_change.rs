//! Another backing file's name in the header: against qemu-img, and across power cuts.

use crate::judge;
use disksmith_qcow2::{CreateOptions, Extension, Header, OpenOptions, Qcow2, Repair, check, create};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, Shadow, Storage, StorageRef};
use std::sync::Arc;

/// The type of the record that a reader skips.
const BRIDGE: u32 = 0x6473_6770;

fn image(cluster_bits: u32, version: u32, unknown: usize) -> Memory {
    let memory: StorageRef = Arc::new(Memory::new(0));
    let options = CreateOptions {
        cluster_bits,
        version,
        ..CreateOptions::new(1 << 20)
    };
    create(&memory, None, &options).unwrap();
    if unknown > 0 {
        // A record that nobody knows, in front of the others.
        let mut header = Header::load(&*memory).unwrap();
        header.extensions.insert(
            0,
            Extension::Unknown {
                magic: 0x1234_abcd,
                data: vec![0x5a; unknown],
            },
        );
        let bytes = header.encode().unwrap();
        memory.write_at(0, &bytes).unwrap();
    }
    let mut bytes = vec![0; memory.size() as usize];
    memory.read_at(0, &mut bytes).unwrap();
    Memory::from_bytes(&bytes)
}

type Said = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Extension>);

/// What a header says: name, format, and the records that are nobody's business.
fn said(file: &dyn Storage) -> Said {
    let header = Header::load(file).unwrap();
    let unknown = |e: &&Extension| matches!(e, Extension::Unknown { magic, .. } if *magic != BRIDGE);
    (
        header.backing_name.clone(),
        header.backing_format().map(<[u8]>::to_vec),
        header.extensions.iter().filter(unknown).cloned().collect(),
    )
}

#[test]
fn a_name_is_changed_wholly_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.qcow2");
    let mut states = 0u32;
    for (bits, version, unknown) in [
        (9, 3, 0),
        (9, 2, 40),
        (10, 3, 0),
        (11, 3, 200),
        (12, 2, 0),
        (12, 3, 600),
        (16, 3, 0),
        (16, 2, 500),
        (16, 3, 5000),
    ] {
        let memory: StorageRef = Arc::new(image(bits, version, unknown));
        let room = (1usize << bits) - unknown - 160;
        for (turn, (len, format)) in [
            (40, Some("qcow2")),
            (1023, None),
            (700, Some("raw")),
            (0, None),
            (1023, Some("qcow2")),
            (1023, Some("raw")),
            (3, None),
        ]
        .into_iter()
        .enumerate()
        {
            let len = (len as usize).min(room);
            let name: Vec<u8> = (0..len).map(|i| b'a' + ((i + turn) % 26) as u8).collect();
            let old = said(&*memory);
            let name = Some(name).filter(|name| !name.is_empty());
            let new = (
                name.clone(),
                name.as_ref()
                    .and(format)
                    .map(|format: &str| format.as_bytes().to_vec()),
                old.2.clone(),
            );
            let journal = Journal::new();
            let recorder: StorageRef = Arc::new(Recorder::new(memory.clone(), &journal));
            let options = OpenOptions {
                writable: true,
                ..OpenOptions::default()
            };
            let image = Arc::new(Qcow2::open(recorder, options).unwrap());
            let mut edit = Box::new(image.change_set().unwrap());
            edit.set_backing(name.as_deref(), format.map(str::as_bytes))
                .unwrap();
            edit.write_at(turn as u64 * 3000, &[turn as u8 + 1; 700]).unwrap();
            let prepared = edit.prepare().unwrap();
            journal.mark("prepared");
            prepared.switch().unwrap();
            journal.mark("switched");
            drop(image);
            assert_eq!(said(&*memory), new);
            // Where the cluster cannot hold both states, nothing but one write of all of it can do.
            let tight = bits == 10 || bits == 11;
            for state in journal.crash_states(60, u64::from(bits)) {
                if tight {
                    break;
                }
                let file = state.storage(0);
                let now = said(&*file);
                assert!(now == old || now == new, "{bits} {turn} {state}: {now:?}");
                assert!(!state.passed("switched") || now == new, "{bits} {turn} {state}");
                assert!(state.passed("prepared") || now == old, "{bits} {turn} {state}");
                let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
                assert!(report.is_clean(), "{state}: {:?}", report.faults);
                states += 1;
                if states.is_multiple_of(150) && judge::available() {
                    std::fs::write(&path, file.to_vec()).unwrap();
                    let name = format!(
                        r#"json:{{"driver":"qcow2","backing":null,"file":{{"driver":"file","filename":"{}"}}}}"#,
                        path.display()
                    );
                    judge::qemu_img(&["check", &name]);
                }
            }
            if judge::available() {
                let mut bytes = vec![0; memory.size() as usize];
                memory.read_at(0, &mut bytes).unwrap();
                std::fs::write(&path, &bytes).unwrap();
                let info = judge::qemu_img(&["info", "-U", "--output=json", path.to_str().unwrap()]);
                let info: serde_json::Value = serde_json::from_str(&info).unwrap();
                let text = |bytes: Option<Vec<u8>>| bytes.map(|b| String::from_utf8(b).unwrap());
                assert_eq!(info["backing-filename"].as_str(), text(new.0).as_deref());
                assert_eq!(info["backing-filename-format"].as_str(), text(new.1).as_deref());
            }
        }
    }
    assert!(states > 500);
}

#[test]
fn an_abandoned_change_leaves_the_header_as_it_was() {
    for end in ["abandoned", "dropped", "prepared and dropped"] {
        let memory: StorageRef = Arc::new(image(12, 3, 600));
        let options = OpenOptions {
            writable: true,
            ..OpenOptions::default()
        };
        let image = Arc::new(Qcow2::open(memory.clone(), options).unwrap());
        image.set_backing(Some(&[b'x'; 900]), Some(b"qcow2")).unwrap();
        let mut before = vec![0; memory.size() as usize];
        memory.read_at(0, &mut before).unwrap();
        let mut edit = Box::new(image.change_set().unwrap());
        edit.set_backing(Some(&[b'y'; 1000]), None).unwrap();
        match end {
            "abandoned" => edit.prepare().unwrap().abandon().unwrap(),
            "dropped" => drop(edit),
            _ => drop(edit.prepare().unwrap()),
        }
        let mut after = vec![0; memory.size() as usize];
        memory.read_at(0, &mut after).unwrap();
        assert!(before == after, "{end}");
        image.set_backing(None, None).unwrap();
        assert_eq!(said(&*memory).0, None);
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let memory: StorageRef = Arc::new(image(16, 3, 0));
    let options = OpenOptions {
        writable: true,
        ..OpenOptions::default()
    };
    let image = Arc::new(Qcow2::open(memory.clone(), options).unwrap());
    assert!(image.set_backing(Some(&[b'x'; 1024]), None).is_err());
    assert!(image.set_backing(Some(b"a\0b"), None).is_err());
    assert!(image.set_backing(Some(b"a"), Some(&[b'f'; 16])).is_err());
    assert_eq!(said(&*memory).0, None);
    // A name that the header cluster has no room for.
    let memory: StorageRef = Arc::new(self::image(9, 3, 0));
    let options = OpenOptions {
        writable: true,
        ..OpenOptions::default()
    };
    let image = Arc::new(Qcow2::open(memory.clone(), options).unwrap());
    assert!(image.set_backing(Some(&[b'x'; 500]), None).is_err());
    image.set_backing(Some(b"base"), None).unwrap();
}
