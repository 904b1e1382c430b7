//! Which operating system is meant, where the disks hold several.

use super::volume::Volume;
use crate::error::{Error, Result};

/// A choice among root filesystems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RootChoice {
    /// There must be only one.
    #[default]
    Single,
    /// The first, in the order of disks and partitions.
    First,
    /// The one on this device, named in any of the ways that Linux has.
    Device(String),
}

impl RootChoice {
    /// Reads the argument of `--root`: `single`, `first` or a device.
    ///
    /// # Errors
    /// [`Error::Usage`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "single" => Ok(Self::Single),
            "first" => Ok(Self::First),
            device if device.starts_with("/dev/") || device.contains('=') => {
                Ok(Self::Device(device.to_owned()))
            }
            other => Err(Error::usage(
                "--root",
                format!("{other:?} is neither \"single\", \"first\" nor a device as /dev/sda1"),
            )),
        }
    }

    /// The root that is on the device named.
    pub(super) fn of<'v>(&self, roots: &[&'v Volume]) -> Result<&'v Volume> {
        let Self::Device(device) = self else {
            return Err(Error::NoOperatingSystem { seen: Vec::new() });
        };
        let found = roots.iter().find(|volume| volume.is_meant_by(device));
        found.copied().ok_or_else(|| Error::NoSuchRoot {
            device: device.clone(),
            roots: roots.iter().map(|volume| volume.device()).collect(),
        })
    }
}
