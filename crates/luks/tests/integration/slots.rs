//! Key slots that change, also when the power goes meanwhile.

use crate::judges::Fixed;
use disksmith_luks::{Amendment, Error, NewVolume, Passphrase, Volume};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, StorageRef};
use std::sync::Arc;

fn pass(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec())
}

fn fresh() -> Vec<u8> {
    let kind = NewVolume {
        iter_time: 0,
        cipher: disksmith_luks::CipherAlgorithm::Aes128,
        ..NewVolume::default()
    };
    let header = kind.make(&pass("one"), &mut Fixed::new(3)).unwrap();
    let mut bytes = vec![0; header.len as usize];
    for (offset, piece) in &header.pieces {
        bytes[*offset as usize..*offset as usize + piece.len()].copy_from_slice(piece);
    }
    bytes
}

fn volume(bytes: &[u8]) -> Volume {
    Volume::open(Arc::new(Memory::from_bytes(bytes)), false).unwrap()
}

fn add(new: &str) -> Amendment {
    Amendment {
        activate: true,
        new_passphrase: Some(pass(new)),
        old_passphrase: None,
        slot: None,
        iter_time: Some(0),
        force: false,
    }
}

fn erase() -> Amendment {
    Amendment {
        activate: false,
        new_passphrase: None,
        old_passphrase: None,
        slot: None,
        iter_time: None,
        force: false,
    }
}

fn refusal(volume: &mut Volume, change: &Amendment) -> String {
    let before = volume.header().clone();
    let error = volume
        .amend(change, Some(&pass("one")), &mut Fixed::new(9))
        .unwrap_err();
    assert_eq!(*volume.header(), before);
    error.to_string()
}

#[test]
fn slots_are_filled_and_erased() {
    let mut volume = volume(&fresh());
    let one = pass("one");
    volume.amend(&add("two"), Some(&one), &mut Fixed::new(4)).unwrap();
    assert_eq!(volume.unlock(&pass("two")).unwrap().slot(), 1);
    let third = Amendment {
        slot: Some(5),
        ..add("three")
    };
    volume
        .amend(&third, Some(&pass("two")), &mut Fixed::new(5))
        .unwrap();
    assert_eq!(volume.unlock(&pass("three")).unwrap().slot(), 5);
    assert_eq!(
        refusal(&mut volume, &third),
        "Refusing to overwrite active keyslot 5 - please erase it first"
    );
    let by_passphrase = Amendment {
        old_passphrase: Some(pass("two")),
        ..erase()
    };
    volume.amend(&by_passphrase, None, &mut Fixed::new(6)).unwrap();
    assert!(matches!(volume.unlock(&pass("two")), Err(Error::WrongPassphrase)));
    assert_eq!(
        refusal(&mut volume, &by_passphrase),
        "No keyslots match given (old) password for erase operation"
    );
    let by_number = Amendment {
        slot: Some(5),
        ..erase()
    };
    volume.amend(&by_number, None, &mut Fixed::new(6)).unwrap();
    assert!(
        refusal(
            &mut volume,
            &Amendment {
                slot: Some(0),
                ..erase()
            }
        )
        .starts_with("Attempt to erase the only")
    );
    assert!(
        refusal(
            &mut volume,
            &Amendment {
                old_passphrase: Some(one),
                ..erase()
            }
        )
        .starts_with("All the active")
    );
    assert_eq!(volume.header().active_slots(), 1);
}

/// What a change does is there or not there at every instant; a passphrase that shall stay always opens.
fn survives(start: &[u8], change: &Amendment, current: &str, stays: &[&str]) {
    let journal = Journal::new();
    let storage: StorageRef = Arc::new(Recorder::new(Arc::new(Memory::from_bytes(start)), &journal));
    let mut volume = Volume::open(storage, false).unwrap();
    volume
        .amend(change, Some(&pass(current)), &mut Fixed::new(8))
        .unwrap();
    let key = volume
        .unlock(&pass(stays[0]))
        .or_else(|_| volume.unlock(&pass(stays[1])))
        .unwrap();
    let cipher = |volume: &Volume, key: &disksmith_luks::MasterKey| {
        let mut probe = vec![0; 512];
        volume.cipher(key).unwrap().encrypt(1, &mut probe);
        probe
    };
    let expected = cipher(&volume, &key);
    let mut states = 0;
    for state in journal.crash_states(40, 11) {
        let left = Volume::open(state.storage(0), false).unwrap();
        let opened = stays.iter().find_map(|text| left.unlock(&pass(text)).ok());
        let key = opened.unwrap_or_else(|| panic!("nothing opens it any more: {state}"));
        assert_eq!(cipher(&left, &key), expected);
        states += 1;
    }
    assert!(states > 5);
}

#[test]
fn a_change_that_is_cut_off_never_loses_the_key() {
    let start = fresh();
    survives(&start, &add("two"), "one", &["one"]);
    // The only slot is overwritten: then the new passphrase may be the one that opens it.
    let only = Amendment {
        slot: Some(0),
        force: true,
        ..add("two")
    };
    survives(&start, &only, "one", &["one", "two"]);
}
