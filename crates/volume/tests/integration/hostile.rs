use disksmith_storage::Memory;
use disksmith_volume::{
    Disk, GptLayout, GptPartition, MbrLayout, MbrPartition, Notice, SectorSize, Uuid, gpt_type,
};
use proptest::prelude::*;
use std::sync::Arc;

const SIZE: u64 = 1 << 20;

fn gpt(sector: SectorSize) -> Vec<u8> {
    let disk = Memory::new(SIZE);
    let partition = |number, start: u64| GptPartition {
        number,
        start,
        len: 65_536,
        type_guid: gpt_type::LINUX_DATA,
        guid: Uuid::from_u128(u128::from(number)),
        name: "x".into(),
        attributes: 0,
    };
    let partitions = vec![partition(1, 65_536), partition(9, 262_144)];
    let disk_guid = Uuid::from_u128(77);
    GptLayout {
        disk_guid,
        sector,
        partitions,
    }
    .write(&disk)
    .unwrap();
    disk.to_vec()
}

fn mbr() -> Vec<u8> {
    let disk = Memory::new(SIZE);
    let partition = |number, start: u64, len| MbrPartition {
        number,
        start,
        len,
        kind: 0x83,
        bootable: false,
    };
    let mut extended = partition(2, 131_072, 524_288);
    extended.kind = 0x05;
    let partitions = vec![
        partition(1, 65_536, 65_536),
        extended,
        partition(5, 132_096, 65_536),
        partition(6, 262_144, 65_536),
        partition(7, 393_216, 65_536),
    ];
    MbrLayout {
        identifier: 1,
        partitions,
    }
    .write(&disk)
    .unwrap();
    disk.to_vec()
}

/// Looks at everything that a probe gives; every partition must lie in the disk.
fn use_it(bytes: &[u8]) {
    let Ok(disk) = Disk::probe(Arc::new(Memory::from_bytes(bytes))) else {
        return;
    };
    for notice in disk.notices() {
        let _ = notice.to_string();
    }
    for partition in disk.partitions() {
        assert!(partition.end() <= bytes.len() as u64);
        assert_eq!(disk.open(partition).unwrap().size(), partition.len);
    }
    assert!(disk.partitions().len() < 33_000);
}

/// Where the tables lie: places that a change does something to.
fn interesting(len: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        0..2048usize,
        4096..4300usize,
        8192..8500usize,
        131_072..133_000usize,
        262_000..262_144usize,
        196_000..198_000usize,
        len - 1024..len,
        0..len
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_bytes_never_panic(
        kind in 0..3,
        changes in prop::collection::vec((interesting(SIZE as usize), any::<[u8; 4]>()), 1..12),
        fix in any::<bool>(),
        cut in prop::option::of(0..SIZE as usize),
    ) {
        let mut bytes = match kind {
            0 => gpt(SectorSize::Bytes512),
            1 => gpt(SectorSize::Bytes4096),
            _ => mbr(),
        };
        for (at, value) in changes {
            for (place, byte) in bytes.iter_mut().skip(at).zip(value) {
                *place = byte;
            }
        }
        if fix {
            // Checksums made good again, so that the fields behind them are reached.
            for header in [512, 4096, SIZE as usize - 512, SIZE as usize - 4096] {
                repair(&mut bytes, header);
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        use_it(&bytes);
    }
}

fn repair(bytes: &mut [u8], header: usize) {
    if !bytes[header..].starts_with(b"EFI PART") {
        return;
    }
    let field =
        |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[header + at..header + at + 4].try_into().unwrap());
    let sector = if header.is_multiple_of(4096) { 4096 } else { 512 };
    let start = field(bytes, 72) as usize * sector;
    let len = (field(bytes, 80) as usize).saturating_mul(field(bytes, 84) as usize);
    if let Some(array) = bytes.get(start..start.saturating_add(len)) {
        let crc = crc32fast::hash(array);
        bytes[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
    }
    bytes[header + 16..header + 20].fill(0);
    let size = (field(bytes, 12) as usize).min(512);
    let crc = crc32fast::hash(&bytes[header..header + size]);
    bytes[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let mut bytes = mbr();
    // The second link of the first record leads back to the first.
    let link = 131_072 + 446 + 16 + 8;
    bytes[link..link + 4].fill(0);
    let disk = Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap();
    assert!(
        disk.notices()
            .iter()
            .any(|n| n.to_string().contains("leads back to itself"))
    );
    assert_eq!(disk.partitions().len(), 3);
}

#[test]
fn partitions_beyond_the_end_are_cut_or_left_out_and_told() {
    let mut bytes = mbr();
    bytes.truncate(300_000);
    let disk = Disk::probe(Arc::new(Memory::from_bytes(&bytes))).unwrap();
    // As Linux does: what begins on the disk ends with its last whole sector; what begins behind is not there.
    let ends: Vec<(u32, u64)> = disk.partitions().iter().map(|p| (p.number, p.end())).collect();
    let end = 300_000 / 512 * 512;
    assert_eq!(ends, [(1, 131_072), (2, end), (5, 197_632), (6, end)]);
    let cut = Notice::CutAtEnd {
        number: 6,
        missing: 327_680 - end,
    };
    assert!(disk.notices().contains(&cut), "{:?}", disk.notices());
}
