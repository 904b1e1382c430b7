//! What becomes of a file whose name is taken: asked for by options, or of the user at the terminal.

use super::Stop;
use super::arguments::Given;
use super::path::Found;
use super::session::Volume;
use disksmith_fat::EntryDetails;
use disksmith_vfs::{Error, FileSystem};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

/// Numbers that are tried behind a name.
const MAX_NUMBER: u32 = 999_999;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Ask,
    Overwrite,
    Rename,
    Autorename,
    Skip,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name is free, or another one was chosen: write a new file.
    New(String),
    /// Write over the file that is there.
    Overwrite(Box<EntryDetails>),
    /// Leave it.
    Skip,
    /// Leave it and everything after it.
    Quit,
}

/// How clashes of names are dealt with.
#[derive(Debug)]
pub(super) struct Clash {
    action: Action,
    terminal: Option<Option<(File, BufReader<File>)>>,
}

impl Clash {
    /// As the options say: `-o`, and `-D` with a letter.
    pub(super) fn new(given: &Given) -> Self {
        let mut action = Action::Ask;
        for (letter, value) in given.options() {
            let chosen = match letter {
                b'o' => "o",
                b'D' => value.to_str().unwrap_or_default(),
                _ => continue,
            };
            action = match chosen {
                "o" => Action::Overwrite,
                "r" => Action::Rename,
                "a" => Action::Autorename,
                "s" => Action::Skip,
                "m" => Action::Ask,
                _ => action,
            };
        }
        Self {
            action,
            terminal: None,
        }
    }

    /// A name that is free in a directory; `None` where it shall not be made.
    pub(super) fn free_name(
        &mut self,
        volume: &Volume,
        dir: &Found,
        name: &str,
    ) -> Result<Option<String>, Stop> {
        match self.resolve(volume, dir, name, false)? {
            Answer::New(name) => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// What to do about a name in a directory.
    pub(super) fn resolve(
        &mut self,
        volume: &Volume,
        dir: &Found,
        name: &str,
        may_overwrite: bool,
    ) -> Result<Answer, Stop> {
        let given = name;
        let mut name = valid_name(given);
        // Such a name needs another one, which only the user can give, or an option.
        if self.action != Action::Autorename && !can_be_stored(given) {
            return Ok(Answer::Skip);
        }
        loop {
            let taken = match volume.fat.entry_details(dir.inode, name.as_bytes()) {
                Ok(entry) => entry,
                Err(Error::NotFound { .. }) => return Ok(Answer::New(name)),
                Err(error) => return Err(Stop::failed(error)),
            };
            let may_overwrite = may_overwrite && !taken.is_dir();
            let mut action = self.action;
            if action == Action::Ask {
                action = match self.ask(&taken, may_overwrite) {
                    Some(action) => action,
                    None => return Ok(Answer::Quit),
                };
            }
            match action {
                Action::Overwrite if may_overwrite => return Ok(Answer::Overwrite(Box::new(taken))),
                Action::Overwrite | Action::Skip | Action::Ask => return Ok(Answer::Skip),
                Action::Autorename => return Ok(Answer::New(numbered(volume, dir, &name)?)),
                Action::Rename => match self.line(&format!("New primary name for \"{name}\": ")) {
                    Some(line) if !line.is_empty() => name = valid_name(&line),
                    _ => return Ok(Answer::Skip),
                },
            }
        }
    }

    /// Asks at the terminal; without one the file is skipped. `None` is the end of it all.
    fn ask(&mut self, taken: &EntryDetails, may_overwrite: bool) -> Option<Action> {
        let kind = if taken.has_long_name { "Long" } else { "Short" };
        let name = String::from_utf8_lossy(&taken.name).into_owned();
        let mut question = format!(
            "{kind} file name \"{name}\" already exists.\na)utorename A)utorename-all r)ename R)ename-all "
        );
        if may_overwrite {
            question.push_str("o)verwrite O)verwrite-all");
        }
        question.push_str("\ns)kip S)kip-all q)uit (aArR");
        if may_overwrite {
            question.push_str("oO");
        }
        question.push_str("sSq): ");
        loop {
            let Some(line) = self.line(&question) else {
                return Some(Action::Skip);
            };
            let (action, always) = match line.bytes().next() {
                Some(b'a') => (Action::Autorename, false),
                Some(b'A') => (Action::Autorename, true),
                Some(b'r') => (Action::Rename, false),
                Some(b'R') => (Action::Rename, true),
                Some(b'o') if may_overwrite => (Action::Overwrite, false),
                Some(b'O') if may_overwrite => (Action::Overwrite, true),
                Some(b's') => (Action::Skip, false),
                Some(b'S') => (Action::Skip, true),
                Some(b'q') => return None,
                _ => continue,
            };
            if always {
                self.action = action;
            }
            return Some(action);
        }
    }

    /// A line that the user types; `None` without a terminal.
    fn line(&mut self, question: &str) -> Option<String> {
        let terminal = self.terminal.get_or_insert_with(|| {
            let mut options = OpenOptions::new();
            let writer = options.read(true).write(true).open("/dev/tty").ok()?;
            let reader = BufReader::new(writer.try_clone().ok()?);
            Some((writer, reader))
        });
        let (writer, reader) = terminal.as_mut()?;
        writer.write_all(question.as_bytes()).ok()?;
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end_matches('\n').to_owned()),
            _ => None,
        }
    }

    /// Asks whether a file of the host shall be overwritten. Without a terminal it is.
    pub(super) fn confirm(&mut self, question: &str) -> bool {
        loop {
            match self
                .line(question)
                .as_deref()
                .and_then(|line| line.bytes().next())
            {
                Some(b'y' | b'Y') => return true,
                Some(b'n' | b'N') => return false,
                None if self.terminal.as_ref().is_some_and(Option::is_some) => return false,
                None => return true,
                Some(_) => {}
            }
        }
    }
}

/// Whether a name can be stored as it is, and is not that of a device of DOS.
fn can_be_stored(name: &str) -> bool {
    let device = ["con", "aux", "nul", "prn", "lpt1"]
        .iter()
        .any(|device| name.eq_ignore_ascii_case(device));
    !device && !name.contains(|c: char| c < ' ' || "\"*<>?:|\\/".contains(c))
}

/// A name with `_` for what not even a long name can have.
pub(super) fn valid_name(name: &str) -> String {
    let mut text: String = name
        .chars()
        .map(|c| match c {
            '"' | '*' | '<' | '>' | '?' | ':' | '|' | '\\' | '/' => '_',
            c if c < ' ' => '_',
            c => c,
        })
        .collect();
    if text != name {
        // As mtools marks a name that it had to change.
        text.push_str("-1");
    }
    let end = text.trim_end_matches(['.', ' ']).len();
    if end > 0 {
        text.truncate(end);
    }
    text
}

/// The name with the first number behind it that makes it free.
fn numbered(volume: &Volume, dir: &Found, name: &str) -> Result<String, Stop> {
    let (base, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    for number in 1..=MAX_NUMBER {
        let candidate = format!("{base}-{number}{extension}");
        match volume.fat.lookup(dir.inode, candidate.as_bytes()) {
            Err(Error::NotFound { .. }) => return Ok(candidate),
            Err(error) => return Err(Stop::failed(error)),
            Ok(_) => {}
        }
    }
    Err(Stop::failed(format!("{name}: No directory slots")))
}
