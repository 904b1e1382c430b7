//! The passphrases of encrypted images: an option of every verb that opens images.

use crate::failure::{Failure, Outcome};
use crate::outside::Host;
use clap::Args;
use disksmith_image::{CreateOptions, Format, Keys};
use disksmith_luks::{NewVolume, Passphrase};
use disksmith_qcow2::NewEncryption;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};

/// Where the passphrase of the images comes from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeyArgs {
    /// Passphrase of encrypted images: file:FILE (every byte of it counts), env:VARIABLE, or ask
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    key: Option<KeySource>,
}

/// A place that holds a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    File(String),
    Variable(String),
    Ask,
}

/// Reads the name of a place.
pub(crate) fn source(text: &str) -> Result<KeySource, String> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(KeySource::File(path.into())),
        Some(("env", name)) if !name.is_empty() => Ok(KeySource::Variable(name.into())),
        None if text == "ask" => Ok(KeySource::Ask),
        _ => Err("say file:FILE, env:VARIABLE or ask".into()),
    }
}

impl KeyArgs {
    /// The passphrases for the images that are opened.
    pub(crate) fn keys(&self) -> Outcome<Keys> {
        Ok(match &self.key {
            Some(source) => Keys::for_all(source.read("Passphrase: ")?),
            None => Keys::none(),
        })
    }
}

impl KeySource {
    /// The passphrase.
    pub(crate) fn read(&self, prompt: &str) -> Outcome<Passphrase> {
        let fail = |what: String| Failure::usage(format!("cannot get the passphrase: {what}"));
        let bytes = match self {
            Self::File(path) => std::fs::read(path).map_err(|error| fail(format!("{path}: {error}")))?,
            Self::Variable(name) => {
                use std::os::unix::ffi::OsStringExt;
                std::env::var_os(name)
                    .ok_or_else(|| fail(format!("the variable {name} is not set")))?
                    .into_vec()
            }
            Self::Ask => ask(prompt).map_err(|error| fail(format!("the terminal: {error}")))?,
        };
        Ok(Passphrase::new(bytes))
    }
}

/// Asks at the terminal, without showing what is typed.
fn ask(prompt: &str) -> std::io::Result<Vec<u8>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(prompt.as_bytes())?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let mut line = Vec::new();
    let read = BufReader::new(&terminal).read_until(b'\n', &mut line);
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    terminal.write_all(b"\n")?;
    read?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

/// Has a new image encrypted with LUKS, if a place for its passphrase is named.
pub(crate) fn encrypt(create: &mut CreateOptions, format: Format, source: Option<&KeySource>) -> Outcome<()> {
    let Some(source) = source else {
        return match format {
            Format::Luks => Err(Failure::usage("a LUKS image needs a passphrase")
                .or_hint("say where it is, with --new-key file:FILE, env:VARIABLE or ask")),
            _ => Ok(()),
        };
    };
    let make = |passphrase: &Passphrase| {
        NewVolume::default()
            .make(passphrase, &mut Host)
            .map_err(|error| Failure::usage(error.to_string()))
    };
    match format {
        Format::Raw => {
            Err(Failure::usage("a raw image cannot be encrypted").or_hint("make it with the format luks"))
        }
        Format::Luks => {
            create.luks = Some(make(&source.read("New passphrase: ")?)?);
            Ok(())
        }
        Format::Qcow2 => {
            create.qcow2.encryption = Some(NewEncryption::Luks(make(&source.read("New passphrase: ")?)?));
            Ok(())
        }
    }
}
