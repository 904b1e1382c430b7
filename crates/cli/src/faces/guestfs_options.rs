//! What the command lines of the libguestfs tools have in common: disks and their formats, mounts, keys, and the texts of
//! errors and of `--version`, `--long-options`, `--short-options`, `--machine-readable`.
//!
//! A tool is a [`Tool`]; [`Tool::read`] gives an [`Invocation`], which opens the guest. Errors are one line on standard error, in
//! the tool's words where a script could look for them; the exit status is 1.

use super::getopt::{Arguments, Misused, Spec, flag, optional, short_flag, short_value, value};
use crate::clock;
use crate::failure::{Failure, Outcome};
use disksmith_guest::{Guest, GuestOptions, MountSpec, RootChoice};
use disksmith_image::{DiskSpec, Format, Gate, Keys, Output, TransactionOptions};
use disksmith_luks::Passphrase;
use disksmith_storage::StorageRef;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitCode;

/// The version of guestfs-tools whose behaviour the faces have.
pub(super) const VERSION: &str = "1.48.2";

/// `-a FILE`: a disk.
pub(super) const ADD: Spec = value("add", b'a');
/// `-A FILE`: a disk of the second guest, for tools that compare two.
pub(super) const ADD_SECOND: Spec = short_value("second", b'A');
/// `-D GUEST`: a second guest of libvirt.
pub(super) const DOMAIN_SECOND: Spec = short_value("second-domain", b'D');
/// `--blocksize[=N]`: the sector size of the disks that follow.
pub(super) const BLOCKSIZE: Spec = optional("blocksize");
/// `-c URI`: which libvirt.
pub(super) const CONNECT: Spec = value("connect", b'c');
/// `-d GUEST`: a guest of libvirt.
pub(super) const DOMAIN: Spec = value("domain", b'd');
/// `--echo-keys`: passphrases are shown as they are typed.
pub(super) const ECHO_KEYS: Spec = flag("echo-keys", 0);
/// `--format[=FORMAT]`: the format of the disks that follow.
pub(super) const FORMAT: Spec = optional("format");
/// `--format FORMAT`, as virt-get-kernel takes it: a word of its own.
pub(super) const FORMAT_WORD: Spec = value("format", 0);
/// `--blocksize N`, likewise.
pub(super) const BLOCKSIZE_WORD: Spec = value("blocksize", 0);
/// `--help`.
pub(super) const HELP: Spec = flag("help", 0);
/// `--key SELECTOR`: a passphrase.
pub(super) const KEY: Spec = value("key", 0);
/// `--keys-from-stdin`: passphrases, a line each.
pub(super) const KEYS_FROM_STDIN: Spec = flag("keys-from-stdin", 0);
/// `-m DEVICE[:PATH[:OPTIONS[:TYPE]]]`: a mount by hand.
pub(super) const MOUNT: Spec = value("mount", b'm');
/// `-q`: no progress on standard output.
pub(super) const QUIET: Spec = flag("quiet", b'q');
/// `-v`: more on standard error.
pub(super) const VERBOSE: Spec = flag("verbose", b'v');
/// `-V`.
pub(super) const DISPLAY_VERSION: Spec = flag("version", b'V');
/// `-x`: trace of calls, on standard error.
pub(super) const TRACE: Spec = short_flag("trace", b'x');
/// `--machine-readable[=FORMAT]`: what the tool can do.
pub(super) const MACHINE_READABLE: Spec = optional("machine-readable");

