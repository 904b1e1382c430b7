//! Finds the operating system on a set of disks and joins its filesystems to one tree.

mod architecture;
mod device_name;
mod distribution;
mod foreign;
mod fstab_mounts;
mod fstab_spec;
mod guest;
mod init;
mod joining;
mod osinfo;
mod own_hostname;
mod packages;
mod release_file;
mod role;
mod root_choice;
mod rules;
mod unreachable;
mod volume;

#[cfg(test)]
mod tests;

pub use device_name::{canonical_device_name, parse_device_name};
pub use distribution::{Distribution, Family};
pub(crate) use guest::Renaming;
pub use guest::{FoundRoot, Guest, MountSpec, Mounted};
pub use init::Init;
pub use role::{Role, System};
pub use root_choice::RootChoice;
pub(crate) use unreachable::UNREACHABLE;
pub use volume::{LogicalName, Volume, VolumeContent, find_lvm, open_volumes, open_volumes_for};
