//! Reads the argument of an operation.

use super::{Dialect, GuestProgram, Operation, refusal};
use crate::error::{Error, Result};
use crate::perl::EditExpression;
use crate::selector::{PasswordSelector, PasswordSource, SshKeySelector};
use std::path::PathBuf;

impl Operation {
    /// Parses an option (without dashes) and its argument, in which paths and contents may be any bytes.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong argument or an unknown option.
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
                    written: mode.to_owned(),
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
                // What is beyond is for the host's perl to judge, if there is one.
                let expression = EditExpression::lenient(source);
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
            "firstboot-install" => Self::FirstbootInstall {
                packages: packages(words(argument)?).map_err(wrong)?,
            },
            "hostname" => {
                let argument = words(argument)?;
                check_hostname(argument).map_err(|reason| wrong(format!("{argument:?} {reason}")))?;
                Self::Hostname {
                    name: argument.into(),
                }
            }
            "inject-blnsvr" | "inject-qemu-ga" | "inject-virtio-win" => Self::Ignored {
                option: match option {
                    "inject-blnsvr" => "inject-blnsvr",
                    "inject-qemu-ga" => "inject-qemu-ga",
                    _ => "inject-virtio-win",
                },
                argument: words(argument)?.into(),
            },
            "install" => {
                Self::GuestProgram(GuestProgram::Install(packages(words(argument)?).map_err(wrong)?))
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
            "no-logfile" => Self::NoLogfile,
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
            "run" => Self::GuestProgram(GuestProgram::Run(local(argument)?)),
            "run-command" if argument.trim_ascii().is_empty() => {
                return Err(wrong("the command is empty".into()));
            }
            "run-command" => Self::GuestProgram(GuestProgram::RunCommand(words(argument)?.into())),
            "scrub" => Self::Scrub {
                path: path(argument)?,
            },
            "sm-attach" => Self::GuestProgram(GuestProgram::SubscriptionAttach(match words(argument)? {
                "auto" => None,
                other => match other.strip_prefix("file:").filter(|file| !file.is_empty()) {
                    Some(file) => Some(file.into()),
                    None => return Err(wrong("the selector is none of auto, file:FILE".into())),
                },
            })),
            "sm-credentials" => {
                let argument = words(argument)?;
                let (user, password) = match argument.splitn(3, ':').collect::<Vec<_>>().as_slice() {
                    [user, "password", password] if !user.is_empty() => {
                        (*user, PasswordSource::Literal((*password).into()))
                    }
                    [user, "file", file] if !user.is_empty() && !file.is_empty() => {
                        (*user, PasswordSource::File((*file).into()))
                    }
                    _ => {
                        let forms = "the selector is none of USER:password:PASSWORD, USER:file:FILE";
                        return Err(wrong(forms.into()));
                    }
                };
                Self::GuestProgram(GuestProgram::SubscriptionCredentials {
                    user: user.into(),
                    password,
                })
            }
            "sm-register" => Self::GuestProgram(GuestProgram::SubscriptionRegister),
            "sm-remove" => Self::GuestProgram(GuestProgram::SubscriptionRemove),
            "sm-unregister" => Self::GuestProgram(GuestProgram::SubscriptionUnregister),
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
            "tar-in" => {
                let (from, dir) = pair("TARFILE:REMOTEDIR")?;
                Self::TarIn {
                    local: local(from)?,
                    dir: path(dir)?,
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
            "uninstall" => Self::GuestProgram(GuestProgram::Uninstall(
                packages(words(argument)?).map_err(wrong)?,
            )),
            "update" => Self::GuestProgram(GuestProgram::Update),
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
}

/// Names of packages between commas. They become words of a shell script.
fn packages(argument: &str) -> std::result::Result<Vec<String>, String> {
    let packages: Vec<String> = argument
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
        Some(bad) => Err(format!("{bad:?} is no name of a package")),
        None if packages.is_empty() => Err("no package is named".into()),
        None => Ok(packages),
    }
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
