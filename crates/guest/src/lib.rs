//! The guest inside an image: what is installed, its mount table, and edits of its files.

mod context;
mod crypt;
mod customize;
mod editor;
mod error;
mod files;
mod inspect;
mod listing;
mod offline;
mod operation;
mod perl;
mod report;
mod selector;
mod selinux;
mod skeleton;
mod sysprep;
mod template;

pub use context::{Context, CopyOwner, RandomSource, SeededRandom, SystemRandom};
pub use crypt::{Scheme, hash_password};
pub use customize::customize;
pub use error::{Error, Result};
pub use files::{FstabEntry, Group, User, parse_fstab, parse_group, parse_os_release, parse_passwd};
pub use inspect::{
    Distribution, Family, Guest, Init, MountSpec, Mounted, Volume, VolumeContent, canonical_device_name,
    open_volumes, parse_device_name,
};
pub use listing::{ListOptions, list_long, list_names, list_paths, list_recursive};
pub use offline::{GuestOptions, edit, look};
pub use operation::{
    Dialect, OPERATION_OPTIONS, Operation, OptionSpec, UNSUPPORTED_OPTIONS, operations_from_file, refusal,
};
pub use perl::{EditError, EditExpression};
pub use report::{Action, Change, GeneratedPassword, Report, SelinuxOutcome, Step};
pub use selector::{PasswordSelector, PasswordSource, SshKeySelector};
pub use skeleton::{Skeleton, lay_out_skeleton};
pub use sysprep::{
    OPERATIONS as SYSPREP_OPERATIONS, SysprepOperation, default_operations, select_operations, sysprep,
};
pub use template::{Template, make_template};
