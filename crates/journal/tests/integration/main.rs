//! Journals of systemd 252 against its own `journalctl`, and damaged ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use disksmith_journal::{Journal, JournalFile, JournalSource};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

/// A journal in memory.
#[derive(Debug, Clone)]
struct Bytes(Vec<u8>);

impl JournalSource for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap().min(self.0.len());
        let n = buf.len().min(self.0.len() - start);
        buf[..n].copy_from_slice(&self.0[start..start + n]);
        Ok(n)
    }
}

const KINDS: &[&str] = &["compact", "regular", "jenkins"];

fn journal(kind: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/journal/{kind}.journal.zst"));
    let packed = std::fs::File::open(path).unwrap();
    let mut decoder = zstd::stream::read::Decoder::new(packed).unwrap();
    decoder.window_log_max(31).unwrap();
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

type Fields = BTreeSet<Vec<u8>>;

fn ours(bytes: &[u8]) -> (Vec<(u64, Fields)>, u64) {
    let mut file = JournalFile::open(Bytes(bytes.to_vec())).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = file.next_entry().unwrap() {
        let fields = file.all_fields(&entry).unwrap();
        all.push((entry.realtime, fields.into_iter().collect()));
    }
    (all, file.damaged())
}

/// Whether journalctl is there. With CI set it must be.
fn has_journalctl() -> bool {
    let there = Command::new("journalctl").arg("--version").output().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "journalctl is missing (run .ci/install-judges)"
    );
    if !there {
        eprintln!("SKIPPED, for want of journalctl");
    }
    there
}

/// What journalctl exports: times and fields.
fn theirs(bytes: &[u8]) -> Vec<(u64, Fields)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("system.journal");
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new("journalctl")
        .args(["--all", "-o", "export", "--file"])
        .arg(&path)
        .output()
        .unwrap();
    let mut rest = output.stdout.as_slice();
    let mut all = Vec::new();
    let (mut time, mut fields) = (0, Fields::new());
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap();
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.is_empty() {
            all.push((time, std::mem::take(&mut fields)));
        } else if let Some(text) = line.strip_prefix(b"__REALTIME_TIMESTAMP=") {
            time = std::str::from_utf8(text).unwrap().parse().unwrap();
        } else if line.starts_with(b"__") {
        } else if line.contains(&b'=') {
            fields.insert(line.to_vec());
        } else {
            let (len, value) = rest.split_at(8);
            let len = u64::from_le_bytes(len.try_into().unwrap()) as usize;
            fields.insert([line, b"=", &value[..len]].concat());
            rest = &value[len + 1..];
        }
    }
    all
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Puts the compressed fields of a journal that is not compact behind it, compressed in another way, and has entries point there.
fn recompressed(bytes: &[u8], feature: u32, flag: u8, compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let size = |at: usize| u64_at(bytes, at + 8) as usize;
    let tail = u64_at(bytes, 136) as usize;
    let mut end = (tail + size(tail)).next_multiple_of(8);
    let mut at = u64_at(bytes, 88) as usize;
    let mut moved = Vec::new();
    while at <= tail {
        if bytes[at] == 1 && bytes[at + 1] != 0 {
            let plain = zstd::decode_all(&bytes[at + 64..at + size(at)]).unwrap();
            let mut object = bytes[at..at + 64].to_vec();
            object[1] = flag;
            object.extend(compress(&plain));
            let len = object.len() as u64;
            object[8..16].copy_from_slice(&len.to_le_bytes());
            out[end..end + object.len()].copy_from_slice(&object);
            moved.push((at as u64, end as u64));
            end = (end + object.len()).next_multiple_of(8);
        }
        at = (at + size(at)).next_multiple_of(8);
    }
    assert!(!moved.is_empty());
    let mut at = u64_at(bytes, 88) as usize;
    while at <= tail {
        if bytes[at] == 3 {
            for item in (at + 64..at + size(at)).step_by(16) {
                if let Some((_, to)) = moved.iter().find(|(from, _)| *from == u64_at(bytes, item)) {
                    out[item..item + 8].copy_from_slice(&to.to_le_bytes());
                }
            }
        }
        at = (at + size(at)).next_multiple_of(8);
    }
    let features = u32::from_le_bytes(out[12..16].try_into().unwrap()) | feature;
    out[12..16].copy_from_slice(&features.to_le_bytes());
    // journalctl looks at nothing behind the last object
    let last = moved.last().unwrap().1;
    out[136..144].copy_from_slice(&last.to_le_bytes());
    out
}

