//! Finds the operating system on a set of disks and joins its filesystems to one tree.

mod device_name;
mod distribution;
mod fstab_mounts;
mod guest;
mod init;
mod root_choice;
mod unreachable;
mod volume;

#[cfg(test)]
mod tests;

pub use device_name::{canonical_device_name, parse_device_name};
pub use distribution::{Distribution, Family};
pub use guest::{Guest, MountSpec, Mounted};
pub use init::Init;
pub use root_choice::RootChoice;
pub(crate) use unreachable::UNREACHABLE;
pub use volume::{LogicalName, Volume, VolumeContent, open_volumes};
