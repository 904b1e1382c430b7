//! Chains that are committed, rebased and pulled, by disksmith and by qemu-img in turn, against a model of the guest's disk.

use crate::judge::{self, assert_clean, directory, have, qemu_img, qemu_io};
use disksmith_image::{
    CommitOptions, Error, NoProgress, PullOptions, RebaseOptions, commit, convert, pull, rebase,
};
use disksmith_image::{ConvertOptions, Format, OpenOptions};
use disksmith_storage::Existing;
use disksmith_storage::testing::Random;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// What a guest reads from an image, as qemu-img has it.
fn contents(dir: &Path, name: &str) -> Vec<u8> {
    qemu_img(dir, &format!("convert -O raw {name} read.tmp"));
    std::fs::read(dir.join("read.tmp")).unwrap()
}

/// One image of the chain.
#[derive(Debug, Clone)]
struct Member {
    name: String,
    format: &'static str,
    size: u64,
}

/// A chain of images in one folder; the last one is the top.
struct World {
    dir: tempfile::TempDir,
    random: Random,
    chain: Vec<Member>,
    model: Vec<u8>,
    made: usize,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            dir: directory(),
            random: Random::new(seed),
            chain: Vec::new(),
            model: Vec::new(),
            made: 0,
            log: Vec::new(),
        };
        world.add();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn top(&self) -> Member {
        self.chain.last().unwrap().clone()
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("i{}", self.made)
    }

    /// Another image upon the chain, or its first.
    fn add(&mut self) {
        let name = self.new_name();
        let size = (1 + self.random.below(6)) * MIB / 2;
        let raw = self.chain.is_empty() && self.random.one_in(2);
        let line = if raw {
            format!("create -q -f raw {name} {size}")
        } else {
            let options = [
                "cluster_size=64k",
                "cluster_size=4k",
                "cluster_size=2M",
                "compat=0.10",
                "extended_l2=on",
                "compression_type=zstd",
            ];
            let options = options[self.random.below(6) as usize];
            let below = self
                .chain
                .last()
                .map(|m| format!("-b {} -F {}", m.name, m.format))
                .unwrap_or_default();
            format!("create -q -f qcow2 -o {options} {below} {name} {size}")
        };
        qemu_img(self.dir.path(), &line);
        self.note(line);
        self.model.resize(size as usize, 0);
        let format = if raw { "raw" } else { "qcow2" };
        self.chain.push(Member { name, format, size });
    }

    /// A few writes of a guest.
    fn write(&mut self) {
        let top = self.top();
        let mut commands = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let sector = self.random.below(top.size / 512);
            let most = (top.size / 512 - sector).min(700);
            let len = (1 + self.random.below(most)) * 512;
            let offset = sector * 512;
            let value = 1 + self.random.below(250) as u8;
            let zero = self.random.one_in(3);
            let command = match zero {
                true => format!("write -q -z {offset} {len}"),
                false => format!("write -q -P {value} {offset} {len}"),
            };
            commands.push(command);
            let byte = if zero { 0 } else { value };
            self.model[offset as usize..(offset + len) as usize].fill(byte);
        }
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        qemu_io(self.dir.path(), top.format, &top.name, &commands);
        self.note(format!("{} {commands:?}", top.name));
    }

    fn commit(&mut self) {
        let len = self.chain.len();
        if len < 2 {
            return;
        }
        let top = self.top();
        let below = self.chain[len - 2].clone();
        // Where the base grows, qemu-img shows what it once copied beyond the end of the base's disk into its last cluster.
        if self.random.one_in(3) && below.size >= top.size {
            qemu_img(self.dir.path(), &format!("commit -q {}", top.name));
            self.note(format!("qemu commit {}", top.name));
            return;
        }
        // Any part of the chain, counted from the bottom.
        let from = 1 + self.random.below(len as u64 - 1) as usize;
        let to = self.random.below(from as u64) as usize;
        let base = self.chain[to].clone();
        let middle = self.chain[from].clone();
        let delete = self.random.one_in(2);
        let options = CommitOptions {
            top: Some(self.path(&middle.name)),
            base: Some(self.path(&base.name)),
            delete,
            // Images that were rebased away lie about.
            force: true,
            ..CommitOptions::default()
        };
        self.note(format!(
            "commit {} to {} delete {delete} ({})",
            middle.name, base.name, below.name
        ));
        let done = commit(&self.path(&top.name), &options, &NoProgress).unwrap();
        assert_eq!(done.emptied, from == len - 1);
        self.chain[to].size = base.size.max(middle.size);
        assert_eq!(done.virtual_size, self.chain[to].size);
        // The images between are out of the chain; the top, which is emptied, stays.
        let first = to + 1;
        let end = if from == len - 1 { from } else { from + 1 };
        for gone in self.chain.drain(first..end) {
            assert_eq!(delete, !self.dir.path().join(&gone.name).exists());
            let _ = std::fs::remove_file(self.dir.path().join(&gone.name));
        }
    }

    fn rebase(&mut self) {
        let len = self.chain.len();
        let top = self.top();
        if top.format == "raw" {
            return;
        }
        // Upon an image of the chain, upon another one, or upon nothing.
        let target = self.random.below(len as u64 + 1) as usize;
        let other = self.random.one_in(2);
        let (name, format) = match target {
            _ if other => {
                let name = self.new_name();
                let size = (1 + self.random.below(6)) * MIB / 2;
                qemu_img(self.dir.path(), &format!("create -q -f raw {name} {size}"));
                qemu_io(
                    self.dir.path(),
                    "raw",
                    &name,
                    &[&format!("write -q -P 77 0 {}", size / 2)],
                );
                (name, "raw")
            }
            t if t < len - 1 => (self.chain[t].name.clone(), self.chain[t].format),
            _ => (String::new(), ""),
        };
        let compress = self.random.one_in(3);
        self.note(format!("rebase {} upon '{name}' compress {compress}", top.name));
        // qemu-img loses zeroes of version 2 images there, so it is not asked.
        let options = RebaseOptions {
            backing: Some(name.clone().into_bytes()),
            backing_format: (!format.is_empty()).then(|| format.to_owned()),
            compress,
            write_out_zeroes: self.random.one_in(2),
            ..RebaseOptions::default()
        };
        rebase(&self.path(&top.name), &options, &NoProgress).unwrap();
        let below = match (name.is_empty(), other) {
            (true, _) => Vec::new(),
            (false, true) => {
                let size = std::fs::metadata(self.path(&name)).unwrap().len();
                vec![Member {
                    name,
                    format: "raw",
                    size,
                }]
            }
            (false, false) => self.chain[..=target].to_vec(),
        };
        self.chain = below;
        self.chain.push(top);
    }

    fn pull(&mut self) {
        let len = self.chain.len();
        if len < 2 {
            return;
        }
        let top = self.top();
        let keep = self.random.below(len as u64) as usize;
        let base = (keep > 0).then(|| self.chain[keep - 1].clone());
        self.note(format!(
            "pull {} down to {:?}",
            top.name,
            base.as_ref().map(|b| &b.name)
        ));
        let options = PullOptions {
            base: base.map(|base| self.path(&base.name)),
            compress: self.random.one_in(3),
            ..PullOptions::default()
        };
        pull(&self.path(&top.name), &options, &NoProgress).unwrap();
        self.chain.truncate(keep);
        self.chain.push(top);
    }

    fn judge(&self) {
        for member in &self.chain {
            if member.format == "qcow2" {
                assert_clean(&self.path(&member.name));
            }
        }
        let now = contents(self.dir.path(), &self.top().name);
        let differs = (0..now.len().max(self.model.len())).find(|i| now.get(*i) != self.model.get(*i));
        assert_eq!(differs, None, "the disk differs; what was done: {:#?}", self.log);
    }
}

