//! Extended attributes of files that are put into a new filesystem: in the inode as far as they fit, the rest in a block that
//! files with the same attributes share.

use super::content::EXTRA_ISIZE;
use super::write::Maker;
use crate::error::{Error, Result};
use crate::record::put32;
use crate::xattr::entry::{BLOCK_HEADER, INODE_HEADER, XATTR_MAGIC, area_size, encode_area};
use crate::xattr::{Acl, Attribute, Value, split_name};
use disksmith_vfs::SourceXattr;

/// As many files share a block.
const MAX_SHARERS: u32 = 1024;
/// As many blocks are kept to be shared.
const KEPT: usize = 32;

/// The blocks of attributes that further files may share.
#[derive(Default)]
pub(super) struct AttributeBlocks {
    kept: Vec<(Vec<u8>, u64, u32)>,
}

impl AttributeBlocks {
    /// Stores attributes in an inode and, where they do not fit, in a block, whose number it gives.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where they do not fit there either.
    pub(super) fn store(
        &mut self,
        maker: &mut Maker<'_>,
        raw: &mut [u8],
        xattrs: &[SourceXattr],
    ) -> Result<Option<u64>> {
        let (mut here, mut beside) = (Vec::new(), Vec::new());
        let start = 128 + usize::from(EXTRA_ISIZE);
        let room = raw.len().saturating_sub(start + INODE_HEADER);
        for (name, value) in xattrs {
            let attribute = attribute(name, value)?;
            here.push(attribute);
            if area_size(&here) > room || raw.len() <= 128 {
                beside.extend(here.pop());
            }
        }
        if !here.is_empty() {
            put32(raw, start, XATTR_MAGIC);
            encode_area(raw, start + INODE_HEADER, start + INODE_HEADER, &here, false);
        }
        if beside.is_empty() {
            return Ok(None);
        }
        beside.sort_by(|a, b| (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name)));
        let size = maker.sizes.block_size as usize;
        if area_size(&beside) > size - BLOCK_HEADER {
            return Err(Error::NoSpace {
                what: "room for extended attributes",
            });
        }
        let mut bytes = vec![0; size];
        let hash = encode_area(&mut bytes, BLOCK_HEADER, 0, &beside, true);
        put32(&mut bytes, 0, XATTR_MAGIC);
        put32(&mut bytes, 8, 1);
        put32(&mut bytes, 12, hash);
        let found = self
            .kept
            .iter_mut()
            .find(|(kept, _, users)| *users < MAX_SHARERS && *kept == bytes);
        if let Some((_, block, users)) = found {
            *users += 1;
            return Ok(Some(*block));
        }
        if self.kept.len() >= KEPT {
            let (bytes, block, users) = self.kept.remove(0);
            write(maker, bytes, block, users)?;
        }
        let (block, _) = maker.groups.place(0, 1)?;
        self.kept.push((bytes, block, 1));
        Ok(Some(block))
    }

    /// Writes the blocks that are still kept.
    pub(super) fn finish(&mut self, maker: &mut Maker<'_>) -> Result<()> {
        for (bytes, block, users) in self.kept.drain(..) {
            write(maker, bytes, block, users)?;
        }
        Ok(())
    }
}

fn attribute(name: &[u8], value: &[u8]) -> Result<Attribute> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    let (index, rest) = split_name(name).ok_or_else(|| Error::InvalidOption {
        what: "extended attributes",
        reason: format!("{} is a name that cannot be stored", shown()),
    })?;
    if rest.len() > usize::from(u8::MAX) {
        return Err(Error::NoSpace {
            what: "room for extended attributes",
        });
    }
    let value = if matches!(index, 2 | 3) {
        let acl = Acl::from_wire(value).ok_or_else(|| Error::InvalidOption {
            what: "extended attributes",
            reason: format!("{} is no access control list", shown()),
        })?;
        acl.to_disk()
    } else {
        value.to_vec()
    };
    Ok(Attribute {
        index,
        name: rest,
        value: Value::Here(value),
    })
}

fn write(maker: &mut Maker<'_>, mut bytes: Vec<u8>, block: u64, users: u32) -> Result<()> {
    put32(&mut bytes, 4, users);
    if let Some(sum) = maker.checksums.xattr_block(block, &bytes) {
        put32(&mut bytes, 16, sum);
    }
    maker.write_block(block, &bytes)
}
