use super::*;
use crate::{HostFile, OpenMode, RawShadow, Shadow, finish_prepared, open_for_change, pending_log};
use std::sync::Arc;

struct Fleet {
    directory: tempfile::TempDir,
    images: Vec<PathBuf>,
}

impl Fleet {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images: Vec<PathBuf> = (0..3)
            .map(|i| directory.path().join(format!("disk{i}.raw")))
            .collect();
        for image in &images {
            std::fs::write(image, vec![1; 20_000]).unwrap();
        }
        Self { directory, images }
    }

    fn prepare(&self) -> Vec<Box<dyn Prepared>> {
        self.images
            .iter()
            .map(|image| {
                let file = Arc::new(open_for_change(image, None).unwrap());
                let shadow = Box::new(RawShadow::new(file, None).unwrap());
                shadow.write_at(5000, &[2; 5000]).unwrap();
                shadow.prepare().unwrap()
            })
            .collect()
    }

    fn members(&self, prepared: &[Box<dyn Prepared>]) -> Vec<Member> {
        self.images
            .iter()
            .zip(prepared)
            .map(|(image, p)| Member::new(image, p.as_ref()).unwrap())
            .collect()
    }

    fn states(&self) -> Vec<bool> {
        self.images
            .iter()
            .map(|image| std::fs::read(image).unwrap()[5000] == 2)
            .collect()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.directory.path()).unwrap().count()
    }

    fn find(&self, i: usize) -> Option<Intent> {
        let image = &self.images[i];
        let id = FileId::of(&std::fs::metadata(image).unwrap());
        Intent::find(image, id, None).unwrap()
    }

    /// As after a kill: no destructor runs, only the locks go.
    fn kill(prepared: Vec<Box<dyn Prepared>>, directory: &Path) {
        let logs: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "disksmith-log"))
            .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
            .collect();
        drop(prepared);
        for (path, bytes) in logs {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn all_switch() {
    let fleet = Fleet::new();
    let prepared = fleet.prepare();
    let decided = Intent::decide(&fleet.members(&prepared), None).unwrap();
    for prepared in prepared {
        prepared.switch().unwrap();
    }
    decided.finish().unwrap();
    assert_eq!(fleet.states(), [true; 3]);
    assert_eq!(fleet.files(), 3);
}

#[test]
fn undecided_changes_do_not_count() {
    let fleet = Fleet::new();
    let prepared = fleet.prepare();
    Fleet::kill(prepared, fleet.directory.path());
    assert_eq!(fleet.files(), 6);
    for image in &fleet.images {
        drop(open_for_change(image, None).unwrap());
    }
    assert_eq!(fleet.states(), [false; 3]);
    assert_eq!(fleet.files(), 3);
}

#[test]
fn decided_changes_count_however_many_were_switched() {
    for switched in 0..=3 {
        for found_at in 0..3 {
            let fleet = Fleet::new();
            let mut prepared = fleet.prepare();
            let _decided = Intent::decide(&fleet.members(&prepared), None).unwrap();
            for prepared in prepared.drain(..switched) {
                prepared.switch().unwrap();
            }
            Fleet::kill(prepared, fleet.directory.path());
            if switched < 3 {
                // No single image is changed behind the others' back, and readers are told.
                let error = open_for_change(&fleet.images[2], None).unwrap_err();
                assert!(matches!(error, Error::Pending { .. }), "{error}");
                let file = HostFile::open(&fleet.images[2], OpenMode::Read, crate::LockMode::Lock).unwrap();
                assert!(pending_log(&file, None).unwrap().is_some());
            }
            let intent = fleet.find(found_at).unwrap();
            assert_eq!(intent.members().len(), 3);
            intent
                .complete(|member| {
                    assert_eq!(member.format, "raw");
                    finish_prepared(&member.record)
                })
                .unwrap();
            assert_eq!(fleet.states(), [true; 3]);
            assert_eq!(fleet.files(), 3);
        }
    }
}

#[test]
fn a_pointer_to_nothing_says_nothing() {
    let fleet = Fleet::new();
    let prepared = fleet.prepare();
    let decided = Intent::decide(&fleet.members(&prepared), None).unwrap();
    assert!(fleet.find(2).is_some());
    std::fs::remove_file(decided.path()).unwrap();
    assert!(fleet.find(2).is_none());
    // A later intent of the same first image is another one.
    let other = Intent::decide(&fleet.members(&prepared)[..1], None).unwrap();
    assert!(fleet.find(0).is_some());
    assert!(fleet.find(2).is_none());
    other.finish().unwrap();
}

#[test]
fn an_image_that_was_replaced_stops_it() {
    let fleet = Fleet::new();
    let prepared = fleet.prepare();
    let _decided = Intent::decide(&fleet.members(&prepared), None).unwrap();
    Fleet::kill(prepared, fleet.directory.path());
    let other = fleet.directory.path().join("other");
    std::fs::write(&other, vec![1; 20_000]).unwrap();
    std::fs::rename(&other, &fleet.images[1]).unwrap();
    let error = fleet
        .find(0)
        .unwrap()
        .complete(|_| panic!("not called"))
        .unwrap_err();
    assert!(matches!(error, Error::LogOfAnotherFile { .. }));
    assert_eq!(fleet.states(), [false; 3]);
}

#[test]
fn damage_is_found() {
    let members = [Member {
        format: "raw".into(),
        image: "/a".into(),
        id: FileId { device: 1, inode: 2 },
        size: 3,
        record: vec![4, 5],
    }];
    let mut bytes = encode(&members);
    let path = Path::new("intent");
    assert_eq!(parse(&bytes, path).unwrap(), Parsed::Intent(members.to_vec()));
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert!(parse(&bytes, path).is_err());
        assert!(parse(&bytes[..at], path).is_err());
        bytes[at] ^= 1;
    }
}
