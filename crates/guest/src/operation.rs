//! The operations of `customize`, in the words of virt-customize.

mod options;

pub use options::{OPERATION_OPTIONS, OptionSpec, UNSUPPORTED_OPTIONS, refusal};

use crate::error::{Error, Result};
use crate::files::text;
use crate::perl::EditExpression;
use crate::selector::{PasswordSelector, SshKeySelector};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a file of operations.
const MAX_COMMANDS: u64 = 16 << 20;

/// One operation on a guest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// `--append-line FILE:LINE`.
    AppendLine {
        /// The file.
        path: Vec<u8>,
        /// The line, without newline.
        line: Vec<u8>,
    },
    /// `--chmod MODE:FILE`.
    Chmod {
        /// Permission bits.
        permissions: u16,
        /// The file.
        path: Vec<u8>,
    },
    /// `--chown USER[:GROUP]:PATH`, by number or by name.
    Chown {
        /// User.
        user: String,
        /// Group; the user's own where none was given.
        group: Option<String>,
        /// The file.
        path: Vec<u8>,
    },
    /// `--copy SOURCE:DEST`, within the guest.
    Copy {
        /// What is copied.
        from: Vec<u8>,
        /// Where to.
        to: Vec<u8>,
    },
    /// `--copy-in LOCALPATH:REMOTEDIR`.
    CopyIn {
        /// File or directory of the host.
        local: PathBuf,
        /// Directory of the guest.
        dir: Vec<u8>,
    },
    /// `--delete PATTERN`.
    Delete {
        /// A shell pattern.
        pattern: Vec<u8>,
    },
    /// `--edit FILE:EXPR`.
    Edit {
        /// The file.
        path: Vec<u8>,
        /// The expression.
        expression: EditExpression,
    },
    /// `--firstboot SCRIPT`.
    Firstboot {
        /// Script of the host.
        script: PathBuf,
    },
    /// `--firstboot-command COMMAND`.
    FirstbootCommand {
        /// A shell command.
        command: String,
    },
    /// `--firstboot-install PKG,PKG`.
    FirstbootInstall {
        /// Names of packages.
        packages: Vec<String>,
    },
    /// `--hostname NAME`.
    Hostname {
        /// The name.
        name: String,
    },
    /// `--link TARGET:LINK[:LINK…]`.
    Link {
        /// What the links point to.
        target: Vec<u8>,
        /// The links.
        links: Vec<Vec<u8>>,
    },
    /// `--mkdir DIR`, with those above it.
    Mkdir {
        /// The directory.
        path: Vec<u8>,
    },
    /// `--move SOURCE:DEST`.
    Move {
        /// The old name.
        from: Vec<u8>,
        /// The new name, or a directory to move into.
        to: Vec<u8>,
    },
    /// `--password USER:SELECTOR` and `--root-password SELECTOR`.
    Password {
        /// The user.
        user: String,
        /// What becomes of the password.
        selector: PasswordSelector,
    },
    /// `--scrub FILE`.
    Scrub {
        /// The file.
        path: Vec<u8>,
    },
    /// `--ssh-inject USER[:SELECTOR]`.
    SshInject {
        /// The user.
        user: String,
        /// Where the key comes from.
        selector: SshKeySelector,
    },
    /// `--timezone ZONE`.
    Timezone {
        /// The zone.
        zone: String,
    },
    /// `--touch FILE`.
    Touch {
        /// The file.
        path: Vec<u8>,
    },
    /// `--truncate FILE`.
    Truncate {
        /// The file.
        path: Vec<u8>,
    },
    /// `--truncate-recursive PATH`.
    TruncateRecursive {
        /// The directory.
        path: Vec<u8>,
    },
    /// `--upload FILE:DEST`.
    Upload {
        /// File of the host.
        local: PathBuf,
        /// File or directory of the guest.
        path: Vec<u8>,
    },
    /// `--write FILE:CONTENT`.
    Write {
        /// The file.
        path: Vec<u8>,
        /// Its contents.
        content: Vec<u8>,
    },
}

/// How arguments are read where disksmith and virt-customize differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Modes are octal.
    #[default]
    Disksmith,
    /// Modes are decimal unless they begin with 0.
    VirtCustomize,
}

