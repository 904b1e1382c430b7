//! SELinux labels of new files.
//!
//! A file that is changed in place keeps its label. A new file whose name the policy has a type for takes that; another takes the
//! label that its siblings of the same kind all bear; where they differ, or there are none, the label is a guess (the kernel's own:
//! that of the directory) and the guest is told to relabel itself.

mod named;

use crate::error::Result;
use crate::settings::{SelinuxMode, selinux_of};
use disksmith_vfs::{FileType, Node, Tree, XattrMode};

const LABEL: &[u8] = b"security.selinux";
/// Largest list of the policy's that is read.
const MAX_CONTEXTS: u64 = 16 << 20;
/// How many siblings are looked at.
const MAX_SIBLINGS: usize = 200;

/// What is known of the guest's SELinux, and of the labels given so far.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    /// Whether the guest uses SELinux.
    pub(crate) in_use: bool,
    /// Files whose label is a guess.
    pub(crate) guesses: u64,
    /// The policy's own list of paths and types; empty where the guest has none.
    contexts: Vec<u8>,
}

impl Labels {
    /// Looks whether the guest uses SELinux: it is configured and not off. A permissive one keeps its labels as well.
    pub(crate) fn of(tree: &Tree) -> Self {
        let config = selinux_of(tree).filter(|config| config.mode != SelinuxMode::Disabled);
        let contexts = config.as_ref().and_then(|config| {
            let policy = &config.policy;
            let plain = !policy.is_empty() && !policy.contains('/') && !policy.starts_with('.');
            let path = format!("/etc/selinux/{policy}/contexts/files/file_contexts");
            tree.read_limited(path, MAX_CONTEXTS).ok().filter(|_| plain)
        });
        Self {
            in_use: config.is_some(),
            guesses: 0,
            contexts: contexts.unwrap_or_default(),
        }
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
        if matches!(tree.open_node(dir).0.kind(), "vfat" | "exfat" | "iso9660") {
            // All files there have the one label that the mount gives them.
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
        if let Some(label) = &parent
            && let Some(new_type) = named::type_of(type_field(label), name)
            && self.knows(new_type)
        {
            return Ok((Some(with_type(label, new_type)), true));
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

impl Labels {
    /// Whether the guest's policy has a type.
    fn knows(&self, type_name: &[u8]) -> bool {
        let field = [b":", type_name, b":"].concat();
        contains(&self.contexts, &field)
    }
}

/// The third field of a label.
fn type_field(label: &[u8]) -> &[u8] {
    label.split(|b| *b == b':').nth(2).unwrap_or_default()
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
