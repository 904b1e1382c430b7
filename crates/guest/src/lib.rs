//! The guest inside an image: what is installed, its mount table, and edits of its files.
//!
//! [`Guest::inspect`] finds the operating system on a set of volumes and joins its filesystems to one tree, as its own fstab
//! says. [`customize`] and [`sysprep()`] edit that tree and give a [`Report`] of every change. [`edit`] does all of it on
//! images, as one transaction; [`look`] only reads.
//!
//! ```
//! use disksmith_guest::{Context, Dialect, Guest, Operation, SeededRandom, Skeleton, customize, lay_out_skeleton};
//! use disksmith_vfs::{MemoryFs, Timestamp, Tree};
//! use std::sync::Arc;
//!
//! let clock = Timestamp { seconds: 1_750_000_000, nanoseconds: 0 };
//! let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
//! lay_out_skeleton(&tree, &Skeleton::default())?;
//! let guest = Guest::of_tree(tree);
//! let operations = [Operation::parse("hostname", "web1", Dialect::Disksmith)?];
//! let mut random = SeededRandom::new(1);
//! let report = customize(&guest, &operations, &mut Context::new(&mut random))?;
//! assert_eq!(guest.tree().read_to_string("/etc/hostname")?, "web1\n");
//! assert_eq!(report.steps[0].changes[0].path, "/etc/hostname");
//! # Ok::<(), disksmith_guest::Error>(())
//! ```

mod alignment;
mod applications;
mod audit;
mod capacity;
mod context;
mod crypt;
mod customize;
mod diff;
mod disk_usage;
mod edit_file;
mod editor;
mod error;
mod files;
mod filesystems;
mod inspect;
mod inspection;
mod kernel;
mod listing;
mod log;
mod offline;
mod operation;
mod perl;
mod progress;
mod report;
mod selector;
mod selinux;
mod settings;
mod skeleton;
mod sysprep;
mod tail;
mod take_in;
mod template;

pub use alignment::{Alignment, partition_alignments};
pub use applications::{Application, list_applications};
pub use audit::{
    AUDIT_CHECKS, AuditCheck, AuditReport, CheckResult, Finding, Severity, audit, audit_images,
    check_audit_names,
};
pub use capacity::{
    CapacityReport, FilesystemChange, GrowOptions, PartitionChange, PartitionFate, PlannedPartition, Remains,
    RepartitionPlan, RepartitionRequest, RepartitionStep, ShrinkOptions, ShrinkTo, SizeRequest,
    UnknownFilesystems, grow, human as human_as_tool, plan_repartition, repartition, shrink, unknown_text,
};
pub use context::{
    AccountChoice, Context, CopyOwner, Exec, RandomSource, ScriptRunner, SeededRandom, SystemRandom,
};
pub use crypt::{Scheme, hash_password, random_password};
pub use customize::{customize, customize_as_tool};
pub use diff::{Attribute, Compared, DiffOptions, Difference, FileState, write_text_diff};
pub use disk_usage::{Usage, UsageUnknown, disk_usage};
pub use edit_file::{MAX_EDITED, read_for_edit, replace_file};
pub use error::{Error, Result};
pub use files::{FstabEntry, Group, User, parse_fstab, parse_group, parse_os_release, parse_passwd};
pub use filesystems::{Item, ItemKind, WantedItems, list_items};
pub use inspect::{
    Distribution, Family, FoundRoot, Guest, Init, LogicalName, MountSpec, Mounted, Role, RootChoice, System,
    Volume, VolumeContent, canonical_device_name, find_lvm, open_volumes, open_volumes_for,
    parse_device_name,
};
pub use inspection::{
    InspectedFileSystem, Inspection, InspectionOptions, MountPoint, inspect_all, inspections_to_xml,
};
pub use kernel::{Kernel, newest_kernel, unversioned_name};
pub use listing::{
    Checksum, ListOptions, ListSink, LongOptions, TimeStyle, device_numbers, list_long, list_names,
    list_paths, list_recursive,
};
pub use log::{LogSource, print_log};
pub use offline::{GuestOptions, edit, edit_all, look, look_at_disks};
pub use operation::{
    Dialect, GuestProgram, OPERATION_OPTIONS, Operation, OptionSpec, operations_from_file, refusal,
};
pub use perl::{EditError, EditExpression, find_perl};
pub use progress::{Observer, Progress};
pub use report::{Action, Change, GeneratedPassword, Report, SelinuxOutcome, Step};
pub use selector::{PasswordSelector, PasswordSource, SshKeySelector};
pub use settings::{Keyboard, NetworkFile, NetworkSystem, SelinuxConfig, SelinuxMode, Settings};
pub use skeleton::{Skeleton, lay_out_skeleton};
pub use sysprep::{
    OPERATIONS as SYSPREP_OPERATIONS, SysprepOperation, change_selection, default_operations,
    select_operations, sysprep, sysprep_as_tool, tool_default_operations,
};
pub use tail::{Tail, last_lines};
pub use take_in::{TakeInOptions, TakenIn, copy_in, tar_error, tar_in};
pub use template::{Template, make_template};