impl Operation {
    /// Parses an option (without dashes) and its argument, in which paths and contents may be any bytes.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong argument or an unknown option, [`Error::Unsupported`] for [`UNSUPPORTED_OPTIONS`],
    /// [`Error::Expression`] for an edit expression.
    pub fn parse(option: &str, argument: impl AsRef<[u8]>, dialect: Dialect) -> Result<Self> {
        let wrong = |reason: String| Error::usage(format!("--{option}"), reason);
        let argument = argument.as_ref();
        let words = |bytes| {
            let refused =
                |_| wrong("holds bytes that are no UTF-8, which only paths and contents may".into());
            std::str::from_utf8(bytes).map_err(refused)
        };
        let pair = |form: &str| {
            split_once(argument)
                .ok_or_else(|| wrong(format!("{:?} is not of the form {form}", shown(argument))))
        };
        let path = |text: &[u8]| guest_path(option, text);
        let local = |text: &[u8]| -> Result<PathBuf> {
            if text.is_empty() {
                Err(wrong("the local file is missing".into()))
            } else {
                host_path(text).ok_or_else(|| wrong("the local file's name is not UTF-8".into()))
            }
        };
        Ok(match option {
            "append-line" => {
                let (file, line) = pair("FILE:LINE")?;
                if line.contains(&b'\n') {
                    return Err(wrong(
                        "the line holds a newline; use the option once for each line".into(),
                    ));
                }
                Self::AppendLine {
                    path: path(file)?,
                    line: line.into(),
                }
            }
            "chmod" => {
                let (mode, file) = pair("MODE:FILE")?;
                let mode = words(mode)?;
                let permissions = parse_mode(mode, dialect).ok_or_else(|| {
                    wrong(format!("{mode:?} is no mode: octal digits up to 7777 (as 0644)"))
                })?;
                Self::Chmod {
                    permissions,
                    path: path(file)?,
                }
            }
            "chown" => {
                let mut fields: Vec<&[u8]> = argument.splitn(3, |b| *b == b':').collect();
                // USER:PATH, where the second field is a path already.
                if fields.get(1).is_some_and(|second| second.starts_with(b"/")) {
                    fields = argument.splitn(2, |b| *b == b':').collect();
                }
                match fields.as_slice() {
                    [user, group, file] if !user.is_empty() && !group.is_empty() => Self::Chown {
                        user: words(user)?.into(),
                        group: Some(words(group)?.into()),
                        path: path(file)?,
                    },
                    [user, file] if !user.is_empty() => Self::Chown {
                        user: words(user)?.into(),
                        group: None,
                        path: path(file)?,
                    },
                    _ => {
                        return Err(wrong(format!(
                            "{:?} is not of the form USER:GROUP:PATH",
                            shown(argument)
                        )));
                    }
                }
            }
            "copy" => {
                let (from, to) = pair("SOURCE:DEST")?;
                Self::Copy {
                    from: path(from)?,
                    to: path(to)?,
                }
            }
            "copy-in" => {
                let (from, dir) = pair("LOCALPATH:REMOTEDIR")?;
                Self::CopyIn {
                    local: local(from)?,
                    dir: path(dir)?,
                }
            }
            "delete" => Self::Delete {
                pattern: path(argument)?,
            },
            "edit" => {
                let (file, source) = pair("FILE:EXPR")?;
                let source = words(source)?;
                let expression = EditExpression::parse(source).map_err(|error| Error::Expression {
                    expression: source.into(),
                    source: error,
                })?;
                Self::Edit {
                    path: path(file)?,
                    expression,
                }
            }
            "firstboot" => Self::Firstboot {
                script: local(argument)?,
            },
            "firstboot-command" if argument.trim_ascii().is_empty() => {
                return Err(wrong("the command is empty".into()));
            }
            "firstboot-command" => Self::FirstbootCommand {
                command: words(argument)?.into(),
            },
            "firstboot-install" => {
                let packages: Vec<String> = words(argument)?
                    .split(',')
                    .map(str::trim)
                    .filter(|p| !p.is_empty())
                    .map(str::to_owned)
                    .collect();
                let plain = |c: char| c.is_ascii_alphanumeric() || "+-._:=/@~*".contains(c);
                match packages
                    .iter()
                    .find(|p| p.starts_with('-') || !p.chars().all(plain))
                {
                    Some(bad) => return Err(wrong(format!("{bad:?} is no name of a package"))),
                    None if packages.is_empty() => return Err(wrong("no package is named".into())),
                    None => Self::FirstbootInstall { packages },
                }
            }
            "hostname" => {
                let argument = words(argument)?;
                check_hostname(argument).map_err(|reason| wrong(format!("{argument:?} {reason}")))?;
                Self::Hostname {
                    name: argument.into(),
                }
            }
            "link" => {
                let (target, links) = pair("TARGET:LINK[:LINK..]")?;
                if target.is_empty() {
                    return Err(wrong("the target is empty".into()));
                }
                let links = links.split(|b| *b == b':').map(path).collect::<Result<_>>()?;
                Self::Link {
                    target: target.into(),
                    links,
                }
            }
            "mkdir" => Self::Mkdir {
                path: path(argument)?,
            },
            "move" => {
                let (from, to) = pair("SOURCE:DEST")?;
                Self::Move {
                    from: path(from)?,
                    to: path(to)?,
                }
            }
            "password" => {
                let (user, selector) = pair("USER:SELECTOR")?;
                if user.is_empty() {
                    return Err(wrong("the user is missing".into()));
                }
                Self::Password {
                    user: words(user)?.into(),
                    selector: PasswordSelector::parse(words(selector)?).map_err(wrong)?,
                }
            }
            "root-password" => Self::Password {
                user: "root".into(),
                selector: PasswordSelector::parse(words(argument)?).map_err(wrong)?,
            },
            "scrub" => Self::Scrub {
                path: path(argument)?,
            },
            "ssh-inject" => {
                let argument = words(argument)?;
                let (user, selector) = match argument.split_once(':') {
                    Some((user, selector)) => (user, SshKeySelector::parse(selector).map_err(wrong)?),
                    None => (argument, SshKeySelector::Newest),
                };
                if user.is_empty() {
                    return Err(wrong("the user is missing".into()));
                }
                Self::SshInject {
                    user: user.into(),
                    selector,
                }
            }
            "timezone" => {
                let argument = words(argument)?;
                let sane = !argument.is_empty()
                    && !argument.starts_with('/')
                    && argument.split('/').all(|part| !matches!(part, "" | "." | ".."))
                    && argument
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "/_+-.".contains(c));
                if !sane {
                    return Err(wrong(format!(
                        "{argument:?} is no name of a time zone (as Europe/Berlin)"
                    )));
                }
                Self::Timezone {
                    zone: argument.into(),
                }
            }
            "touch" => Self::Touch {
                path: path(argument)?,
            },
            "truncate" => Self::Truncate {
                path: path(argument)?,
            },
            "truncate-recursive" => Self::TruncateRecursive {
                path: path(argument)?,
            },
            "upload" => {
                let (from, to) = pair("FILE:DEST")?;
                Self::Upload {
                    local: local(from)?,
                    path: path(to)?,
                }
            }
            "write" => {
                let (file, content) = pair("FILE:CONTENT")?;
                Self::Write {
                    path: path(file)?,
                    content: content.into(),
                }
            }
            other => return Err(refusal(other)),
        })
    }

    /// The operation as the user would write it; passwords are left out.
    pub fn describe(&self) -> String {
        match self {
            Self::AppendLine { path, line } => format!("--append-line {}:{}", text(path), text(line)),
            Self::Chmod { permissions, path } => format!("--chmod {permissions:04o}:{}", text(path)),
            Self::Chown {
                user,
                group: Some(group),
                path,
            } => format!("--chown {user}:{group}:{}", text(path)),
            Self::Chown {
                user,
                group: None,
                path,
            } => format!("--chown {user}:{}", text(path)),
            Self::Copy { from, to } => format!("--copy {}:{}", text(from), text(to)),
            Self::CopyIn { local, dir } => format!("--copy-in {}:{}", local.display(), text(dir)),
            Self::Delete { pattern } => format!("--delete {}", text(pattern)),
            Self::Edit { path, expression } => format!("--edit {}:{}", text(path), expression.source()),
            Self::Firstboot { script } => format!("--firstboot {}", script.display()),
            Self::FirstbootCommand { command } => format!("--firstboot-command {command}"),
            Self::FirstbootInstall { packages } => format!("--firstboot-install {}", packages.join(",")),
            Self::Hostname { name } => format!("--hostname {name}"),
            Self::Link { target, links } => {
                let links: Vec<String> = links.iter().map(|l| text(l)).collect();
                format!("--link {}:{}", text(target), links.join(":"))
            }
            Self::Mkdir { path } => format!("--mkdir {}", text(path)),
            Self::Move { from, to } => format!("--move {}:{}", text(from), text(to)),
            Self::Password { user, selector } => format!("--password {user}:{selector}"),
            Self::Scrub { path } => format!("--scrub {}", text(path)),
            Self::SshInject {
                user,
                selector: SshKeySelector::Newest,
            } => format!("--ssh-inject {user}"),
            Self::SshInject { user, selector } => format!("--ssh-inject {user}:{selector}"),
            Self::Timezone { zone } => format!("--timezone {zone}"),
            Self::Touch { path } => format!("--touch {}", text(path)),
            Self::Truncate { path } => format!("--truncate {}", text(path)),
            Self::TruncateRecursive { path } => format!("--truncate-recursive {}", text(path)),
            Self::Upload { local, path } => format!("--upload {}:{}", local.display(), text(path)),
            Self::Write { path, content } => format!("--write {}:({} bytes)", text(path), content.len()),
        }
    }
}

