//! Where a password or a key comes from.

use std::fmt;
use std::path::PathBuf;

/// What becomes of a user's password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordSelector {
    /// Whether the password is locked besides.
    pub locked: bool,
    /// The password.
    pub source: PasswordSource,
}

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// It stands in the argument.
    Literal(String),
    /// It is the first line of a file of the host.
    File(PathBuf),
    /// It is made up, and reported.
    Random,
    /// Nobody can log in with a password.
    Disabled,
}

impl PasswordSelector {
    /// Parses `password:PASSWORD`, `file:FILE`, `random`, `disabled`, `locked`, `locked:…`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "locked" {
            return Ok(Self {
                locked: true,
                source: PasswordSource::Disabled,
            });
        }
        let (locked, rest) = match text.strip_prefix("locked:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let source = match rest.split_once(':') {
            Some(("password", password)) => PasswordSource::Literal(password.into()),
            Some(("file", file)) if !file.is_empty() => PasswordSource::File(file.into()),
            _ if rest == "random" => PasswordSource::Random,
            _ if rest == "disabled" => PasswordSource::Disabled,
            _ => {
                return Err(
                    "the selector is none of password:PASSWORD, file:FILE, random, disabled, locked, locked:SELECTOR"
                        .into(),
                );
            }
        };
        if let PasswordSource::Literal(password) = &source {
            if password.is_empty() {
                return Err("the password is empty; `disabled` and `locked` do without one".into());
            }
            check_password(password)?;
        }
        Ok(Self { locked, source })
    }
}

/// A password that could not be typed at a login prompt.
pub(crate) fn check_password(password: &str) -> Result<(), String> {
    if password.contains(['\0', '\n']) {
        return Err("a password cannot hold a newline or NUL".into());
    }
    if password.len() > 511 {
        return Err("a password cannot be longer than 511 bytes".into());
    }
    Ok(())
}

impl fmt::Display for PasswordSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.locked) {
            (PasswordSource::Disabled, true) => return f.write_str("locked"),
            (_, true) => f.write_str("locked:")?,
            (_, false) => {}
        }
        match &self.source {
            PasswordSource::Literal(_) => f.write_str("password:(hidden)"),
            PasswordSource::File(file) => write!(f, "file:{}", file.display()),
            PasswordSource::Random => f.write_str("random"),
            PasswordSource::Disabled => f.write_str("disabled"),
        }
    }
}

impl fmt::Debug for PasswordSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordSelector({self})")
    }
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selector = PasswordSelector {
            locked: false,
            source: self.clone(),
        };
        write!(f, "PasswordSource({selector})")
    }
}

/// Where a public key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshKeySelector {
    /// The newest `~/.ssh/id*.pub` of the host.
    Newest,
    /// A file of the host.
    File(PathBuf),
    /// The argument itself.
    Literal(String),
}

impl SshKeySelector {
    /// Parses `file:FILE` and `string:KEY`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", file)) if !file.is_empty() => Ok(Self::File(file.into())),
            Some(("string", key)) if !key.is_empty() => Ok(Self::Literal(key.into())),
            _ => Err("the selector is none of file:FILE, string:KEY".into()),
        }
    }
}

impl fmt::Display for SshKeySelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => Ok(()),
            Self::File(file) => write!(f, "file:{}", file.display()),
            Self::Literal(key) => write!(f, "string:{key}"),
        }
    }
}
