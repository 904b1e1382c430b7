//! Options of mke2fs, and the table of combinations that the tests go through.

use disksmith_ext4::{Error, FormatKind, FormatOptions, Formatted, Usage, format};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use std::fs::File;
use std::path::Path;

pub const TIME: i64 = 1_700_000_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sizes and options.
pub const TABLE: &[(u64, &str)] = &[
    (64 * MIB, "-t ext4"),
    (GIB, "-t ext4"),
    (2 * MIB + 512 * 1024, "-t ext2"),
    (2 * MIB + 512 * 1024, "-t ext4"),
    (8 * MIB, "-t ext4"),
    (100 * MIB + 3000, "-t ext4"),
    (511 * MIB, "-t ext4"),
    (512 * MIB, "-t ext4"),
    (2 * GIB, "-t ext4"),
    (2200 * MIB, "-t ext4"),
    (10 * GIB, "-t ext4"),
    (21 * GIB, "-t ext4"),
    (33 * GIB, "-t ext4"),
    (64 * GIB, "-t ext4"),
    (100 * GIB, "-t ext4"),
    (150 * GIB, "-t ext4"),
    (256 * GIB, "-t ext4"),
    (4100 * GIB, "-t ext4"),
    (64 * MIB, "-t ext2"),
    (64 * MIB, "-t ext3"),
    (GIB, "-t ext3"),
    (GIB, "-t ext2 -b 4096"),
    (64 * MIB, "-t ext4 -b 4096"),
    (64 * MIB, "-t ext4 -b 2048"),
    (128 * MIB, "-t ext4 -b 1024"),
    (2 * GIB, "-t ext4 -b 1024"),
    (512 * MIB, "-t ext4 -b 8192"),
    (GIB, "-t ext4 -b 16384"),
    (2 * GIB, "-t ext4 -b 65536"),
    (64 * MIB, "-t ext4 -I 128"),
    (64 * MIB, "-t ext4 -I 512"),
    (64 * MIB, "-t ext4 -b 4096 -I 1024"),
    (64 * MIB, "-t ext4 -i 65536"),
    (GIB, "-t ext4 -i 1024"),
    (64 * MIB, "-t ext4 -N 100"),
    (64 * MIB, "-t ext4 -N 20000"),
    (64 * MIB, "-t ext4 -m 0 -L label"),
    (GIB, "-t ext4 -m 2.5"),
    (64 * MIB, "-t ext4 -O ^has_journal"),
    (64 * MIB, "-t ext4 -O ^64bit"),
    (64 * MIB, "-t ext4 -O ^metadata_csum"),
    (64 * MIB, "-t ext4 -O ^metadata_csum,uninit_bg"),
    (64 * MIB, "-t ext4 -O ^extent"),
    (64 * MIB, "-t ext4 -O ^extent,^64bit"),
    (64 * MIB, "-t ext4 -O ^flex_bg"),
    (GIB, "-t ext4 -O ^flex_bg"),
    (64 * MIB, "-t ext4 -O ^resize_inode"),
    (GIB, "-t ext4 -O ^resize_inode,meta_bg"),
    (GIB, "-t ext4 -b 1024 -O ^resize_inode,meta_bg,^flex_bg"),
    (64 * MIB, "-t ext4 -O ^dir_index"),
    (64 * MIB, "-t ext4 -O ^filetype"),
    (GIB, "-t ext4 -O ^sparse_super,^resize_inode"),
    (GIB, "-t ext4 -O sparse_super2"),
    (64 * MIB, "-t ext4 -O inline_data"),
    (64 * MIB, "-t ext4 -O orphan_file"),
    (GIB, "-t ext4 -O orphan_file,metadata_csum_seed"),
    (20 * GIB, "-t ext4 -O orphan_file"),
    (64 * MIB, "-t ext4 -O fast_commit"),
    (GIB, "-t ext4 -O ea_inode,large_dir"),
    (GIB, "-t ext4 -G 4"),
    (5 * GIB, "-t ext4 -G 32"),
    (5 * GIB, "-t ext4 -G 1"),
    (64 * MIB, "-t ext4 -g 4096"),
    (GIB, "-t ext4 -J size=64"),
    (GIB, "-t ext4 -J size=700 -b 4096 -G 2"),
    (64 * MIB, "-t ext4 -E stride=4,stripe_width=16"),
    (64 * MIB, "-t ext4 -E resize=1000000"),
    (GIB, "-t ext4 -T news"),
    (GIB, "-t ext4 -T largefile"),
    (GIB, "-t ext4 -T largefile4"),
    (GIB, "-t ext4 -T small"),
    (GIB, "-t ext3 -O ^resize_inode -I 128"),
    (GIB, "-t ext4 -e remount-ro -M /mnt/somewhere"),
    (64 * MIB, "-t ext4 -O encrypt"),
    (64 * MIB, "-t ext4 -O verity"),
    (64 * MIB, "-t ext4 -O casefold"),
    (64 * MIB, "-t ext4 -O casefold,encrypt,verity,stable_inodes"),
    (64 * MIB, "-t ext4 -g 256"),
    (64 * MIB, "-t ext4 -O orphan_file -E orphan_file_size=1M"),
    (64 * MIB, "-t ext4 -O ^has_journal,fast_commit"),
    (64 * MIB, "-t ext2 -E stride=16,stripe_width=32"),
    (GIB, "-t ext3 -E stride=16"),
    (64 * MIB, "-t ext4 -E test_fs=1"),
    (100 << 10, "-t ext2"),
    (60 << 10, "-t ext2"),
    (64 * MIB, "-t ext4 -O bigalloc"),
    (GIB, "-t ext4 -O bigalloc"),
    (10 * GIB, "-t ext4 -O bigalloc"),
    (GIB, "-t ext4 -O bigalloc -C 8192"),
    (100 * MIB + 3000, "-t ext4 -O bigalloc -C 4096 -b 1024"),
    (GIB, "-t ext4 -O bigalloc -C 2048 -b 1024"),
    (30 * GIB, "-t ext4 -O bigalloc -C 65536"),
    (GIB, "-t ext4 -O bigalloc,^resize_inode,meta_bg -b 1024 -C 4096"),
    (GIB, "-t ext4 -O bigalloc,^metadata_csum,uninit_bg,^flex_bg"),
    (
        GIB,
        "-t ext4 -O bigalloc,quota,project,orphan_file,mmp -C 1048576",
    ),
    (64 * MIB, "-t ext4 -O mmp"),
    (GIB, "-t ext4 -O mmp,^metadata_csum -E mmp_update_interval=2"),
    (64 * MIB, "-t ext4 -O quota"),
    (64 * MIB, "-t ext4 -O quota -b 2048 -E root_owner=1000:500"),
    (64 * MIB, "-t ext4 -O quota -E root_owner=1000:500"),
    (GIB, "-t ext4 -O quota,project,orphan_file,mmp"),
    (64 * MIB, "-t ext4 -O quota,project,orphan_file,mmp"),
    (64 * MIB, "-t ext4 -O project"),
    (64 * MIB, "-t ext4 -O quota -E quotatype=prjquota"),
    (64 * MIB, "-t ext4 -O quota -E quotatype=grpquota"),
    (64 * MIB, "-t ext3 -O quota"),
    (64 * MIB, "-t ext2 -O quota -b 4096"),
    (GIB, "-t ext4 -E packed_meta_blocks=1"),
    (20 * GIB, "-t ext4 -E packed_meta_blocks=1"),
    (GIB, "-t ext4 -O ^flex_bg -E packed_meta_blocks=1"),
    (GIB, "-t ext4 -O sparse_super2 -E num_backup_sb=0"),
    (GIB, "-t ext4 -O sparse_super2 -E num_backup_sb=1"),
    (
        GIB,
        "-t ext4 -O sparse_super2 -E num_backup_sb=1,packed_meta_blocks=1",
    ),
    (64 * MIB, "-t ext4 -O fast_commit -J fast_commit_size=300"),
    (GIB, "-t ext4 -b 4096 -J location=9000"),
];