/// Operations from a file: a name and its argument on each line, `#` comments, a backslash at the end of a line goes on
/// with the next. The file may name others with `commands-from-file`.
///
/// # Errors
/// [`Error::Host`], and the errors of [`Operation::parse`] with file and line.
pub fn operations_from_file(path: &Path, dialect: Dialect) -> Result<Vec<Operation>> {
    let mut operations = Vec::new();
    read_commands(path, dialect, 0, &mut operations)?;
    Ok(operations)
}

fn read_commands(path: &Path, dialect: Dialect, depth: usize, operations: &mut Vec<Operation>) -> Result<()> {
    let mut contents = String::new();
    // A device has no size, and may have no end.
    File::open(path)
        .and_then(|file| file.take(MAX_COMMANDS + 1).read_to_string(&mut contents))
        .map_err(|e| Error::host("read", path, e))?;
    if contents.len() as u64 > MAX_COMMANDS {
        return Err(Error::HostContent {
            path: path.to_owned(),
            reason: "is too large for a file of operations".into(),
        });
    }
    let mut lines = contents.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let place = format!("{}, line {}", path.display(), index + 1);
        let mut command = line.trim_start().to_owned();
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        while let Some(shorter) = command.strip_suffix('\\') {
            let Some((_, next)) = lines.next() else {
                return Err(Error::usage(place, "the last line ends in a backslash"));
            };
            command = format!("{shorter}{next}");
        }
        let (name, argument) = match command.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim_start()),
            None => (command.as_str(), ""),
        };
        if name == "commands-from-file" {
            if depth > 10 {
                return Err(Error::usage(place, "command files name each other"));
            }
            read_commands(Path::new(argument), dialect, depth + 1, operations)?;
            continue;
        }
        let operation = Operation::parse(name, argument, dialect).map_err(|e| e.in_operation(&place))?;
        operations.push(operation);
    }
    Ok(())
}