/// What `--help` says of the options that tools share.
const SHARED_HELP: &[(&str, &str)] = &[
    ("add", "  -a|--add FILE        A disk image of the guest"),
    (
        "blocksize",
        "  --blocksize[=512|4096]  Sector size of the disks that follow",
    ),
    ("connect", "  -c|--connect URI     Accepted; libvirt is not asked"),
    (
        "domain",
        "  -d|--domain GUEST    Refused: name the disk images with -a",
    ),
    (
        "echo-keys",
        "  --echo-keys          Show passphrases as they are typed",
    ),
    (
        "format",
        "  --format[=raw|qcow2|luks]  Format of the disks that follow",
    ),
    ("help", "  --help               Show this help"),
    (
        "key",
        "  --key SELECTOR       A passphrase: ID:key:TEXT or ID:file:FILE",
    ),
    (
        "keys-from-stdin",
        "  --keys-from-stdin    Read passphrases from standard input",
    ),
    (
        "mount",
        "  -m|--mount DEV[:PATH[:OPTIONS[:TYPE]]]  Mount this by hand instead of looking for a system",
    ),
    ("quiet", "  -q|--quiet           No progress messages"),
    ("verbose", "  -v|--verbose         Say more on standard error"),
    ("version", "  -V|--version         Show the version"),
];

/// Options that every tool has and does not list.
const HIDDEN: &[Spec] = &[flag("long-options", 0), flag("short-options", 0)];

/// A libguestfs tool.
#[derive(Debug)]
pub(super) struct Tool {
    /// Its name: `virt-ls`.
    pub(super) name: &'static str,
    /// What `-V` says behind the name.
    pub(super) version: &'static str,
    /// The text of `--help`, up to the options that all tools share.
    pub(super) help: &'static str,
    /// Its options, in the order of `--long-options`.
    pub(super) specs: &'static [Spec],
    /// The letters of its options without values or with, in the order of `--short-options`.
    pub(super) shorts: &'static str,
    /// What `--machine-readable` prints, for the tools that have it.
    pub(super) capabilities: &'static str,
    /// The words after `Try ‘… --help’ `.
    pub(super) more_help: &'static str,
    /// Whether it is one of those written in OCaml: long options may have one dash, and its errors say `error:` and end with
    /// how to look closer.
    pub(super) ocaml: bool,
    /// Whether it takes one disk only, so that it does not matter where the options for it stand.
    pub(super) one_disk: bool,
}

impl Tool {
    /// A tool without `--machine-readable`.
    pub(super) const fn new(
        name: &'static str,
        help: &'static str,
        specs: &'static [Spec],
        shorts: &'static str,
    ) -> Self {
        Self {
            name,
            version: VERSION,
            help,
            specs,
            shorts,
            capabilities: "",
            more_help: "for more information.",
            ocaml: false,
            one_disk: false,
        }
    }

    /// The tool as one of those written in OCaml.
    pub(super) const fn ocaml(mut self, more_help: &'static str) -> Self {
        self.ocaml = true;
        self.more_help = more_help;
        self
    }

    /// Reads a command line. What is answered at once (`--help`), and what is wrong, gives the exit status.
    pub(super) fn read(&'static self, words: &[OsString]) -> Result<Invocation, ExitCode> {
        let specs = [self.specs, HIDDEN].concat();
        let parse = if self.ocaml {
            Arguments::parse_long_only
        } else {
            Arguments::parse
        };
        let arguments = parse(self.name, &specs, words).map_err(|misused| self.misused(&misused))?;
        if arguments.has("help") {
            return Err(self.answer(&self.help_text()));
        }
        if arguments.has("version") {
            return Err(self.answer(&format!("{} {}\n", self.name, self.version)));
        }
        if arguments.has("long-options") {
            let names = self.specs.iter().map(Spec::long).filter(|name| !name.is_empty());
            return Err(self.answer(&names.map(|name| format!("--{name}\n")).collect::<String>()));
        }
        if arguments.has("short-options") {
            let letters = self.shorts.chars();
            return Err(self.answer(&letters.map(|letter| format!("-{letter}\n")).collect::<String>()));
        }
        self.invocation(arguments).map_err(|message| self.fail(&message))
    }

