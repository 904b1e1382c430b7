//! `mcopy` and `mtype`: copies files between host and drives, and prints them.

use super::arguments::Given;
use super::clash::Clash;
use super::copy_in;
use super::copy_out;
use super::path::{DosPath, Found, expand, is_pattern, lookup};
use super::session::{Session, Volume};
use super::{Done, Stop};
use disksmith_fat::CodePage;
use std::path::{Path, PathBuf};

/// How files are copied.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) recursive: bool,
    pub(super) keep_time: bool,
    pub(super) keep_attributes: bool,
    pub(super) overwrite_host: bool,
    pub(super) verbose: bool,
    pub(super) quit: bool,
    pub(super) text: Text,
}

/// What becomes of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Binary,
    Lines,
    LinesAndCharacters,
}

impl Options {
    fn new(given: &Given) -> Self {
        Self {
            recursive: given.has(b's') || given.has(b'/'),
            keep_time: given.has(b'm'),
            keep_attributes: given.has(b'p'),
            overwrite_host: given.has(b'n'),
            verbose: given.has(b'v'),
            quit: given.has(b'Q'),
            text: if given.has(b'T') {
                Text::LinesAndCharacters
            } else if given.has(b't') || given.has(b'a') {
                Text::Lines
            } else {
                Text::Binary
            },
        }
    }
}

impl Text {
    /// Text of DOS as Unix has it.
    pub(super) fn to_unix(self, bytes: &mut Vec<u8>) {
        if self == Self::Binary {
            return;
        }
        // A control-Z ends it.
        if let Some(end) = bytes.iter().position(|byte| *byte == 0x1a) {
            bytes.truncate(end);
        }
        bytes.retain(|byte| *byte != b'\r');
        if self == Self::LinesAndCharacters {
            for byte in bytes.iter_mut().filter(|byte| **byte >= 0x80) {
                let character = CodePage::CP850.decode(*byte);
                *byte = u8::try_from(character).unwrap_or(b'#');
            }
        }
    }

    /// What is behind the last byte of a text of DOS.
    pub(super) fn end(self) -> &'static [u8] {
        match self {
            Self::Binary => b"",
            _ => b"\x1a",
        }
    }

    /// Text of Unix as DOS has it.
    pub(super) fn to_dos(self, bytes: &mut Vec<u8>) {
        if self == Self::Binary {
            return;
        }
        let mut converted = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for byte in bytes.iter() {
            match byte {
                b'\n' => converted.extend_from_slice(b"\r\n"),
                0x80.. if self == Self::LinesAndCharacters => {
                    converted.push(CodePage::CP850.encode(char::from(*byte)).unwrap_or(b'.'));
                }
                byte => converted.push(*byte),
            }
        }
        *bytes = converted;
    }
}

/// Where copies go.
#[derive(Debug)]
pub(super) enum Target {
    Stdout,
    /// A directory of the host, and what the copy is called unless it keeps its name.
    Host(PathBuf, Option<String>),
    /// A directory of a drive, likewise.
    Drive(Box<(Volume, Found)>, Option<String>),
}

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let names = given.names();
    let (target, sources): (&str, &[String]) = match names.as_slice() {
        [] => return Err(Stop::Usage(None)),
        [only] => (".", std::slice::from_ref(only)),
        [sources @ .., target] => (target, sources),
    };
    let implied = names.len() == 1;
    let target = find_target(session, target, sources.len())?;
    let options = Options::new(given);
    let mut clash = Clash::new(given);
    let mut all = true;
    for source in sources {
        let done = match DosPath::parse(source) {
            Some(path) => from_drive(session, &path, &target, &options, &mut clash)?,
            None => from_host(session, source, &target, &options, (&mut clash, implied))?,
        };
        match done {
            Some(done) => all &= done,
            None => return Ok(false),
        }
        if !all && options.quit {
            break;
        }
    }
    Ok(all)
}

/// `mtype`: everything to standard output.
pub(super) fn run_type(session: &mut Session, given: &Given) -> Done {
    if given.operands.is_empty() {
        return Err(Stop::Usage(None));
    }
    let options = Options::new(given);
    let mut all = true;
    for name in given.names() {
        let path = DosPath::on_drive(&name);
        let not_found = path.not_found(session);
        let volume = session.volume(path.drive)?;
        let found = expand(volume, &path.parts)?;
        if found.is_empty() {
            eprintln!("{not_found}");
            all = false;
        }
        for found in found {
            let files = match found.is_dir() {
                true => found.children(volume)?,
                false => vec![found],
            };
            for file in files.iter().filter(|file| !file.is_dir()) {
                copy_out::to_stdout(volume, file, &options)?;
            }
        }
    }
    Ok(all)
}

