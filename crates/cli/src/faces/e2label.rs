//! The face of `e2label` (e2fsprogs 1.47.0): shows or changes the label of an ext2, ext3 or ext4 filesystem.

use super::ext_superblock_text::padded;
use disksmith_ext4::{Incompat, Superblock};
use disksmith_image::{DiskSpec, Format, Transaction, TransactionOptions};
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, read_vec};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

const OFFSET: u64 = 1024;
const SIZE: usize = 1024;
const MAX_LABEL: usize = 16;

/// Runs the face.
pub(super) fn run(name: &str, words: &[OsString]) -> ExitCode {
    let (device, label) = match words {
        [device] => (device, None),
        [device, label] => (device, Some(label.as_bytes())),
        _ => {
            eprintln!("Usage: {name} device [newlabel]");
            return ExitCode::FAILURE;
        }
    };
    let path = Path::new(device);
    match label {
        None => match read_superblock(path) {
            Ok(superblock) => {
                println!("{}", padded(&superblock.volume_name));
                ExitCode::SUCCESS
            }
            Err(message) => refuse(name, path, &message),
        },
        Some(label) => {
            if label.len() > MAX_LABEL {
                eprintln!("Warning: label too long, truncating.");
            }
            let label = label.get(..MAX_LABEL).unwrap_or(label);
            let changed = change_superblock(path, |superblock| {
                superblock.volume_name = [0; MAX_LABEL];
                for (slot, byte) in superblock.volume_name.iter_mut().zip(label) {
                    *slot = *byte;
                }
                Ok(())
            });
            match changed {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => refuse(name, path, &message),
            }
        }
    }
}

fn refuse(name: &str, path: &Path, message: &str) -> ExitCode {
    eprintln!("{name}: {message} while trying to open {}", path.display());
    eprintln!("Couldn't find valid filesystem superblock.");
    ExitCode::FAILURE
}

/// The first superblock of the filesystem in a file or device.
pub(super) fn read_superblock(path: &Path) -> Result<Superblock, String> {
    let file = HostFile::open(path, OpenMode::Read, LockMode::None).map_err(|error| error.to_string())?;
    let bytes = superblock_bytes(&file)?;
    Superblock::from_bytes(&bytes, OFFSET).map_err(|error| error.to_string())
}

fn superblock_bytes(storage: &dyn Storage) -> Result<Vec<u8>, String> {
    if storage.size() < OFFSET + SIZE as u64 {
        return Err("Attempt to read block from filesystem resulted in short read".into());
    }
    read_vec(storage, OFFSET, SIZE).map_err(|error| error.to_string())
}

/// Refuses a filesystem whose multi-mount protection block says that it is in use.
fn refuse_in_use(storage: &dyn Storage, superblock: &Superblock) -> Result<(), String> {
    if !superblock.features().incompat.contains(Incompat::MMP) {
        return Ok(());
    }
    let offset = superblock
        .mmp_block
        .checked_mul(superblock.block_size().into())
        .filter(|offset| *offset < storage.size())
        .ok_or("the multi-mount protection block is outside of the filesystem")?;
    let head = read_vec(storage, offset, 8).map_err(|error| error.to_string())?;
    match head.get(4..8) {
        Some([0x50, 0x4d, 0x4d, 0xff]) => Ok(()),
        _ => Err("MMP: device currently active".into()),
    }
}

/// Changes fields of the first superblock, as one transaction. What a mounted filesystem holds in memory would overwrite it: such
/// a one is refused by its lock.
pub(super) fn change_superblock(
    path: &Path,
    change: impl FnOnce(&mut Superblock) -> Result<(), String>,
) -> Result<(), String> {
    let spec = DiskSpec {
        format: Some(Format::Raw),
        ..DiskSpec::in_place(path)
    };
    let edit = Transaction::begin(&[spec], &TransactionOptions::default()).map_err(|e| e.to_string())?;
    let storage = edit.storage(0).ok_or("nothing is open")?;
    let mut bytes = superblock_bytes(&*storage)?;
    let mut superblock = Superblock::from_bytes(&bytes, OFFSET).map_err(|error| error.to_string())?;
    if let Some(reason) = superblock.features().read_only_reason() {
        return Err(format!("features that cannot be written: {reason}"));
    }
    superblock
        .features()
        .check_readable()
        .map_err(|error| error.to_string())?;
    if superblock.features().incompat.contains(Incompat::RECOVER) {
        // Replaying the journal would bring the old superblock back.
        return Err("the journal has to be recovered first (e2fsck does it); nothing was changed".into());
    }
    refuse_in_use(&*storage, &superblock)?;
    change(&mut superblock)?;
    superblock.seal_into(&mut bytes);
    storage
        .write_at(OFFSET, &bytes)
        .map_err(|error| error.to_string())?;
    drop(storage);
    edit.commit().map_err(|error| error.to_string())?;
    Ok(())
}