    fn invocation(&'static self, arguments: Arguments) -> Result<Invocation, String> {
        let mut read = Invocation {
            tool: self,
            drives: Vec::new(),
            second_drives: Vec::new(),
            domains: Vec::new(),
            mounts: Vec::new(),
            keys: Vec::new(),
            keys_from_stdin: false,
            verbose: false,
            arguments: Arguments::default(),
        };
        let mut format = None;
        let mut block_size = None;
        let (mut format_used, mut block_size_used) = (true, true);
        for (key, value) in arguments.options() {
            match *key {
                "add" => {
                    (format_used, block_size_used) = (true, true);
                    read.drives.push(Drive {
                        block_size,
                        ..Drive::named(value, format)?
                    });
                }
                "second" => {
                    (format_used, block_size_used) = (true, true);
                    read.second_drives.push(Drive {
                        block_size,
                        ..Drive::named(value, format)?
                    });
                }
                "format" => {
                    format = format_named(value)?;
                    format_used = false;
                }
                "blocksize" => {
                    block_size = block_size_named(value)?;
                    block_size_used = false;
                }
                "domain" => read.domains.push(value.clone()),
                "mount" => {
                    let text = value.to_string_lossy();
                    read.mounts
                        .push(MountSpec::parse(&text).map_err(|e| e.to_string())?);
                }
                "key" => read.keys.push(KeySelector::parse(value)?),
                "keys-from-stdin" => read.keys_from_stdin = true,
                "verbose" => read.verbose = true,
                _ => {}
            }
        }
        if self.one_disk {
            // the options may stand behind the disk
            for drive in &mut read.drives {
                drive.format = drive.format.or(format);
                drive.block_size = drive.block_size.or(block_size);
            }
        } else if !read.drives.is_empty() || arguments.operands.is_empty() {
            for (used, option) in [(format_used, "format"), (block_size_used, "blocksize")] {
                if !used && !read.drives.is_empty() {
                    return Err(format!("--{option} parameter must appear before -a parameter"));
                }
            }
        }
        read.arguments = arguments;
        Ok(read)
    }

    fn help_text(&self) -> String {
        let mut text = self.help.to_owned();
        for spec in self.specs {
            if let Some((_, line)) = SHARED_HELP.iter().find(|(long, _)| *long == spec.long()) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text.push_str("For more information, see the manpage ");
        text.push_str(self.name);
        text.push_str("(1).\n");
        text
    }

    fn answer(&self, text: &str) -> ExitCode {
        match crate::output::print(text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => self.fail_with(&failure),
        }
    }

    fn misused(&self, misused: &Misused) -> ExitCode {
        eprintln!("{}: {}", self.name, misused.message);
        self.wrong_use()
    }

    /// Points to `--help`, for arguments that make no sense.
    pub(super) fn wrong_use(&self) -> ExitCode {
        eprintln!("Try ‘{} --help’ {}", self.name, self.more_help);
        ExitCode::FAILURE
    }

    /// Prints what is wrong.
    pub(super) fn fail(&self, message: &str) -> ExitCode {
        let name = self.name;
        if self.ocaml {
            eprintln!("{name}: error: {message}\n");
            eprintln!(
                "If reporting bugs, run {name} with debugging enabled and include the complete output:\n"
            );
            eprintln!("  {name} -v -x [...]");
        } else {
            eprintln!("{name}: {message}");
        }
        ExitCode::FAILURE
    }

    /// Prints a failure, with what can be done about it.
    pub(super) fn fail_with(&self, failure: &Failure) -> ExitCode {
        self.fail(failure.message());
        if let Some(hint) = failure.hint() {
            eprintln!("hint: {hint}");
        }
        ExitCode::FAILURE
    }

    /// Prints what `--machine-readable` asks for.
    pub(super) fn show_capabilities(&self) -> ExitCode {
        self.answer(&format!("{}\n{}", self.name, self.capabilities))
    }
}

/// A disk that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drive {
    /// The file.
    pub(super) path: PathBuf,
    /// Its format; `None` is detected.
    pub(super) format: Option<Format>,
    /// Its sector size in bytes, where one was given.
    pub(super) block_size: Option<u32>,
}

