//! The faces: the old tools whose scripts call this program, each under its own name (`ln -s disksmith NAME`) or as
//! `disksmith NAME …`, with that tool's arguments, output and exit status.

mod cloud_localds;
mod customize_options;
mod dos_time;
mod dumpe2fs;
mod e2label;
mod ext_superblock_text;
mod fatlabel;
mod getopt;
mod guestfs_options;
mod guestmount;
pub(crate) mod isoinfo;
mod mke2fs;
mod mkfs_vfat;
pub(crate) mod mkisofs;
mod mtools;
pub(crate) mod qemu_img;
mod resize2fs;
mod step_lines;
mod tune2fs;
mod virt_alignment_scan;
mod virt_cat;
mod virt_copy;
mod virt_customize;
mod virt_df;
mod virt_diff;
mod virt_edit;
mod virt_filesystems;
mod virt_format;
mod virt_get_kernel;
mod virt_inspector;
mod virt_log;
mod virt_ls;
mod virt_make_fs;
mod virt_resize;
mod virt_sparsify;
mod virt_sysprep;
mod virt_tail;
pub(crate) mod xorriso;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// A tool whose behaviour the program has.
struct Face {
    /// The names it is called by.
    names: &'static [&'static str],
    /// Runs it with its name and the arguments behind the name.
    run: fn(&str, &[OsString]) -> ExitCode,
}

/// Every face there is.
const FACES: &[Face] = &[
    Face {
        names: &["virt-inspector"],
        run: virt_inspector::run,
    },
    Face {
        names: &["virt-get-kernel"],
        run: virt_get_kernel::run,
    },
    Face {
        names: &["virt-filesystems"],
        run: virt_filesystems::run,
    },
    Face {
        names: &["virt-diff"],
        run: virt_diff::run,
    },
    Face {
        names: &["virt-df"],
        run: virt_df::run,
    },
    Face {
        names: &["virt-alignment-scan"],
        run: virt_alignment_scan::run,
    },
    Face {
        names: &["virt-customize"],
        run: virt_customize::run,
    },
    Face {
        names: &["virt-sysprep"],
        run: virt_sysprep::run,
    },
    Face {
        names: &["qemu-img"],
        run: |_, arguments| qemu_img::run(arguments),
    },
    Face {
        names: &["mkfs.vfat", "mkfs.fat", "mkdosfs", "mkfs.msdos"],
        run: mkfs_vfat::run,
    },
    Face {
        names: mke2fs::NAMES,
        run: mke2fs::run,
    },
    Face {
        names: &["virt-make-fs"],
        run: virt_make_fs::run,
    },
    Face {
        names: &["virt-format"],
        run: virt_format::run,
    },
    Face {
        names: &["virt-sparsify"],
        run: virt_sparsify::run,
    },
    Face {
        names: &["fatlabel", "dosfslabel"],
        run: fatlabel::run,
    },
    Face {
        names: mtools::NAMES,
        run: mtools::run,
    },
    Face {
        names: &["cloud-localds"],
        run: cloud_localds::run,
    },
    Face {
        names: &["genisoimage", "mkisofs", "xorrisofs"],
        run: mkisofs::run,
    },
    Face {
        names: &["isoinfo"],
        run: isoinfo::run,
    },
    Face {
        names: &["xorriso"],
        run: xorriso::run,
    },
    Face {
        names: &["guestmount"],
        run: guestmount::run,
    },
    Face {
        names: &["guestunmount"],
        run: guestmount::run_guestunmount,
    },
    Face {
        names: &["virt-ls"],
        run: virt_ls::run,
    },
    Face {
        names: &["virt-cat"],
        run: virt_cat::run,
    },
    Face {
        names: &["virt-log"],
        run: virt_log::run,
    },
    Face {
        names: &["virt-tail"],
        run: virt_tail::run,
    },
    Face {
        names: &["virt-edit"],
        run: virt_edit::run,
    },
    Face {
        names: &[
            "virt-copy-in",
            "virt-copy-out",
            "virt-tar-in",
            "virt-tar-out",
            "virt-tar",
        ],
        run: virt_copy::run,
    },
    Face {
        names: &["dumpe2fs"],
        run: dumpe2fs::run,
    },
    Face {
        names: &["e2label"],
        run: e2label::run,
    },
    Face {
        names: &["tune2fs"],
        run: tune2fs::run,
    },
    Face {
        names: &["resize2fs"],
        run: resize2fs::run,
    },
    Face {
        names: &["virt-resize"],
        run: virt_resize::run,
    },
];

/// A face that was called, with what stood behind its name.
pub(crate) struct Call {
    face: &'static Face,
    name: &'static str,
    arguments: Vec<OsString>,
}

impl Call {
    /// The call in a command line, where the program was called by a face's name or that name is its first argument.
    pub(crate) fn of(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let program = words.next()?;
        let found = Path::new(&program)
            .file_name()
            .and_then(named)
            .or_else(|| words.next().as_deref().and_then(named));
        let (face, name) = found?;
        Some(Self {
            face,
            name,
            arguments: words.collect(),
        })
    }

    /// Runs the face.
    pub(crate) fn run(&self) -> ExitCode {
        (self.face.run)(self.name, &self.arguments)
    }
}

/// The face of a name.
fn named(word: &OsStr) -> Option<(&'static Face, &'static str)> {
    FACES.iter().find_map(|face| {
        face.names
            .iter()
            .find(|name| word == **name)
            .map(|name| (face, *name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(words: &[&str]) -> Option<(&'static str, usize)> {
        Call::of(words.iter().map(OsString::from)).map(|call| (call.name, call.arguments.len()))
    }

    #[test]
    fn a_face_is_known_by_its_name() {
        assert_eq!(called(&["/usr/bin/qemu-img", "info", "x"]), Some(("qemu-img", 2)));
        assert_eq!(called(&["disksmith", "qemu-img", "info"]), Some(("qemu-img", 1)));
        assert_eq!(called(&["qemu-img"]), Some(("qemu-img", 0)));
        assert_eq!(called(&["disksmith", "info", "qemu-img"]), None);
        assert_eq!(called(&["disksmith"]), None);
    }

    #[test]
    fn no_name_stands_for_two_faces() {
        let mut names: Vec<&str> = FACES.iter().flat_map(|face| face.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