#[test]
fn chains_hold_what_the_guest_wrote() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    for seed in 0..if long { 200 } else { 4 } {
        let mut world = World::new(seed * 7 + 1);
        for _ in 0..if long { 30 } else { 9 } {
            match world.random.below(9) {
                0..=2 if world.chain.len() < 5 => {
                    world.add();
                    world.write();
                }
                0..=3 => world.write(),
                4 | 5 => world.commit(),
                6 | 7 => world.rebase(),
                _ => world.pull(),
            }
            world.judge();
        }
    }
}

fn chain_of_three(dir: &Path) {
    qemu_img(dir, "create -q -f qcow2 base 4M");
    qemu_io(dir, "qcow2", "base", &["write -q -P 1 0 1M"]);
    qemu_img(dir, "create -q -f qcow2 -b base -F qcow2 mid");
    qemu_io(dir, "qcow2", "mid", &["write -q -P 2 1M 1M"]);
    qemu_img(dir, "create -q -f qcow2 -b mid -F qcow2 top");
    qemu_io(dir, "qcow2", "top", &["write -q -P 3 2M 1M"]);
}

#[test]
fn clones_that_nobody_named_are_not_harmed() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let at = |name: &str| dir.path().join(name);
    chain_of_three(dir.path());
    qemu_img(dir.path(), "create -q -f qcow2 -b base -F qcow2 other");
    let before = std::fs::read(at("base")).unwrap();
    let refused = commit(&at("mid"), &CommitOptions::default(), &NoProgress).unwrap_err();
    assert!(
        matches!(&refused, Error::HasClones { clones, .. } if clones == &[at("other")]),
        "{refused}"
    );
    assert_eq!(std::fs::read(at("base")).unwrap(), before);
    // An overlay of the top of what goes down is named: it stands on the base afterwards.
    std::fs::remove_file(at("other")).unwrap();
    qemu_img(dir.path(), "create -q -f qcow2 -b mid -F qcow2 other 6M");
    let (top, other) = (contents(dir.path(), "top"), contents(dir.path(), "other"));
    let options = CommitOptions {
        top: Some(at("mid")),
        overlays: vec![at("other")],
        delete: true,
        ..CommitOptions::default()
    };
    let done = commit(&at("top"), &options, &NoProgress).unwrap();
    assert_eq!(done.moved, [at("top"), at("other")]);
    assert_eq!(done.deleted, [at("mid")]);
    assert!(contents(dir.path(), "top") == top && contents(dir.path(), "other") == other);
    for name in ["base", "top", "other"] {
        assert_clean(&at(name));
    }
}