impl Drive {
    /// The disk of an argument: a file, or a `file:` URI.
    fn named(argument: &OsStr, format: Option<Format>) -> Result<Self, String> {
        let bytes = argument.as_bytes();
        let path = match scheme(bytes) {
            None => PathBuf::from(argument),
            Some((b"file", rest)) => file_of_uri(rest)
                .ok_or_else(|| format!("{}: URI must name a file of this host", argument.display()))?,
            Some(_) => {
                return Err(format!(
                    "{}: remote disks are not supported: copy the image to this host, or mount its storage",
                    argument.display()
                ));
            }
        };
        if let Err(errno) = rustix::fs::access(&path, rustix::fs::Access::READ_OK) {
            return Err(format!("access: {}: {}", path.display(), errno_text(errno)));
        }
        Ok(Self {
            path,
            format,
            block_size: None,
        })
    }
}

/// The scheme of a URI, and what stands behind `scheme://`.
fn scheme(argument: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = argument.windows(3).position(|w| w == b"://")?;
    let (scheme, rest) = argument.split_at(end);
    let letters = scheme.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'+');
    (letters && !scheme.is_empty()).then(|| (scheme, rest.get(3..).unwrap_or_default()))
}

/// The path in what follows `file://`, with `%41` decoded.
fn file_of_uri(rest: &[u8]) -> Option<PathBuf> {
    let path = rest.strip_prefix(b"localhost").unwrap_or(rest);
    if path.first() != Some(&b'/') {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let hex = path.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let code = hex
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    Some(PathBuf::from(OsString::from_vec(out)))
}

fn format_named(value: &OsStr) -> Result<Option<Format>, String> {
    if value.is_empty() || value == "auto" {
        return Ok(None);
    }
    match Format::from_name(value.as_bytes()) {
        Some(format) => Ok(Some(format)),
        None => Err(format!(
            "--format={}: disksmith reads raw, qcow2 and luks",
            value.display()
        )),
    }
}

fn block_size_named(value: &OsStr) -> Result<Option<u32>, String> {
    match value.as_bytes() {
        b"" => Ok(None),
        b"512" => Ok(Some(512)),
        b"4096" => Ok(Some(4096)),
        _ => Err(format!(
            "--blocksize parameter is not 512 or 4096: {}",
            value.display()
        )),
    }
}

/// A passphrase and what it opens: the argument of `--key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySelector {
    /// A device, the UUID of an encrypted volume, or `all`.
    pub(super) id: String,
    source: KeySource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeySource {
    Text(Vec<u8>),
    File(PathBuf),
}

impl KeySelector {
    /// Reads `ID:key:TEXT` or `ID:file:NAME`.
    fn parse(argument: &OsStr) -> Result<Self, String> {
        let invalid = || format!("invalid selector for --key: {}", argument.display());
        let mut fields = argument.as_bytes().splitn(3, |b| *b == b':');
        let id = fields.next().filter(|id| !id.is_empty()).ok_or_else(invalid)?;
        let kind = fields.next().ok_or_else(invalid)?;
        let value = fields.next();
        let source = match (kind, value) {
            (b"key", Some(text)) => KeySource::Text(text.to_vec()),
            (b"file", Some(name)) => KeySource::File(PathBuf::from(OsStr::from_bytes(name))),
            (b"clevis", None) => {
                return Err("--key …:clevis asks a network service, which disksmith does not do".into());
            }
            _ => return Err(invalid()),
        };
        Ok(Self {
            id: String::from_utf8_lossy(id).into_owned(),
            source,
        })
    }

    /// The passphrase: of a file all but the end of its line.
    pub(super) fn passphrase(&self) -> Outcome<Passphrase> {
        Ok(Passphrase::new(match &self.source {
            KeySource::Text(text) => text.clone(),
            KeySource::File(path) => {
                let mut bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                bytes
            }
        }))
    }
}

/// A command line that was read.
#[derive(Debug)]
pub(super) struct Invocation {
    /// The tool.
    pub(super) tool: &'static Tool,
    /// The disks, in order.
    pub(super) drives: Vec<Drive>,
    /// The disks of the second guest, in order.
    pub(super) second_drives: Vec<Drive>,
    /// The guests of libvirt that were named.
    pub(super) domains: Vec<OsString>,
    /// The mounts by hand; none means that the guest is inspected.
    pub(super) mounts: Vec<MountSpec>,
    /// Passphrases.
    pub(super) keys: Vec<KeySelector>,
    /// Whether standard input holds passphrases.
    pub(super) keys_from_stdin: bool,
    /// Whether more is said on standard error.
    pub(super) verbose: bool,
    /// All options, and what is none.
    pub(super) arguments: Arguments,
}

impl Invocation {
    /// Takes operands as disks, as old versions of the tools did, where neither `-a` nor `-d` was given: all but the last
    /// `keep`.
    pub(super) fn take_old_style(&mut self, keep: usize) -> Result<(), ExitCode> {
        if !self.drives.is_empty() || !self.domains.is_empty() {
            return Ok(());
        }
        let count = self.arguments.operands.len().saturating_sub(keep);
        if count == 0 {
            return Err(self.tool.wrong_use());
        }
        let format = match self.arguments.last("format") {
            Some(value) => format_named(value).map_err(|message| self.tool.fail(&message))?,
            None => None,
        };
        for operand in self.arguments.operands.drain(..count) {
            let path = PathBuf::from(&operand);
            if operand.as_bytes().contains(&b'/') || path.exists() {
                let drive = Drive::named(&operand, format).map_err(|message| self.tool.fail(&message))?;
                self.drives.push(drive);
            } else {
                self.domains.push(operand);
            }
        }
        Ok(())
    }

    /// Refuses operands, of which a tool takes none where its disks are named; `options` are those whose argument one may be.
    pub(super) fn refuse_operands(&self, options: &str) -> Result<(), ExitCode> {
        let Some(extra) = self.operands().first() else {
            return Ok(());
        };
        let extra = extra.display();
        self.tool.fail(&format!(
            "error: extra argument ‘{extra}’ on command line.\nMake sure to specify the argument for {options} \
             like '--format={extra}'."
        ));
        Err(self.tool.wrong_use())
    }

    /// Whether an option was given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.arguments.has(option)
    }

    /// What is no option.
    pub(super) fn operands(&self) -> &[OsString] {
        &self.arguments.operands
    }

    /// The passphrases for the images.
    pub(super) fn image_keys(&self) -> Outcome<Keys> {
        let mut keys = Keys::none();
        let mut first = None;
        for selector in &self.keys {
            let passphrase = selector.passphrase()?;
            keys.insert(selector.id.clone(), passphrase);
            if first.is_none() || selector.id == "all" {
                first = Some(selector.id.clone());
            }
        }
        if self.keys_from_stdin && first.is_none() {
            let mut line = Vec::new();
            let read = std::io::stdin().lock().read_until(b'\n', &mut line);
            read.map_err(|e| Failure::usage(format!("cannot read a passphrase from standard input: {e}")))?;
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            keys.insert("all", Passphrase::new(line));
            first = Some("all".to_owned());
        }
        match first {
            Some(id) => Ok(keys.also_for_all(&id)?),
            None => Ok(keys),
        }
    }

    /// How the guest is found.
    pub(super) fn guest_options(&self) -> Outcome<GuestOptions> {
        Ok(GuestOptions {
            mounts: self.mounts.clone(),
            root: RootChoice::default(),
            clock: clock::now()?,
            keys: self.image_keys()?,
            gate: Gate::FollowAll,
        })
    }

    /// Fails where a guest of libvirt was named, or no disk.
    pub(super) fn check_disks(&self) -> Outcome<()> {
        if let Some(domain) = self.domains.first() {
            return Err(Failure::usage(format!(
                "libvirt guests are not supported ({}): name the guest's disk images with -a",
                domain.display()
            )));
        }
        if self.drives.is_empty() {
            return Err(Failure::usage("no disk image is given: name it with -a"));
        }
        Ok(())
    }

    /// Looks into the guest; nothing is changed.
    pub(super) fn look<T>(&self, work: impl FnOnce(&Guest) -> disksmith_guest::Result<T>) -> Outcome<T> {
        self.check_disks()?;
        let drives = self.drives.iter();
        let disks: Vec<_> = drives.map(|d| (d.path.clone(), d.format)).collect();
        let in_use = |path: &std::path::Path| {
            if self.verbose {
                eprintln!(
                    "{}: {} is in use: what is shown may be inconsistent",
                    self.tool.name,
                    path.display()
                );
            }
        };
        Ok(disksmith_guest::look(
            &disks,
            &self.guest_options()?,
            in_use,
            |guest| {
                self.say_warnings(guest);
                work(guest)
            },
        )?)
    }

    /// Looks at the disks, whatever is on them.
    pub(super) fn look_at_disks<T>(
        &self,
        work: impl FnOnce(&[StorageRef]) -> disksmith_guest::Result<T>,
    ) -> Outcome<T> {
        self.check_disks()?;
        let drives = self.drives.iter();
        let disks: Vec<_> = drives.map(|d| (d.path.clone(), d.format)).collect();
        let in_use = |path: &std::path::Path| {
            if self.verbose {
                eprintln!(
                    "{}: {} is in use: what is shown may be inconsistent",
                    self.tool.name,
                    path.display()
                );
            }
        };
        Ok(disksmith_guest::look_at_disks(
            &disks,
            &self.guest_options()?,
            in_use,
            work,
        )?)
    }

    /// The same command line, for the second guest.
    pub(super) fn second(&self) -> Outcome<Self> {
        if let Some(domain) = self.arguments.text("second-domain") {
            return Err(Failure::usage(format!(
                "libvirt guests are not supported ({domain}): name the guest's disk images with -A"
            )));
        }
        Ok(Self {
            drives: self.second_drives.clone(),
            second_drives: Vec::new(),
            domains: Vec::new(),
            mounts: self.mounts.clone(),
            keys: self.keys.clone(),
            arguments: Arguments::default(),
            ..*self
        })
    }

    /// Edits the guest in one transaction: after an error the images are as they were.
    pub(super) fn edit<T>(&self, work: impl FnOnce(&Guest) -> disksmith_guest::Result<T>) -> Outcome<T> {
        self.edit_with(false, work)
    }

    /// As [`edit`](Self::edit); a dry run does all the work and keeps nothing of it.
    pub(super) fn edit_with<T>(
        &self,
        dry_run: bool,
        work: impl FnOnce(&Guest) -> disksmith_guest::Result<T>,
    ) -> Outcome<T> {
        self.check_disks()?;
        let options = self.guest_options()?;
        let transaction = TransactionOptions {
            dry_run,
            keys: options.keys.clone(),
            ..TransactionOptions::default()
        };
        let (result, _) = disksmith_guest::edit(&self.disk_specs(), &transaction, &options, |guest| {
            self.say_warnings(guest);
            work(guest)
        })?;
        Ok(result)
    }

    /// As [`edit_with`](Self::edit_with), for each operating system on the disks.
    pub(super) fn edit_all<T>(
        &self,
        dry_run: bool,
        mut work: impl FnMut(&Guest) -> disksmith_guest::Result<T>,
    ) -> Outcome<Vec<T>> {
        self.check_disks()?;
        let options = self.guest_options()?;
        let transaction = TransactionOptions {
            dry_run,
            keys: options.keys.clone(),
            ..TransactionOptions::default()
        };
        let (results, _) = disksmith_guest::edit_all(&self.disk_specs(), &transaction, &options, |guest| {
            self.say_warnings(guest);
            work(guest)
        })?;
        Ok(results)
    }

    /// The disks, to be changed in place.
    pub(super) fn disk_specs(&self) -> Vec<DiskSpec> {
        let drives = self.drives.iter();
        let specs = drives.map(|drive| DiskSpec {
            path: drive.path.clone(),
            format: drive.format,
            output: Output::InPlace,
        });
        specs.collect()
    }

    fn say_warnings(&self, guest: &Guest) {
        if self.verbose {
            for warning in guest.warnings() {
                eprintln!("{}: {warning}", self.tool.name);
            }
        }
    }
}

