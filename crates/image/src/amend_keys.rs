//! Changing the key slots of an encrypted image.

use crate::error::{Error, Result};
use crate::image::Image;
use disksmith_luks::{Amendment, Outside, Passphrase, Volume};
use disksmith_qcow2::EncryptionMethod;
use disksmith_storage::StorageRef;

/// Changes the key slots of an image that was opened for writing. `current` is the passphrase that opened it. At every instant
/// a slot whose passphrase is known opens the image.
///
/// # Errors
/// In QEMU's words; [`Error::BadOption`] where the image has no key slots.
pub fn amend_keys(
    image: &Image,
    change: &Amendment,
    current: Option<&Passphrase>,
    outside: &mut dyn Outside,
) -> Result<()> {
    let Some(top) = image.top() else {
        return Err(Error::BadOption("no image to amend".into()));
    };
    let file: StorageRef = top.file().clone();
    let mut volume = match top.as_qcow2() {
        Some(qcow2) => match qcow2.header().encryption {
            Some(EncryptionMethod::Luks) => qcow2
                .header()
                .luks_volume(qcow2.file())
                .map_err(Error::qcow2(top.path()))?,
            Some(EncryptionMethod::Aes) => {
                let text = "Only LUKS encryption options can be amended";
                return Err(Error::BadOption(text.into()));
            }
            None => {
                let text = "Can't amend encryption options - encryption not present";
                return Err(Error::BadOption(text.into()));
            }
        },
        None if top.as_luks().is_some() => Volume::open(file, false).map_err(Error::luks(top.path()))?,
        None => {
            let text = format!(
                "Format driver '{}' does not support option amendment",
                top.format()
            );
            return Err(Error::BadOption(text));
        }
    };
    volume
        .amend(change, current, outside)
        .map_err(Error::luks(top.path()))
}