#[test]
fn an_overlay_longer_than_what_went_down_sees_no_more_of_a_longer_base() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    qemu_img(dir.path(), "create -q -f raw base 4M");
    qemu_io(dir.path(), "raw", "base", &["write -q -P 1 0 4M"]);
    qemu_img(dir.path(), "create -q -f qcow2 -b base -F raw mid 1M");
    qemu_img(dir.path(), "create -q -f qcow2 -b mid -F qcow2 top 3M");
    let before = contents(dir.path(), "top");
    let options = CommitOptions {
        top: Some(dir.path().join("mid")),
        ..CommitOptions::default()
    };
    commit(&dir.path().join("top"), &options, &NoProgress).unwrap();
    assert!(contents(dir.path(), "top") == before);
    assert!(qemu_img(dir.path(), "info top").contains("backing file: base"));
}

#[test]
fn snapshots_and_bitmaps_stay_when_the_top_is_emptied() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    chain_of_three(dir.path());
    qemu_img(dir.path(), "snapshot -c one top");
    qemu_img(dir.path(), "bitmap --add base b0");
    qemu_io(dir.path(), "qcow2", "top", &["write -q -P 9 2M 64k"]);
    let before = contents(dir.path(), "top");
    commit(&dir.path().join("top"), &CommitOptions::default(), &NoProgress).unwrap();
    assert!(contents(dir.path(), "top") == before);
    commit(&dir.path().join("mid"), &CommitOptions::default(), &NoProgress).unwrap();
    assert!(contents(dir.path(), "top") == before);
    qemu_img(dir.path(), "snapshot -a one top");
    let there = contents(dir.path(), "top");
    assert!(there[2 << 20..3 << 20].iter().all(|b| *b == 3));
    for name in ["base", "mid", "top"] {
        assert_clean(&dir.path().join(name));
    }
}

