use disksmith_fs::probe;
use disksmith_storage::{Memory, StorageRef};
use proptest::prelude::*;
use std::sync::Arc;

/// Magic bytes and where they lie.
const MAGICS: [(usize, &[u8]); 16] = [
    (0, b"XFSB"),
    (0, b"LUKS\xba\xbe\0\x02"),
    (0, b"hsqs"),
    (3, b"NTFS    "),
    (3, b"EXFAT   "),
    (510, b"\x55\xaa"),
    (512, b"LABELONE"),
    (536, b"LVM2 001"),
    (1080, b"\x53\xef"),
    (1024, b"\x10\x20\xf5\xf2"),
    (1024, b"\xe2\xe1\xf5\xe0"),
    (4086, b"SWAPSPACE2"),
    (4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
    (0x8000, b"\x01CD001"),
    (0x8801, b"NSR03"),
    (0x1_0040, b"_BHRfS_M"),
];

proptest! {
    #[test]
    fn no_mixture_of_signatures_panics(
        size in prop_oneof![0..5000usize, 60_000..140_000usize],
        fill in any::<u8>(),
        picked in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut bytes = vec![fill; size];
        for pick in picked {
            let (at, magic) = MAGICS[pick.index(MAGICS.len())];
            for (place, byte) in bytes.iter_mut().skip(at).zip(magic) {
                *place = *byte;
            }
        }
        for (at, value) in changes {
            if size > 0 {
                bytes[at.index(size)] = value;
            }
        }
        let storage: StorageRef = Arc::new(Memory::from_bytes(&bytes));
        let _ = probe(&storage);
    }
}
