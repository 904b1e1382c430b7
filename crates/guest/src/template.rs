//! A small template to try everything on: a disk with a partition table, a filesystem and a minimal file tree.

use crate::error::{Error, Result};
use crate::skeleton::{Skeleton, lay_out_skeleton};
use disksmith_fs::{FormatOptions, Kind, OpenOptions};
use disksmith_image::{CreateOptions, DiskSpec, Format, Transaction, TransactionOptions, create};
use disksmith_storage::Existing;
use disksmith_vfs::{Timestamp, Tree};
use disksmith_volume::{Disk, GptLayout, GptPartition, SectorSize, Uuid, gpt_type};
use std::path::Path;

/// Where the root partition begins, in bytes.
const ROOT_START: u64 = 1 << 20;

/// What a template is told. Identifiers and the time are given, so that the same template has the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Size of its disk in bytes.
    pub size: u64,
    /// Label of its root filesystem.
    pub label: String,
    /// The disk's GUID, the partition's, the filesystem's, and the seed of its directories' hashes.
    pub identifiers: [[u8; 16]; 4],
    /// The time that everything in it bears.
    pub time: Timestamp,
    /// Its files. The root is named in its fstab by its UUID, whatever this says.
    pub skeleton: Skeleton,
}

/// Makes the template at `path` as a qcow2 image: GPT, one ext4 partition, the skeleton's files. The image appears empty first and
/// is filled by one transaction.
///
/// # Errors
/// Those of creating, partitioning, formatting and committing.
pub fn make_template(path: &Path, template: &Template) -> Result<()> {
    create(
        path,
        Format::Qcow2,
        template.size,
        &CreateOptions::default(),
        Existing::Refuse,
    )
    .map_err(Error::below)?;
    let transaction = Transaction::begin(&[DiskSpec::in_place(path)], &TransactionOptions::default())
        .map_err(Error::below)?;
    if let Some(storage) = transaction.storage(0) {
        let [disk_guid, partition_guid, uuid, hash_seed] = template.identifiers;
        let (_, end) = GptLayout::usable(template.size, SectorSize::Bytes512)
            .filter(|(_, end)| *end > ROOT_START)
            .ok_or_else(|| Error::usage("size", "too small for a partition table"))?;
        let layout = GptLayout {
            disk_guid: Uuid::from_bytes(disk_guid),
            sector: SectorSize::Bytes512,
            partitions: vec![GptPartition {
                number: 1,
                start: ROOT_START,
                len: (end - ROOT_START) & !((1 << 20) - 1),
                type_guid: gpt_type::LINUX_ROOT_X86_64,
                guid: Uuid::from_bytes(partition_guid),
                name: "root".into(),
                attributes: 0,
            }],
        };
        layout.write(&*storage).map_err(Error::below)?;
        let disk = Disk::probe(storage).map_err(Error::below)?;
        let root = disk
            .partition(1)
            .ok_or_else(|| Error::usage("size", "no partition was made"))?;
        let root = disk.open(root).map_err(Error::below)?;
        let format = FormatOptions {
            label: template.label.clone().into_bytes(),
            uuid,
            hash_seed,
            time: template.time.seconds,
        };
        disksmith_fs::format(&root, Kind::Ext4, &format).map_err(Error::below)?;
        let options = OpenOptions {
            writable: true,
            clock: template.time,
        };
        let fs = disksmith_fs::open(&root, options).map_err(Error::below)?;
        let tree = Tree::new(fs, template.time);
        let skeleton = Skeleton {
            root_spec: format!("UUID={}", Uuid::from_bytes(uuid)),
            ..template.skeleton.clone()
        };
        lay_out_skeleton(&tree, &skeleton)?;
        tree.sync()?;
    }
    transaction.commit().map_err(Error::below)?;
    Ok(())
}
