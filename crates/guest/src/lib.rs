//! The guest inside an image: what is installed, its mount table, and edits of its files.

mod context;
mod crypt;
mod editor;
mod error;
mod files;
mod perl;
mod report;
mod selinux;

pub use context::{Context, CopyOwner, RandomSource, SeededRandom, SystemRandom};
pub use crypt::{Scheme, hash_password};
pub use error::{Error, Result};
pub use files::{FstabEntry, Group, User, parse_fstab, parse_group, parse_os_release, parse_passwd};
pub use perl::{EditError, EditExpression};
pub use report::{Action, Change, GeneratedPassword, Report, SelinuxOutcome, Step};