fn uuid(text: &str) -> [u8; 16] {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    std::array::from_fn(|i| {
        u8::from_str_radix(std::str::from_utf8(&digits[2 * i..2 * i + 2]).unwrap(), 16).unwrap()
    })
}

/// Reads options as mke2fs does.
pub fn parse(text: &str) -> Result<FormatOptions, Error> {
    let mut options = FormatOptions::new([1; 16], [2; 16], TIME);
    let mut words = text.split_whitespace();
    while let Some(option) = words.next() {
        let value = words.next().unwrap();
        match option {
            "-t" => {
                options.kind = match value {
                    "ext2" => FormatKind::Ext2,
                    "ext3" => FormatKind::Ext3,
                    _ => FormatKind::Ext4,
                }
            }
            "-T" => {
                options.usage = match value {
                    "small" => Usage::Small,
                    "news" => Usage::News,
                    "largefile" => Usage::LargeFile,
                    "largefile4" => Usage::LargeFile4,
                    other => panic!("{other}"),
                }
            }
            "-b" => options.block_size = Some(value.parse().unwrap()),
            "-C" => options.cluster_size = Some(value.parse().unwrap()),
            "-I" => options.inode_size = Some(value.parse().unwrap()),
            "-i" => options.inode_ratio = Some(value.parse().unwrap()),
            "-N" => options.inodes = Some(value.parse().unwrap()),
            "-m" => options.reserved_percent = value.parse().unwrap(),
            "-L" => options.label = value.into(),
            "-M" => options.last_mounted = value.into(),
            "-U" => options.uuid = uuid(value),
            "-O" => options.features = value.parse()?,
            "-g" => options.blocks_per_group = Some(value.parse().unwrap()),
            "-G" => options.flex_groups = Some(value.parse().unwrap()),
            "-e" => options.errors = 2,
            "-J" => match value.split_once('=').unwrap() {
                ("size", v) => options.journal.size_mib = Some(v.parse().unwrap()),
                ("location", v) => options.journal.location = Some(v.parse().unwrap()),
                ("fast_commit_size", v) => options.journal.fast_commit_kib = Some(v.parse().unwrap()),
                other => panic!("{other:?}"),
            },
            "-E" => {
                for part in value.split(',') {
                    match part.split_once('=').unwrap() {
                        ("hash_seed", v) => options.hash_seed = uuid(v),
                        ("root_owner", v) => {
                            let (uid, gid) = v.split_once(':').unwrap();
                            options.root_owner = (uid.parse().unwrap(), gid.parse().unwrap());
                        }
                        ("mmp_update_interval", v) => options.mmp_interval = v.parse().unwrap(),
                        ("orphan_file_size", v) => {
                            options.orphan_file_size = Some(u64::from(v == "1M") << 20);
                        }
                        ("test_fs", _) => options.test = true,
                        ("quotatype", v) => {
                            options.quotas = Some(["usrquota", "grpquota", "prjquota"].map(|kind| kind == v));
                        }
                        ("packed_meta_blocks", v) => options.packed = v == "1",
                        ("num_backup_sb", v) => options.backups = v.parse().unwrap(),
                        ("stride", v) => options.stride = v.parse().unwrap(),
                        ("stripe_width", v) => options.stripe_width = v.parse().unwrap(),
                        ("resize", v) => options.resize_limit = Some(v.parse().unwrap()),
                        other => panic!("{other:?}"),
                    }
                }
            }
            other => panic!("{other}"),
        }
    }
    Ok(options)
}

/// Makes an image with our own `format`.
pub fn make(image: &Path, size: u64, options: &str) -> Result<Formatted, Error> {
    File::create(image).unwrap().set_len(size).unwrap();
    make_over(image, options)
}

/// Makes a filesystem in an image that there is already.
pub fn make_over(image: &Path, options: &str) -> Result<Formatted, Error> {
    let file = HostFile::open(image, OpenMode::Write, LockMode::None).unwrap();
    format(&file, &parse(options)?)
}