fn find_target(session: &mut Session, name: &str, sources: usize) -> Result<Target, Stop> {
    let several = || {
        Stop::failed(format!(
            "Several file names given, but last argument ({name}) not a directory"
        ))
    };
    let Some(path) = DosPath::parse(name) else {
        if name == "-" {
            return Ok(Target::Stdout);
        }
        let host = Path::new(name);
        if host.is_dir() {
            return Ok(Target::Host(host.to_owned(), None));
        }
        if sources > 1 {
            return Err(several());
        }
        let last = host.file_name().map(|last| last.to_string_lossy().into_owned());
        let parent = host.parent().filter(|parent| !parent.as_os_str().is_empty());
        return Ok(Target::Host(parent.unwrap_or(Path::new(".")).to_owned(), last));
    };
    let not_found = Stop::failed(format!("{}: {}: no match for target", session.name, path.text));
    let volume = session.volume(path.drive)?.clone();
    if let Some(dir) = lookup(&volume, &path.parts)?.filter(Found::is_dir) {
        return Ok(Target::Drive(Box::new((volume, dir)), None));
    }
    if sources > 1 {
        return Err(several());
    }
    let Some((last, parents)) = path.parts.split_last().filter(|_| !path.slash) else {
        return Err(not_found);
    };
    match lookup(&volume, parents)?.filter(Found::is_dir) {
        Some(dir) => Ok(Target::Drive(Box::new((volume, dir)), Some(last.clone()))),
        None => Err(not_found),
    }
}

/// Copies what a name on a drive describes. `None` where the user wants no more.
fn from_drive(
    session: &mut Session,
    path: &DosPath,
    target: &Target,
    options: &Options,
    clash: &mut Clash,
) -> Result<Option<bool>, Stop> {
    let not_found = path.not_found(session);
    let (now, volume) = (session.now, session.volume(path.drive)?.clone());
    // A drive alone means everything in its root directory.
    let found = match path.parts.is_empty() {
        true => Found::root(&volume).children(&volume)?,
        false => expand(&volume, &path.parts)?,
    };
    if found.is_empty() && !path.parts.is_empty() {
        eprintln!("{not_found}");
        return Ok(Some(false));
    }
    // Without -s a directory that was named gives its files, one that a pattern describes nothing.
    let named = path.parts.last().is_some_and(|last| !is_pattern(last));
    let mut all = true;
    for found in found {
        let done = match target {
            _ if found.is_dir() && !named && !options.recursive => Some(true),
            Target::Stdout if found.is_dir() => Some(true),
            Target::Stdout => {
                copy_out::to_stdout(&volume, &found, options)?;
                Some(true)
            }
            Target::Host(dir, name) => {
                let name = match name {
                    Some(name) => name.clone(),
                    None => String::from_utf8_lossy(found.name()).into_owned(),
                };
                copy_out::to_host(&volume, &found, &dir.join(name), options, clash)?
            }
            Target::Drive(into, name) => {
                let (target_volume, dir) = &**into;
                let mut copy = copy_in::Copy {
                    volume: target_volume,
                    options,
                    clash,
                    now,
                    buffer: Vec::new(),
                };
                let name = match name {
                    Some(name) => name.clone(),
                    None => String::from_utf8_lossy(found.name()).into_owned(),
                };
                copy.drive(&volume, &found, dir, &name)?
            }
        };
        match done {
            Some(done) => all &= done,
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// Copies a file or directory of the host. `None` where the user wants no more.
fn from_host(
    session: &Session,
    source: &str,
    target: &Target,
    options: &Options,
    (clash, implied): (&mut Clash, bool),
) -> Result<Option<bool>, Stop> {
    let path = Path::new(source);
    let last = path.file_name().map(|last| last.to_string_lossy().into_owned());
    match target {
        Target::Drive(into, name) => {
            let (volume, dir) = &**into;
            let mut copy = copy_in::Copy {
                volume,
                options,
                clash,
                now: session.now,
                buffer: Vec::new(),
            };
            let name = name.clone().or(last).unwrap_or_else(|| "_".into());
            match source {
                "-" => copy.stdin(dir, &name),
                _ => copy.host(path, dir, &name),
            }
        }
        Target::Host(dir, name) => {
            let target = dir.join(name.clone().or(last).unwrap_or_default());
            if target.exists() && implied {
                eprintln!(
                    "File \"{}\" exists. To overwrite, try again, and explicitly specify target directory",
                    target.display()
                );
                return Ok(Some(false));
            }
            if target.exists() && !options.overwrite_host {
                return Ok(Some(false));
            }
            std::fs::copy(path, &target)
                .map_err(|error| Stop::failed(format!("{source}: {}", super::session::reason(&error))))?;
            Ok(Some(true))
        }
        Target::Stdout => {
            let mut bytes = std::fs::read(path)
                .map_err(|error| Stop::failed(format!("{source}: {}", super::session::reason(&error))))?;
            options.text.to_unix(&mut bytes);
            super::print_bytes(&bytes);
            Ok(Some(true))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_converted() {
        let mut bytes = b"a\r\nb\x84\x1anever".to_vec();
        Text::LinesAndCharacters.to_unix(&mut bytes);
        assert_eq!(bytes, b"a\nb\xe4");
        Text::LinesAndCharacters.to_dos(&mut bytes);
        assert_eq!(bytes, b"a\r\nb\x84");
        Text::Binary.to_unix(&mut bytes);
        assert_eq!(bytes, b"a\r\nb\x84");
    }
}
