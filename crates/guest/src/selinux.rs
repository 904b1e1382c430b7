//! SELinux labels of new files.
//!
//! A file that is changed in place keeps its label. A new file takes the label that its siblings of the same kind
//! all bear; where they differ, or there are none, the label is a guess (the kernel's own: that of the directory) and the guest
//! is told to relabel itself.

use crate::error::Result;
use crate::files::lines;
use disksmith_vfs::{FileType, Node, Tree, XattrMode};

const LABEL: &[u8] = b"security.selinux";
/// How many siblings are looked at.
const MAX_SIBLINGS: usize = 200;

/// What is known of the guest's SELinux, and of the labels given so far.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    /// Whether the guest uses SELinux.
    pub(crate) in_use: bool,
    /// Files whose label is a guess.
    pub(crate) guesses: u64,
}

impl Labels {
    /// Looks whether the guest uses SELinux.
    pub(crate) fn of(tree: &Tree) -> Self {
        let in_use = tree.read(b"/etc/selinux/config").is_ok_and(|config| {
            let mode = lines(&config)
                .filter_map(|line| line.trim_ascii().strip_prefix(b"SELINUX="))
                .last()
                .map(|mode| mode.trim_ascii().to_ascii_lowercase());
            mode.is_none_or(|mode| mode != b"disabled")
        });
        Self { in_use, guesses: 0 }
    }

    /// Labels a file that was just made in `dir`. Returns the label.
    pub(crate) fn label_new(
        &mut self,
        tree: &Tree,
        dir: Node,
        new: Node,
        file_type: FileType,
        name: &[u8],
    ) -> Result<Option<String>> {
        if !self.in_use {
            return Ok(None);
        }
        let (label, certain) = self.choose(tree, dir, new, file_type, name)?;
        if !certain {
            self.guesses += 1;
        }
        let Some(label) = label else { return Ok(None) };
        let (fs, inode) = tree.open_node(new);
        fs.set_xattr(inode, LABEL, &label, XattrMode::Set)?;
        Ok(Some(
            String::from_utf8_lossy(&label).trim_end_matches('\0').to_owned(),
        ))
    }

    fn choose(
        &self,
        tree: &Tree,
        dir: Node,
        new: Node,
        file_type: FileType,
        name: &[u8],
    ) -> Result<(Option<Vec<u8>>, bool)> {
        let (fs, dir_inode) = tree.open_node(dir);
        let parent = fs.xattr(dir_inode, LABEL)?;
        // Contexts are user:role:type:level.
        if let Some(label) = &parent {
            let home = [&b":user_home_dir_t:"[..], b":admin_home_t:"];
            let is_home = home.iter().any(|t| contains(label, t));
            if is_home && name == b".ssh" {
                return Ok((Some(with_type(label, b"ssh_home_t")), true));
            }
            if contains(label, b":ssh_home_t:") {
                return Ok((parent, true));
            }
        }
        let mut siblings = Vec::new();
        fs.read_dir(dir_inode, 0, &mut |entry| {
            if entry.file_type == file_type
                && entry.inode != new.inode
                && !matches!(entry.name.as_slice(), b"." | b"..")
            {
                siblings.push(entry.inode);
            }
            siblings.len() < MAX_SIBLINGS
        })?;
        let mut common: Option<Vec<u8>> = None;
        let mut agree = !siblings.is_empty();
        for sibling in siblings {
            let label = fs.xattr(sibling, LABEL)?;
            match (&common, label) {
                (None, Some(label)) if agree => common = Some(label),
                (Some(known), Some(label)) if *known == label => {}
                _ => agree = false,
            }
        }
        match common {
            Some(label) if agree => Ok((Some(label), true)),
            _ => Ok((parent, false)),
        }
    }
}

fn contains(label: &[u8], part: &[u8]) -> bool {
    label.windows(part.len()).any(|w| w == part)
}

/// A label with its third field replaced.
fn with_type(label: &[u8], new_type: &[u8]) -> Vec<u8> {
    let fields: Vec<&[u8]> = label.splitn(4, |b| *b == b':').collect();
    let fields: Vec<&[u8]> = fields
        .iter()
        .enumerate()
        .map(|(i, f)| if i == 2 { new_type } else { *f })
        .collect();
    fields.join(&b':')
}
