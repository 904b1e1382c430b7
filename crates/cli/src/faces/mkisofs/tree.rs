//! Filling the tree of the image with what the path specifications name.

use super::messages::Messages;
use super::path_spec::PathSpec;
use super::settings::Settings;
use super::stop::{Stop, reason};
use disksmith_iso9660::{
    Attributes, HostNotice, HostOptions, HostPlace, ImageTree, Level, NodeId, Visibility,
};
use disksmith_vfs::FileType;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The deepest directory whose contents stand there without Rock Ridge; the root is 0.
const MAX_DEPTH: usize = 6;

/// Builds the tree.
pub(super) fn build(settings: &Settings, messages: &Messages) -> Result<ImageTree, Stop> {
    let options = &settings.options;
    let new_directory = Attributes {
        uid: settings.fixed.uid.unwrap_or(0),
        gid: settings.fixed.gid.unwrap_or(0),
        ..Attributes::new(settings.new_directories, options.time)
    };
    let mut tree = ImageTree::new(new_directory);
    let exclude = |path: &Path| settings.hiding.excludes(path);
    let place = |path: &Path| HostPlace {
        visibility: settings.hiding.visibility(path),
        weight: settings.weights.of(path),
    };
    let notice = |notice: HostNotice<'_>| say(&notice, messages);
    let shallow = !options.rock_ridge && !options.deep_directories && options.level < Level::Four;
    let host = HostOptions {
        attributes: settings.attributes,
        fixed: settings.fixed,
        latest: settings.latest,
        links: settings.links,
        merge: true,
        zisofs: settings.zisofs,
        max_depth: shallow.then_some(MAX_DEPTH),
        exclude: Some(&exclude),
        place: (!settings.hiding.hides_nothing() || !settings.weights.is_empty())
            .then_some(&place as &dyn Fn(&Path) -> HostPlace),
        notice: Some(&notice),
    };
    let mut base = tree.root();
    if let Some(root) = &settings.root {
        base = directories(
            &mut tree,
            base,
            root.as_bytes().split(|b| *b == b'/'),
            new_directory,
        )?;
    }
    for spec in &settings.specs {
        take(&mut tree, base, spec, &host, new_directory, options.same_names)?;
    }
    for (path, weight) in &settings.image_weights {
        if let Some(id) = find(&tree, path.as_os_str()) {
            weigh(&mut tree, id, *weight);
        }
    }
    if settings.all_dates.is_some() || settings.plain_joliet {
        let mut pending = vec![tree.root()];
        while let Some(id) = pending.pop() {
            finish(&mut tree, id, settings);
            pending.extend_from_slice(tree.children(id));
        }
    }
    Ok(tree)
}

/// What is done to every entry when the tree is complete.
fn finish(tree: &mut ImageTree, id: NodeId, settings: &Settings) {
    if let Some(time) = settings.all_dates {
        let attributes = Attributes {
            modified: time,
            accessed: time,
            changed: time,
            ..tree.attributes(id)
        };
        tree.set_attributes(id, attributes);
    }
    if settings.plain_joliet && !matches!(tree.file_type(id), FileType::Regular | FileType::Directory) {
        let visibility = Visibility {
            not_joliet: true,
            ..tree.visibility(id)
        };
        tree.set_visibility(id, visibility);
    }
}

fn take(
    tree: &mut ImageTree,
    base: NodeId,
    spec: &PathSpec,
    host: &HostOptions<'_>,
    new_directory: Attributes,
    same_names: bool,
) -> Result<(), Stop> {
    let source = &spec.source;
    let invalid = |e: &std::io::Error| Stop::io(e, format!("Invalid node - '{}'.", source.display()));
    let found = match fs::metadata(source) {
        Ok(found) => found,
        // A link that leads nowhere is a file by itself.
        Err(error) => fs::symlink_metadata(source).map_err(|_| invalid(&error))?,
    };
    if found.is_dir() {
        let ways = spec.target.iter().map(Vec::as_slice);
        let dir = directories(tree, base, ways, new_directory)?;
        if dir == base && !spec.grafted && is_new(tree, dir) || !spec.target.is_empty() {
            tree.set_attributes(dir, host.attributes_of(&found));
        }
        return Ok(tree.add_host_contents(dir, source, host)?);
    }
    let (way, name) = match spec.target.split_last() {
        Some((name, way)) if !spec.into => (way, name.as_slice()),
        _ => {
            let name = source.file_name().map_or(&[][..], OsStr::as_bytes);
            (spec.target.as_slice(), name)
        }
    };
    let dir = directories(tree, base, way.iter().map(Vec::as_slice), new_directory)?;
    if let Some(there) = tree.child(dir, name).filter(|_| !same_names) {
        return Err(Stop::conflict(format!(
            "Error: '{}' and another file have the same name '{}' in the image.",
            source.display(),
            tree.path(there)
        )));
    }
    tree.add_host(dir, name, source, host)?;
    Ok(())
}

/// Whether nothing was put in a directory yet.
fn is_new(tree: &ImageTree, dir: NodeId) -> bool {
    tree.children(dir).is_empty()
}

/// The directory at the end of a way, which is made where it is not there.
fn directories<'a>(
    tree: &mut ImageTree,
    base: NodeId,
    way: impl Iterator<Item = &'a [u8]>,
    attributes: Attributes,
) -> Result<NodeId, Stop> {
    let mut at = base;
    for name in way.filter(|name| !name.is_empty()) {
        at = match tree.child(at, name) {
            Some(there) => there,
            None => tree.add_directory(at, name, attributes)?,
        };
    }
    Ok(at)
}

/// Finds a path in the image.
pub(super) fn find(tree: &ImageTree, path: &OsStr) -> Option<NodeId> {
    let mut at = tree.root();
    for name in path.as_bytes().split(|b| *b == b'/') {
        if !name.is_empty() && name != b"." {
            at = tree.child(at, name)?;
        }
    }
    Some(at)
}

fn weigh(tree: &mut ImageTree, id: NodeId, weight: i32) {
    let mut pending = vec![id];
    while let Some(id) = pending.pop() {
        tree.set_weight(id, weight);
        pending.extend_from_slice(tree.children(id));
    }
}

fn say(notice: &HostNotice<'_>, messages: &Messages) {
    match notice {
        HostNotice::Folder(path) => messages.detail(|| format!("Scanning {}", path.display())),
        HostNotice::LinkDropped(path) => {
            messages.warn(&format!("Symlink {} ignored - continuing.", path.display()));
        }
        HostNotice::BrokenLink { path, error } => messages.warn(&format!(
            "{}. Unable to stat file {} - ignoring and continuing.",
            reason(error),
            path.display()
        )),
        HostNotice::Loop(path) => {
            messages.warn(&format!("Warning: Directory loop ({}).", path.display()));
        }
        HostNotice::TooDeep { path, depth } => {
            messages.warn(&format!(
                "Directories too deep for '{}' ({depth}) max is {MAX_DEPTH}; ignored - continuing.",
                path.display()
            ));
            messages.warn("To include the complete directory tree,");
            messages.warn("use Rock Ridge extensions via -R or -r,");
            messages.warn("or allow deep ISO9660 directory nesting via -D.");
        }
    }
}
