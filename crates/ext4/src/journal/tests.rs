//! Journals made by hand, for what a kernel cannot easily be made to leave behind.

use super::*;
use disksmith_storage::{Memory, Storage};

const BLOCK: u32 = 1024;
const LOG_BLOCKS: u32 = 64;
const FS_BLOCKS: u64 = 256;

fn be(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// A filesystem of 256 blocks whose journal is its last 64.
struct Fixture {
    storage: Memory,
}

impl Fixture {
    fn new(start: u32, sequence: u32) -> Self {
        let storage = Memory::new(FS_BLOCKS * u64::from(BLOCK));
        let this = Self { storage };
        let mut superblock = JournalSuperblock::new(BLOCK, LOG_BLOCKS, 0, [1; 16]).to_bytes();
        superblock[0x18..0x20].copy_from_slice(&be(&[sequence, start]));
        this.log_block(0, &superblock);
        this
    }

    fn log_block(&self, block: u32, bytes: &[u8]) {
        let at = (FS_BLOCKS - u64::from(LOG_BLOCKS) + u64::from(block)) * u64::from(BLOCK);
        self.storage.write_at(at, bytes).unwrap();
    }

    fn runs() -> Vec<LogRun> {
        vec![LogRun {
            logical: 0,
            physical: FS_BLOCKS - u64::from(LOG_BLOCKS),
            len: LOG_BLOCKS,
        }]
    }

    fn plan(&self) -> Result<Recovery, JournalError> {
        let log = Log::open(&self.storage, Self::runs(), LOG_BLOCKS.into(), BLOCK, FS_BLOCKS)?;
        Recovery::plan(log, &self.storage, RecoveryLimits::default())
    }

    /// A descriptor block with plain tags, each with the same UUID; `escaped` sets that flag on all.
    fn descriptor(&self, at: u32, sequence: u32, blocks: &[u32], escaped: bool) {
        let mut bytes = be(&[super::header::MAGIC, 1, sequence]);
        for (i, block) in blocks.iter().enumerate() {
            let last = if i + 1 == blocks.len() { 8 } else { 0 };
            bytes.extend(be(&[*block, 2 | last | u32::from(escaped)]));
        }
        self.log_block(at, &bytes);
    }

    fn commit(&self, at: u32, sequence: u32) {
        self.log_block(at, &be(&[super::header::MAGIC, 2, sequence]));
    }

    fn block(&self, block: u64) -> u8 {
        let mut byte = [0];
        self.storage.read_at(block * u64::from(BLOCK), &mut byte).unwrap();
        byte[0]
    }
}

#[test]
fn the_log_wraps_around_its_end_and_the_last_copy_counts() {
    let f = Fixture::new(LOG_BLOCKS - 2, u32::MAX);
    f.descriptor(LOG_BLOCKS - 2, u32::MAX, &[7, 8], false);
    f.log_block(LOG_BLOCKS - 1, &[0x11; BLOCK as usize]);
    f.log_block(1, &[0x22; BLOCK as usize]);
    f.commit(2, u32::MAX);
    f.descriptor(3, 0, &[8], false);
    f.log_block(4, &[0x33; BLOCK as usize]);
    f.commit(5, 0);
    f.descriptor(6, 1, &[9], false);
    let recovery = f.plan().unwrap();
    assert_eq!((recovery.transactions(), recovery.blocks()), (2, 2));
    recovery.apply(&f.storage).unwrap();
    assert_eq!((f.block(7), f.block(8), f.block(9)), (0x11, 0x33, 0));
    let again = f.plan().unwrap();
    assert!(!again.is_needed());
    assert_eq!(again.log().superblock().sequence(), Sequence(2));
}

#[test]
fn revoked_blocks_stay_as_they_are_and_escaped_ones_get_their_magic_back() {
    let f = Fixture::new(1, 10);
    f.descriptor(1, 10, &[7, 8], true);
    f.log_block(2, &[0; BLOCK as usize]);
    f.log_block(3, &[0; BLOCK as usize]);
    f.commit(4, 10);
    f.log_block(5, &be(&[super::header::MAGIC, 5, 11, 20, 7]));
    f.commit(6, 11);
    let recovery = f.plan().unwrap();
    assert_eq!((recovery.blocks(), recovery.revoked()), (1, 1));
    recovery.apply(&f.storage).unwrap();
    assert_eq!((f.block(7), f.block(8)), (0, 0xC0));
}

#[test]
fn a_view_shows_the_recovered_blocks_and_leaves_the_storage_alone() {
    let f = Fixture::new(1, 10);
    f.descriptor(1, 10, &[7, 9], false);
    f.log_block(2, &[0x44; BLOCK as usize]);
    f.log_block(3, &[0x55; BLOCK as usize]);
    f.commit(4, 10);
    let recovery = f.plan().unwrap();
    let Fixture { storage } = f;
    let base: disksmith_storage::StorageRef = std::sync::Arc::new(storage);
    let view = RecoveredView::new(base.clone(), &recovery).unwrap();
    let mut bytes = vec![0; 4 * BLOCK as usize];
    view.read_at(6 * u64::from(BLOCK) + 5, &mut bytes).unwrap();
    let at = |block: usize| bytes[(block - 6) * BLOCK as usize];
    assert_eq!((at(6), at(7), at(8), at(9)), (0, 0x44, 0, 0x55));
    view.write_at(7 * u64::from(BLOCK) + 1, &[1, 2]).unwrap();
    let mut four = [0; 4];
    view.read_at(7 * u64::from(BLOCK), &mut four).unwrap();
    assert_eq!(four, [0x44, 1, 2, 0x44]);
    base.read_at(7 * u64::from(BLOCK), &mut four).unwrap();
    assert_eq!(four, [0; 4]);
    let log = Log::open(&view, Fixture::runs(), LOG_BLOCKS.into(), BLOCK, FS_BLOCKS).unwrap();
    assert_eq!(log.superblock().start(), 0);
}

#[test]
fn endless_logs_and_blocks_outside_end_in_errors() {
    // Descriptor blocks of one transaction all around the log.
    let f = Fixture::new(1, 10);
    for at in 1..LOG_BLOCKS {
        f.descriptor(at, 10, &[7], false);
    }
    assert_eq!(f.plan().unwrap().transactions(), 0);
    // Commit blocks all around: each ends a transaction, and none can follow the last.
    let f = Fixture::new(1, 10);
    for at in 1..LOG_BLOCKS {
        f.commit(at, 9 + at);
    }
    assert_eq!(f.plan().unwrap().blocks(), 0);
    let f = Fixture::new(1, 10);
    f.descriptor(1, 10, &[FS_BLOCKS as u32], false);
    f.commit(3, 10);
    assert!(matches!(
        f.plan(),
        Err(JournalError::Corrupt {
            field: "t_blocknr",
            ..
        })
    ));
    let f = Fixture::new(LOG_BLOCKS, 10);
    assert!(matches!(
        f.plan(),
        Err(JournalError::Corrupt { field: "s_start", .. })
    ));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    #[test]
    fn noise_never_panics(
        start in 0..LOG_BLOCKS + 2,
        words in proptest::collection::vec((0u32..LOG_BLOCKS * 256, 0u32..300), 0..60),
        headers in proptest::collection::vec((1u32..LOG_BLOCKS, 1u32..7, 10u32..13), 0..40),
        features in proptest::array::uniform3(0u32..64),
    ) {
        let f = Fixture::new(start, 10);
        for (at, kind, sequence) in headers {
            f.log_block(at, &be(&[super::header::MAGIC, kind, sequence, 1000]));
        }
        for (at, value) in words {
            let base = (FS_BLOCKS - u64::from(LOG_BLOCKS)) * u64::from(BLOCK);
            f.storage.write_at(base + u64::from(at) * 4, &value.to_be_bytes()).unwrap();
        }
        f.storage
            .write_at((FS_BLOCKS - u64::from(LOG_BLOCKS)) * u64::from(BLOCK) + 0x24, &be(&features))
            .unwrap();
        if let Ok(recovery) = f.plan() {
            recovery.apply(&f.storage).unwrap();
        }
    }
}
