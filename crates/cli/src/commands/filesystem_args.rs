//! The arguments that say what a new filesystem shall be, in the words of mke2fs.

use super::parse_size;
use crate::clock;
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_ext4::{FormatKind, FormatOptions};
use disksmith_fs::NewFileSystem;

/// What the filesystem is.
#[derive(Debug, Args)]
pub(crate) struct FilesystemArgs {
    /// Its label
    #[arg(short = 'L', long, value_name = "LABEL", help_heading = "The filesystem")]
    pub(crate) label: Option<String>,
    /// Its UUID (a FAT takes its serial number from the beginning)
    #[arg(short = 'U', long, value_name = "UUID", help_heading = "The filesystem")]
    pub(crate) uuid: Option<String>,
    /// Size of a block in bytes
    #[arg(short = 'b', long = "block-size", value_name = "BYTES", value_parser = parse_size, help_heading = "The filesystem")]
    block_size: Option<u64>,
    /// An inode for so many bytes
    #[arg(short = 'i', long, value_name = "BYTES", value_parser = parse_size, help_heading = "The filesystem")]
    inode_ratio: Option<u64>,
    /// Size of an inode in bytes
    #[arg(short = 'I', long, value_name = "BYTES", help_heading = "The filesystem")]
    inode_size: Option<u16>,
    /// Number of inodes
    #[arg(short = 'N', long, value_name = "N", help_heading = "The filesystem")]
    inodes: Option<u64>,
    /// Percent of the blocks that only root may take
    #[arg(short = 'm', long, value_name = "PERCENT", help_heading = "The filesystem")]
    reserved: Option<f64>,
    /// Features to switch on, or off: metadata_csum_seed,^has_journal
    #[arg(short = 'O', long, value_name = "FEATURES", help_heading = "The filesystem")]
    features: Vec<String>,
    /// Further options: stride=…,stripe_width=…,resize=…,hash_seed=UUID,root_owner=UID:GID
    #[arg(short = 'E', long, value_name = "OPTIONS", help_heading = "The filesystem")]
    extended: Vec<String>,
}

/// A UUID's 16 bytes.
pub(crate) fn parse_uuid(text: &str) -> Outcome<[u8; 16]> {
    uuid::Uuid::parse_str(text)
        .map(uuid::Uuid::into_bytes)
        .map_err(|_| Failure::usage(format!("'{text}' is no UUID")))
}

/// 16 random bytes in the form of a UUID.
pub(crate) fn random_uuid() -> Outcome<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            disksmith_storage::ErrorKind::Failed,
            format!("no random numbers: {error}"),
        )
    })?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes())
}

/// An identifier that is stable where the output shall be reproducible: by the filesystem's UUID and what it is for.
pub(crate) fn derived_uuid(uuid: &[u8; 16], purpose: u8) -> [u8; 16] {
    let mut bytes = *uuid;
    for (i, byte) in (0u8..).zip(bytes.iter_mut()) {
        *byte = byte.rotate_left(3) ^ purpose.wrapping_mul(0x9d).wrapping_add(i.wrapping_mul(0x3b));
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()
}

impl FilesystemArgs {
    /// The filesystem's UUID: given, or random.
    pub(crate) fn identity(&self) -> Outcome<[u8; 16]> {
        match &self.uuid {
            Some(text) => parse_uuid(text),
            None => random_uuid(),
        }
    }

    /// The filesystem of a type: `ext2`, `ext3`, `ext4`, `vfat`.
    pub(crate) fn filesystem(&self, name: &str, uuid: [u8; 16]) -> Outcome<NewFileSystem> {
        let time = clock::now()?;
        let kind = match name {
            "ext2" => FormatKind::Ext2,
            "ext3" => FormatKind::Ext3,
            "ext4" => FormatKind::Ext4,
            "vfat" | "fat" | "msdos" => {
                let mut fat = disksmith_fat::FormatOptions::new(serial(&uuid), time);
                fat.label.clone_from(&self.label);
                return Ok(NewFileSystem::Fat(Box::new(fat)));
            }
            other => {
                return Err(Failure::usage(format!(
                    "a filesystem of type {other} cannot be made yet: ext2, ext3, ext4 and vfat can"
                )));
            }
        };
        let seed = derived_uuid(&uuid, 1);
        let mut options = FormatOptions::new(uuid, seed, time.seconds);
        options.kind = kind;
        if let Some(label) = &self.label {
            options.label = label.clone().into_bytes();
        }
        if let Some(size) = self.block_size {
            options.block_size =
                Some(u32::try_from(size).map_err(|_| Failure::usage("the block size is too large"))?);
        }
        options.inode_ratio = self.inode_ratio;
        options.inode_size = self.inode_size;
        options.inodes = self.inodes;
        if let Some(percent) = self.reserved {
            options.reserved_percent = percent;
        }
        if !self.features.is_empty() {
            options.features = self.features.join(",").parse()?;
        }
        for item in self.extended.iter().flat_map(|list| list.split(',')) {
            extended(&mut options, item)?;
        }
        Ok(NewFileSystem::Ext(Box::new(options)))
    }
}

/// A FAT's serial number.
pub(crate) fn serial(uuid: &[u8; 16]) -> u32 {
    let [a, b, c, d, ..] = *uuid;
    u32::from_be_bytes([a, b, c, d])
}

fn extended(options: &mut FormatOptions, item: &str) -> Outcome<()> {
    let (name, value) = item.split_once('=').unwrap_or((item, ""));
    let wrong = || Failure::usage(format!("'{item}' is no option that -E knows"));
    let number = || value.parse::<u32>().map_err(|_| wrong());
    match name {
        "hash_seed" => options.hash_seed = parse_uuid(value)?,
        "stride" => options.stride = value.parse().map_err(|_| wrong())?,
        "stripe_width" | "stripe-width" => options.stripe_width = number()?,
        "resize" => options.resize_limit = Some(parse_size(value).map_err(|_| wrong())?),
        "root_owner" => {
            let (uid, gid) = value.split_once(':').ok_or_else(wrong)?;
            options.root_owner = (
                uid.parse().map_err(|_| wrong())?,
                gid.parse().map_err(|_| wrong())?,
            );
        }
        "lazy_itable_init" | "lazy_journal_init" | "discard" | "nodiscard" => {}
        _ => return Err(wrong()),
    }
    Ok(())
}
