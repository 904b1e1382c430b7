//! Random trees go in; what two other programs extract is the same tree.

use crate::judge::{path, run};
use crate::model::{self, Item, Kind, Model, assert_same, at};
use crate::reading::{self, Image};
use disksmith_iso9660::{Duplicates, Iso, IsoImage, Level, Options};
use disksmith_storage::{Durability, Existing};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z]{1,3}".prop_map(String::into_bytes),
        3 => "[A-Za-z0-9._ +~#-]{1,40}".prop_map(String::into_bytes),
        2 => "collision-of-long-names[0-9]{1,2}\\.(conf|txt)".prop_map(String::into_bytes),
        1 => "[äöüßéñ日本語字🦀a-z.]{1,20}".prop_map(String::into_bytes),
        1 => "[a-z0-9]{200,255}".prop_map(String::into_bytes),
    ]
    .prop_filter("a name", |n| n != b"." && n != b".." && n.len() < 256)
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z./]{1,30}",
        "/[a-z]{1,10}(/[a-z]{1,10}){0,4}",
        "(\\.\\./){1,4}[a-z]{1,10}",
        "[a-z]{250,255}(/[a-z]{250,255}){0,3}",
        "([a-z]{1,3}/){100,300}x",
    ]
    // The programs that judge do not keep doubled and final slashes in targets.
    .prop_map(|t| {
        let absolute = t.starts_with('/');
        let parts: Vec<&str> = t.split('/').filter(|p| !p.is_empty()).collect();
        let joined = parts.join("/");
        if absolute {
            format!("/{joined}").into_bytes()
        } else if joined.is_empty() {
            b"x".to_vec()
        } else {
            joined.into_bytes()
        }
    })
}

fn item() -> impl Strategy<Value = Item> {
    let kind = prop_oneof![
        3 => Just(Kind::Directory),
        4 => prop::collection::vec(any::<u8>(), 0..5000).prop_map(Kind::File),
        1 => Just(Kind::File(b"the same contents".to_vec())),
        2 => target().prop_map(Kind::Symlink),
    ];
    (
        kind,
        prop::sample::select(vec![0o644u16, 0o755, 0o600, 0o1777, 0o4755, 0o400]),
        0u32..3000,
        0u32..3000,
        1i64..4_000_000_000,
    )
        .prop_map(|(kind, mode, uid, gid, mtime)| Item {
            kind,
            mode,
            uid,
            gid,
            mtime,
        })
}

/// Each step adds an entry to a directory that is there: to the newest one half of the time, so that trees grow deep.
fn model() -> impl Strategy<Value = Model> {
    prop::collection::vec(
        (name(), item(), any::<prop::sample::Index>(), any::<bool>()),
        0..60,
    )
    .prop_map(|steps| {
        let mut model = Model::new();
        let mut directories: Vec<Vec<u8>> = vec![Vec::new()];
        for (name, item, index, newest) in steps {
            let parent = if newest {
                directories.last().unwrap()
            } else {
                index.get(&directories)
            }
            .clone();
            let mut full = parent;
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(&name);
            if model.contains_key(&full) || full.len() > 3000 {
                continue;
            }
            if item.kind == Kind::Directory {
                directories.push(full.clone());
            }
            model.insert(full, item);
        }
        model
    })
}

fn options(level: Level) -> Options {
    Options {
        joliet: true,
        rock_ridge: true,
        level,
        ..Options::new("Round Trip", at(1_700_000_000))
    }
}

fn check(model: &Model, options: Options) {
    let folder = tempfile::tempdir().unwrap();
    let iso = folder.path().join("x.iso");
    let image = IsoImage::plan(model::tree(model), options.clone()).unwrap();
    image
        .write_file(&iso, Existing::Refuse, Durability::Deferred)
        .unwrap();
    assert_eq!(iso.metadata().unwrap().len(), image.size());
    let mut again = Vec::new();
    IsoImage::plan(model::tree(model), options)
        .unwrap()
        .write_to(&mut again)
        .unwrap();
    assert!(std::fs::read(&iso).unwrap() == again, "two runs differ");

    let opened = Iso::open(Image::open(&iso)).unwrap();
    assert_same(model, &reading::read_all(&opened), true, true, "disksmith");
    let by_tar = folder.path().join("bsdtar");
    std::fs::create_dir(&by_tar).unwrap();
    if run("bsdtar", &["-C", path(&by_tar), "-xpf", path(&iso)]).is_some() {
        assert_same(model, &model::read_host(&by_tar), true, true, "bsdtar");
    }
    let by_xorriso = folder.path().join("xorriso");
    let arguments = [
        "-report_about",
        "SORRY",
        "-abort_on",
        "SORRY",
        "-osirrox",
        "on",
        "-indev",
        path(&iso),
        "-extract",
        "/",
        path(&by_xorriso),
    ];
    if run("xorriso", &arguments).is_some() {
        assert_same(model, &model::read_host(&by_xorriso), false, true, "xorriso");
    }
}

fn cases() -> ProptestConfig {
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    ProptestConfig {
        cases: if long { 1500 } else { 24 },
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_goes_in_comes_out(model in model(), level in prop::sample::select(vec![Level::One, Level::Three, Level::Four]), contents in any::<bool>()) {
        let duplicates = if contents { Duplicates::Contents } else { Duplicates::Links };
        check(&model, Options { duplicates, ..options(level) });
    }
}

fn plain(kind: Kind) -> Item {
    Item {
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 1_650_000_000,
    }
}

#[test]
fn deep_directories() {
    let mut model = Model::new();
    let mut at = Vec::new();
    for level in 0..30 {
        if level > 0 {
            at.push(b'/');
        }
        at.extend_from_slice(format!("level{level}").as_bytes());
        model.insert(at.clone(), plain(Kind::Directory));
        let mut file = at.clone();
        file.extend_from_slice(b"/file");
        model.insert(file, plain(Kind::File(format!("at {level}").into_bytes())));
    }
    check(&model, options(Level::One));
    check(
        &model,
        Options {
            joliet: false,
            padding_blocks: 0,
            ..options(Level::Two)
        },
    );
    check(&model, options(Level::Four));
}

#[test]
fn many_colliding_names_in_one_directory() {
    let mut model = Model::new();
    for i in 0..3000 {
        model.insert(
            format!("a-rather-long-name-{i:05}.conf").into_bytes(),
            plain(Kind::File(vec![b'x'; i % 7])),
        );
    }
    check(&model, options(Level::One));
}

#[test]
fn an_empty_tree() {
    check(&Model::new(), options(Level::One));
}