/// Writes text to standard output, and gives the exit status of the tool.
pub(super) fn print_lines(tool: &Tool, text: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match crate::output::finish(out.write_all(text).and_then(|()| out.flush())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => tool.fail_with(&failure),
    }
}

/// What the C library says of an error number.
pub(super) fn errno_text(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.rfind(" (os error ") {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// An error of a call of libguestfs on a guest's file: `libguestfs: error: cat: /x: No such file or directory`.
pub(super) fn api_error(call: &str, path: &[u8], error: &disksmith_vfs::Error) -> String {
    let errno = rustix::io::Errno::from_raw_os_error(error.errno());
    format!(
        "libguestfs: error: {call}: {}: {}",
        String::from_utf8_lossy(path),
        errno_text(errno)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    static TOOL: Tool = Tool::new(
        "virt-x",
        "virt-x: a tool\n",
        &[
            ADD,
            BLOCKSIZE,
            CONNECT,
            DOMAIN,
            FORMAT,
            KEY,
            MOUNT,
            VERBOSE,
            DISPLAY_VERSION,
            HELP,
        ],
        "acdmvV",
    );

    fn read(words: &[&str]) -> Result<Invocation, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let arguments = Arguments::parse("virt-x", TOOL.specs, &words).map_err(|m| m.message)?;
        TOOL.invocation(arguments)
    }

    #[test]
    fn formats_hold_for_the_disks_that_follow() {
        let read_ok = read(&[
            "--format=raw",
            "-a",
            "/dev/null",
            "--format",
            "-a",
            "file:///dev/null",
            "/etc",
        ])
        .unwrap();
        let formats: Vec<_> = read_ok.drives.iter().map(|d| d.format).collect();
        assert_eq!(formats, [Some(Format::Raw), None]);
        assert_eq!(read_ok.operands(), ["/etc"]);
        for (words, message) in [
            (
                &["-a", "/dev/null", "--format=raw"][..],
                "--format parameter must appear before -a parameter",
            ),
            (
                &["-a", "/dev/null", "--blocksize"],
                "--blocksize parameter must appear before -a parameter",
            ),
            (
                &["-a", "/nonexistent"],
                "access: /nonexistent: No such file or directory",
            ),
            (&["--key", "x"], "invalid selector for --key: x"),
            (&["--blocksize=1"], "--blocksize parameter is not 512 or 4096: 1"),
        ] {
            assert_eq!(read(words).unwrap_err(), message);
        }
        assert!(
            read(&["-a", "nbd://host/x"])
                .unwrap_err()
                .starts_with("nbd://host/x: remote disks")
        );
    }

    #[test]
    fn keys_and_mounts_are_read() {
        let read = read(&[
            "--key",
            "all:key:a:b",
            "-m",
            "/dev/sda2",
            "-m",
            "/dev/sda1:/boot:ro:ext4",
        ])
        .unwrap();
        assert_eq!(
            read.keys[0].passphrase().unwrap(),
            Passphrase::new(b"a:b".to_vec())
        );
        let paths: Vec<_> = read.mounts.iter().map(|m| m.path.as_slice()).collect();
        assert_eq!(paths, [&b"/"[..], b"/boot"]);
    }

    #[test]
    fn uris_of_files_are_decoded() {
        assert_eq!(file_of_uri(b"/a%20b"), Some(PathBuf::from("/a b")));
        assert_eq!(file_of_uri(b"host/a"), None);
        assert_eq!(scheme(b"/x/y://z"), None);
        assert_eq!(scheme(b"ssh://h/p").map(|(s, _)| s), Some(&b"ssh"[..]));
    }
}