fn guest_path(option: &str, path: &[u8]) -> Result<Vec<u8>> {
    let wrong = |reason: String| Error::usage(format!("--{option}"), reason);
    if !path.starts_with(b"/") {
        return Err(wrong(format!(
            "{:?} is not an absolute path in the guest",
            shown(path)
        )));
    }
    if path.contains(&0) {
        return Err(wrong("a path holds a NUL".into()));
    }
    Ok(path.into())
}

/// A path of the host, where the system has paths of any bytes.
#[cfg(unix)]
fn host_path(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn host_path(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

/// What stands before and after the first colon.
fn split_once(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == b':')?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn shown(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn parse_mode(text: &str, dialect: Dialect) -> Option<u16> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let decimal = dialect == Dialect::VirtCustomize && !text.starts_with('0');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mode = u16::from_str_radix(digits, if decimal { 10 } else { 8 }).ok()?;
    (mode <= 0o7777).then_some(mode)
}

/// What Linux and DNS take as a host name.
fn check_hostname(name: &str) -> std::result::Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > 64 {
        return Err("is longer than 64 bytes, Linux's limit for a host name");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("has an empty part between dots");
        }
        if label.len() > 63 {
            return Err("has a part of more than 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a part that begins or ends with a hyphen");
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err("holds characters that a host name cannot have");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