#[test]
fn a_chain_of_external_data_files() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let options = "-o data_file";
    // Names of data files stand beside the process for qemu-img create, so they are absolute.
    let data = |name: &str| format!("{options}={}", dir.path().join(name).display());
    qemu_img(
        dir.path(),
        &format!("create -q -f qcow2 {} base 4M", data("base.data")),
    );
    qemu_io(dir.path(), "qcow2", "base", &["write -q -P 1 0 1M"]);
    qemu_img(
        dir.path(),
        &format!("create -q -f qcow2 -b base -F qcow2 {} top", data("top.data")),
    );
    qemu_io(dir.path(), "qcow2", "top", &["write -q -P 2 512k 1M"]);
    let before = contents(dir.path(), "top");
    commit(&dir.path().join("top"), &CommitOptions::default(), &NoProgress).unwrap();
    assert!(contents(dir.path(), "top") == before && contents(dir.path(), "base") == before);
    pull(&dir.path().join("top"), &PullOptions::default(), &NoProgress).unwrap();
    assert!(contents(dir.path(), "top") == before);
    assert!(!qemu_img(dir.path(), "info top").contains("backing file"));
    for name in ["base", "top"] {
        assert_clean(&dir.path().join(name));
    }
}

#[test]
fn a_bad_source_leaves_everything_as_it_was() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    qemu_img(dir.path(), "create -q -f qcow2 base 4M");
    qemu_io(dir.path(), "qcow2", "base", &["write -q -P 1 0 4M"]);
    qemu_img(dir.path(), "create -q -f qcow2 plain 4M");
    qemu_io(dir.path(), "qcow2", "plain", &["write -q -P 5 0 3M"]);
    let packed = ConvertOptions {
        compress: true,
        existing: Existing::Refuse,
        ..ConvertOptions::new(Format::Qcow2)
    };
    let packed_path = dir.path().join("packed");
    convert(
        &[dir.path().join("plain")],
        &OpenOptions::read(),
        &packed_path,
        &packed,
        &NoProgress,
    )
    .unwrap();
    judge::qemu_img(dir.path(), "rebase -u -b base -F qcow2 packed");
    // A compressed cluster that does not decompress, behind good ones.
    let map = judge::qemu_img(dir.path(), "info --output=json packed");
    assert!(map.contains("base"));
    let mut bytes = std::fs::read(&packed_path).unwrap();
    let place = bytes.len() - 200;
    bytes[place..].fill(0xff);
    for index in (0x5_0000..bytes.len()).step_by(64) {
        bytes[index] = 0xff;
    }
    std::fs::write(&packed_path, &bytes).unwrap();
    let base = std::fs::read(dir.path().join("base")).unwrap();
    for error in [
        commit(&packed_path, &CommitOptions::default(), &NoProgress).map(drop),
        rebase(
            &packed_path,
            &RebaseOptions {
                backing: Some(b"missing".to_vec()),
                ..RebaseOptions::default()
            },
            &NoProgress,
        )
        .map(drop),
    ] {
        assert!(error.is_err());
        assert!(std::fs::read(dir.path().join("base")).unwrap() == base);
        assert!(std::fs::read(&packed_path).unwrap() == bytes);
    }
}
