//! Putting files into a filesystem that is open, one after the other: for kinds that cannot be written in one pass.

use disksmith_vfs::{
    FileSystem, InodeNo, MetadataChange, NewNode, Result, SourceBody, SourceContents, SourceInode,
    SourceTree, XattrMode,
};

/// So much is read and written at once.
const PIECE: u64 = 1 << 20;

/// Puts the files of a tree into an empty filesystem, and leaves it synced. A file that has several names is copied for each, where
/// the filesystem knows no links.
///
/// # Errors
/// Those of the filesystem, and of reading.
pub(crate) fn populate(
    fs: &dyn FileSystem,
    tree: &SourceTree,
    contents: &mut dyn SourceContents,
) -> Result<()> {
    let count = tree.inodes().len();
    let mut directories: Vec<Option<InodeNo>> = vec![None; count];
    // Names first, as contents come in the order of the files.
    let mut files: Vec<Vec<InodeNo>> = vec![Vec::new(); count];
    if let Some(root) = directories.first_mut() {
        *root = Some(fs.root());
    }
    let mut todo = vec![0u32];
    while let Some(directory) = todo.pop() {
        let Some(dir) = directories.get(directory as usize).copied().flatten() else {
            continue;
        };
        let Some(source) = tree.inode(directory) else {
            continue;
        };
        for (name, file) in source.entries() {
            let Some(inode) = tree.inode(*file) else { continue };
            if directory == 0 && **name == *b"lost+found" && fs.lookup(dir, name).is_ok() {
                continue;
            }
            let made = fs.create(dir, name, &node(inode))?;
            if matches!(inode.body, SourceBody::Directory(_)) {
                if let Some(slot) = directories.get_mut(*file as usize) {
                    *slot = Some(made);
                }
                todo.push(*file);
            } else if let Some(slot) = files.get_mut(*file as usize) {
                slot.push(made);
            }
        }
    }
    let mut buf = Vec::new();
    for (file, inode) in (0u32..).zip(tree.inodes()) {
        let names = files.get(file as usize).map(Vec::as_slice).unwrap_or_default();
        if let SourceBody::File { size, .. } = &inode.body {
            for (offset, len) in inode.data() {
                let (mut at, end) = (offset, offset.saturating_add(len));
                while at < end {
                    buf.resize((end - at).min(PIECE) as usize, 0);
                    contents.read(file, at, &mut buf)?;
                    for made in names {
                        fs.write(*made, at, &buf)?;
                    }
                    at += buf.len() as u64;
                }
            }
            for made in names {
                fs.set_size(*made, *size)?;
            }
        }
        let directory = directories.get(file as usize).copied().flatten();
        for made in names.iter().copied().chain(directory.filter(|_| file != 0)) {
            for (name, value) in &inode.xattrs {
                match fs.set_xattr(made, name, value, XattrMode::Set) {
                    // The permission bits say the same there.
                    Err(disksmith_vfs::Error::Unsupported { .. }) => break,
                    other => other?,
                }
            }
            fs.set_metadata(
                made,
                &MetadataChange {
                    modified: Some(inode.modified),
                    accessed: Some(inode.modified),
                    ..MetadataChange::default()
                },
            )?;
        }
    }
    fs.sync()
}

fn node(inode: &SourceInode) -> NewNode<'_> {
    NewNode {
        file_type: inode.file_type(),
        permissions: inode.permissions,
        // Filesystems that cannot be written in one pass keep no owners.
        uid: 0,
        gid: 0,
        time: inode.modified,
        target: match &inode.body {
            SourceBody::Symlink(target) => target,
            _ => &[],
        },
        device: match &inode.body {
            SourceBody::CharDevice(major, minor) | SourceBody::BlockDevice(major, minor) => (*major, *minor),
            _ => (0, 0),
        },
    }
}
