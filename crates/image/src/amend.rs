//! `amend`: another form for an image that exists, without copying it.

use crate::error::{Error, Result};
use crate::format::Format;
use crate::gate::Gate;
use crate::guard::refuse_if_cloned;
use crate::image::Image;
use crate::keys::Keys;
use crate::open::OpenOptions;
use disksmith_qcow2::AmendOptions;
use std::path::Path;

/// How an image is changed whose metadata changes.
#[derive(Debug, Clone, Default)]
pub struct ChangeOptions {
    /// The image's format, instead of detecting it.
    pub format: Option<Format>,
    /// Which files may be opened that the image names.
    pub gate: Gate,
    /// The passphrases for encrypted images.
    pub keys: Keys,
    /// Changes even an image that has clones, where they would see it.
    pub force: bool,
}

impl ChangeOptions {
    /// How the image is opened.
    pub(crate) fn open_options(&self) -> OpenOptions {
        OpenOptions::write()
            .format(self.format)
            .gate(self.gate.clone())
            .keys(self.keys.clone())
    }
}

/// Gives the image at `path` another form.
///
/// # Errors
/// Those of opening and locking, and of [`amend_image`].
pub fn amend(path: &Path, options: &AmendOptions, how: &ChangeOptions) -> Result<()> {
    let image = Image::open(path, &how.open_options())?;
    // While the image is locked nobody can clone it.
    if options.size.is_some() && !how.force {
        refuse_if_cloned(path)?;
    }
    amend_image(&image, options)
}

/// Gives an image that was opened for writing another form. It must be opened anew before it is used on.
///
/// # Errors
/// [`Error::BadOption`] where its format has nothing to amend; those of [`disksmith_qcow2::Qcow2::amend`].
pub fn amend_image(image: &Image, options: &AmendOptions) -> Result<()> {
    let Some((top, qcow2)) = image.top().and_then(|top| Some((top, top.as_qcow2()?))) else {
        let format = image.top().map_or(Format::Raw, |top| top.format());
        let text = format!("Format driver '{format}' does not support option amendment");
        return Err(Error::BadOption(text));
    };
    qcow2.amend(options).map_err(Error::qcow2(top.path()))
}