fn variants() -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<_> = KINDS.iter().map(|kind| (*kind, journal(kind))).collect();
    let regular = journal("regular");
    let lz4 = |plain: &[u8]| {
        let mut out = (plain.len() as u64).to_le_bytes().to_vec();
        out.extend(lz4_flex::block::compress(plain));
        out
    };
    let xz = |plain: &[u8]| {
        let mut writer = xz2::write::XzEncoder::new(Vec::new(), 0);
        io::Write::write_all(&mut writer, plain).unwrap();
        writer.finish().unwrap()
    };
    all.push(("lz4", recompressed(&regular, 2, 2, lz4)));
    all.push(("xz", recompressed(&regular, 1, 1, xz)));
    all
}

#[test]
fn all_fields_are_those_that_journalctl_exports() {
    let judge = has_journalctl();
    for (kind, bytes) in variants() {
        let (found, damaged) = ours(&bytes);
        assert_eq!((found.len(), damaged), (314, 0), "{kind}");
        let long: Vec<u8> = [&b"MESSAGE=long "[..], &b"abcdefgh".repeat(600)].concat();
        assert!(found.iter().any(|(_, fields)| fields.contains(&long)), "{kind}");
        if !judge {
            continue;
        }
        let wanted = theirs(&bytes);
        assert_eq!(found.len(), wanted.len(), "{kind}");
        for (at, (a, b)) in found.iter().zip(&wanted).enumerate() {
            assert_eq!(a, b, "{kind}, entry {at}");
        }
    }
}

#[test]
fn files_are_joined_and_copies_dropped() {
    let open = |kind: &str| JournalFile::open(Bytes(journal(kind))).unwrap();
    let count = |files: Vec<JournalFile<Bytes>>| {
        let mut journal = Journal::new(files).unwrap();
        let mut times = Vec::new();
        while let Some((entry, values)) = journal.next_with(&[b"MESSAGE", b"PRIORITY"]).unwrap() {
            assert_eq!(values.len(), 2);
            times.push(entry.realtime);
        }
        assert!(times.is_sorted());
        times.len()
    };
    assert_eq!(count(vec![open("compact"), open("compact")]), 314);
    assert_eq!(
        count(vec![open("compact"), open("regular"), open("jenkins")]),
        3 * 314
    );
    assert_eq!(count(Vec::new()), 0);
}

#[test]
fn what_is_no_journal_is_told() {
    for (bytes, text) in [
        (b"".to_vec(), "no journal file"),
        (b"LPKSHHRH".to_vec(), "shorter than a header"),
        (b"hello, this is text".to_vec(), "no journal file"),
    ] {
        let error = JournalFile::open(Bytes(bytes)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let mut unknown = journal("regular");
    unknown[12] |= 0x80;
    let error = JournalFile::open(Bytes(unknown)).unwrap_err().to_string();
    assert!(error.contains("0x80"), "{error}");
    // a chain of arrays that bites its tail ends
    let mut looped = journal("regular");
    let array = u64_at(&looped, 176);
    let at = array as usize + 16;
    looped[at..at + 8].copy_from_slice(&array.to_le_bytes());
    let (found, damaged) = ours(&looped);
    assert!(found.len() < 314 && damaged > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damage_neither_stops_nor_drowns_the_reader(
        kind in 0..3usize,
        changes in prop::collection::vec((0..200_000usize, any::<u8>()), 1..40),
        header in prop::collection::vec((88..208usize, any::<u8>()), 0..3),
        cut in prop::option::of(0..400_000usize),
    ) {
        let mut bytes = journal(KINDS[kind]);
        for (at, value) in changes.into_iter().chain(header) {
            bytes[at] = value;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        if let Ok(mut file) = JournalFile::open(Bytes(bytes)) {
            let mut count = 0;
            while let Some(entry) = file.next_entry().unwrap() {
                file.fields(&entry, &[b"MESSAGE", b"_PID"]).unwrap();
                count += 1;
            }
            prop_assert!(count <= 1 << 20);
        }
    }
}
