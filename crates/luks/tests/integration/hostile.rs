//! Headers from strangers.

use crate::judges::Fixed;
use disksmith_luks::{Error, Header, NewVolume, Passphrase, Volume};
use disksmith_storage::Memory;
use proptest::prelude::*;
use std::sync::Arc;

fn header() -> [u8; 592] {
    let kind = NewVolume {
        iter_time: 0,
        ..NewVolume::default()
    };
    let fresh = kind
        .make(&Passphrase::new(b"x".to_vec()), &mut Fixed::new(2))
        .unwrap();
    fresh.pieces[0].1.clone().try_into().unwrap()
}

fn problem(change: impl FnOnce(&mut [u8; 592])) -> String {
    let mut bytes = header();
    change(&mut bytes);
    Header::parse(&bytes, false).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_is_refused_in_the_words_of_qemu() {
    let put = |at: usize, value: u32| {
        move |bytes: &mut [u8; 592]| bytes[at..at + 4].copy_from_slice(&value.to_be_bytes())
    };
    assert_eq!(problem(put(0, 0)), "Volume is not in LUKS format");
    assert_eq!(problem(|b| b[7] = 2), "LUKS version 2 is not supported");
    assert_eq!(
        problem(|b| b[8..40].fill(b'a')),
        "LUKS header cipher name is not NUL terminated"
    );
    assert_eq!(
        problem(put(104, 1)),
        "LUKS payload is overlapping with the header"
    );
    assert_eq!(problem(put(164, 0)), "LUKS key iteration count is zero");
    assert_eq!(
        problem(put(208, 1)),
        "Keyslot 0 state (active/disable) is corrupted"
    );
    assert_eq!(problem(put(212, 0)), "Keyslot 0 iteration count is zero");
    assert_eq!(
        problem(put(248, 1)),
        "Keyslot 0 is overlapping with the LUKS header"
    );
    assert_eq!(
        problem(put(252, 3999)),
        "Keyslot 0 is corrupted (stripes 3999 != 4000)"
    );
    assert_eq!(
        problem(put(248, 4000)),
        "Keyslot 0 is overlapping with the encrypted payload"
    );
    assert_eq!(
        problem(put(248, 600)),
        "Keyslots 0 and 1 are overlapping in the header"
    );
    assert_eq!(
        problem(|b| b[40..43].copy_from_slice(b"xxx")),
        "Cipher mode 'xxx' is not recognized"
    );
}

#[test]
fn endless_key_derivation_is_not_begun() {
    let mut bytes = header();
    bytes[212..216].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut image = vec![0; 3 << 20];
    image[..592].copy_from_slice(&bytes);
    let volume = Volume::open(Arc::new(Memory::from_bytes(&image)), false).unwrap();
    let result = volume.unlock(&Passphrase::new(b"x".to_vec()));
    assert!(matches!(result, Err(Error::TooExpensive { .. })), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_header_panics(changes in prop::collection::vec((0usize..592, any::<u8>()), 0..8), len in 0usize..2000) {
        let mut bytes = header().to_vec();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.resize(len.max(592), 0);
        bytes.truncate(len);
        if let Ok(volume) = Volume::open(Arc::new(Memory::from_bytes(&bytes)), false) {
            let _ = volume.limit(5000).unlock(&Passphrase::new(b"y".to_vec()));
        }
    }

    #[test]
    fn a_header_that_was_read_is_written_as_it_was(changes in prop::collection::vec((112usize..168, any::<u8>()), 0..8)) {
        let mut bytes = header();
        for (at, value) in changes {
            bytes[at] = value;
        }
        if let Ok(header) = Header::parse(&bytes, false) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }
}
