//! Another backing file's name in the header, or none.

use crate::error::{Error, Result};
use crate::extension::Extension;
use crate::header::MAX_BACKING_NAME;
use crate::image::Qcow2;
use crate::shadow::Qcow2Shadow;
use disksmith_storage::{self as storage, Shadow};
use std::sync::Arc;

/// The longest name of a backing file's format that QEMU reads, in bytes.
pub const MAX_BACKING_FORMAT: usize = 15;

impl Qcow2 {
    /// Writes another backing file's name and format into the header, or takes them out, in one step that happens
    /// wholly or not at all. What the image does not hold reads from that file when it is opened the next time:
    /// nothing is copied.
    ///
    /// # Errors
    /// Those of [`Qcow2::metadata_change_set`] and of [`Qcow2Shadow::set_backing`].
    pub fn set_backing(self: &Arc<Self>, name: Option<&[u8]>, format: Option<&[u8]>) -> storage::Result<()> {
        let mut edit = Box::new(self.metadata_change_set()?);
        edit.set_backing(name, format)?;
        edit.prepare()?.switch()
    }
}

impl Qcow2Shadow {
    /// Has the image stand on another backing file: its name as it is to be in the header (at most
    /// [`MAX_BACKING_NAME`](crate::MAX_BACKING_NAME) bytes) and its format (`qcow2`, `raw`). No name takes both out.
    /// The name becomes the image's together with whatever else this change set changes, in one switch; the open image and the
    /// change set go on reading from the backing file that was given on opening.
    ///
    /// # Errors
    /// [`Error::Request`] for a name or format that is too long or has a zero byte in it. The change set is as it was.
    pub fn set_backing(&mut self, name: Option<&[u8]>, format: Option<&[u8]>) -> Result<()> {
        let name = name.filter(|name| !name.is_empty());
        let format = format.filter(|format| !format.is_empty() && name.is_some());
        if let Some(name) = name
            && (name.len() as u64 > MAX_BACKING_NAME || name.contains(&0))
        {
            return Err(Error::request(format!(
                "the name of a backing file must not be longer than {MAX_BACKING_NAME} bytes"
            )));
        }
        if let Some(format) = format
            && (format.len() > MAX_BACKING_FORMAT || format.contains(&0))
        {
            return Err(Error::request(format!(
                "the name of a format must not be longer than {MAX_BACKING_FORMAT} bytes"
            )));
        }
        self.change(|state| {
            let header = &mut state.header;
            header.backing_name = name.map(<[u8]>::to_vec);
            let list = &mut header.extensions;
            list.retain(|e| !matches!(e, Extension::BackingFormat(_)));
            if let Some(format) = format {
                list.insert(0, Extension::BackingFormat(format.to_vec()));
            }
            Ok(())
        })
    }
}
