//! A LUKS image from a stranger: opened, unlocked, read, its key slots changed. Errors are fine, nothing else is.

#![no_main]

use disksmith_luks::{Amendment, HEADER_LEN, Header, NewVolume, Outside, Passphrase, Payload, Volume};
use disksmith_storage::{Memory, Storage, StorageRef};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Chance that is none, and a clock that runs as fast as it is looked at.
struct Fixed(u64);

impl Outside for Fixed {
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.0 >> 40) as u8;
        }
        Ok(())
    }

    fn elapsed(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(1);
        Duration::from_secs(self.0)
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new(b"abc".to_vec())
}

/// A sound image, whose bytes the input changes.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let kind = NewVolume {
            iter_time: 0,
            ..NewVolume::default()
        };
        let header = kind.make(&passphrase(), &mut Fixed(1)).unwrap();
        let mut bytes = vec![0; header.len as usize + 4096];
        for (offset, piece) in &header.pieces {
            bytes[*offset as usize..*offset as usize + piece.len()].copy_from_slice(piece);
        }
        bytes
    })
}

fn use_it(bytes: &[u8]) {
    let storage: StorageRef = Arc::new(Memory::from_bytes(bytes));
    let Ok(volume) = Volume::open(storage.clone(), false) else {
        return;
    };
    let mut volume = volume.limit(20_000);
    let Ok(key) = volume.unlock(&passphrase()) else { return };
    let cipher = volume.cipher(&key).unwrap();
    let disk = Payload::new(storage, volume.header().payload_offset(), Arc::new(cipher));
    let mut buf = vec![0; disk.size().min(5000) as usize];
    let _ = disk.read_at(0, &mut buf);
    let change = Amendment {
        activate: true,
        new_passphrase: Some(passphrase()),
        old_passphrase: None,
        slot: None,
        iter_time: Some(0),
        force: false,
    };
    let _ = volume.amend(&change, Some(&passphrase()), &mut Fixed(2));
}

fuzz_target!(|data: &[u8]| {
    use_it(data);
    // Three bytes each: where, and what is put there.
    let mut bytes = image().to_vec();
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % HEADER_LEN;
        bytes[at] = change[2];
    }
    let header: [u8; HEADER_LEN] = bytes[..HEADER_LEN].try_into().unwrap();
    if let Ok(parsed) = Header::parse(&header, false) {
        let _ = parsed.encode();
    }
    use_it(&bytes);
});
