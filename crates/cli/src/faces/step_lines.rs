//! The lines that `virt-customize` and `virt-sysprep` print for each step: `[   5.2] Setting the hostname: web1`.

use crate::output::print;
use disksmith_guest::{GuestProgram, Observer, Operation, Progress};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

/// Prints the lines, each with the seconds since it was made.
#[derive(Debug)]
pub(super) struct StepLines {
    tool: &'static str,
    quiet: bool,
    /// Whether the last step has a line of its own.
    says_finishing: bool,
    started: Instant,
}

impl StepLines {
    /// For a tool; quiet: nothing is printed.
    pub(super) fn new(tool: &'static str, quiet: bool, says_finishing: bool) -> Self {
        Self {
            tool,
            quiet,
            says_finishing,
            started: Instant::now(),
        }
    }

    /// Whether nothing is printed.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a line.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            let seconds = self.started.elapsed().as_secs_f64();
            // A reader that went away ends the program, quietly; a full disk is told of at the end.
            let _ = print(format!("[{seconds:6.1}] {text}\n"));
        }
    }
}

impl Observer for StepLines {
    fn begins(&mut self, step: Progress<'_>) {
        match step {
            Progress::Operation(operation) => {
                for line in lines(operation) {
                    self.say(&line);
                }
            }
            Progress::Passwords => self.say("Setting passwords"),
            Progress::Cleaning(name) => self.say(&format!("Performing \"{name}\" ...")),
            Progress::RandomSeed => self.say("Setting a random seed"),
            Progress::NoRandomSeed => eprintln!(
                "{}: warning: random seed could not be set for this type of guest",
                self.tool
            ),
            Progress::MachineId => self.say("Setting the machine ID in /etc/machine-id"),
            Progress::Finishing if self.says_finishing => self.say("Finishing off"),
            _ => {}
        }
    }
}

fn lines(operation: &Operation) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let file = |path: &Path| text(OsStr::as_bytes(path.as_os_str()));
    vec![match operation {
        Operation::AppendLine { path, .. } => format!("Appending line to {}", text(path)),
        Operation::Chmod { written, path, .. } => {
            format!("Changing permissions of {} to {written}", text(path))
        }
        Operation::Chown { user, group, path } => format!(
            "Changing owner of {} to {user}{}",
            text(path),
            group.as_ref().map(|g| format!(":{g}")).unwrap_or_default()
        ),
        Operation::Copy { from, to } => format!("Copying (in image): {} to {}", text(from), text(to)),
        Operation::CopyIn { local, dir } => format!("Copying: {} to {}", file(local), text(dir)),
        Operation::Delete { pattern } => format!("Deleting: {}", text(pattern)),
        Operation::Edit { path, .. } => format!("Editing: {}", text(path)),
        Operation::Firstboot { script } => format!("Installing firstboot script: {}", file(script)),
        Operation::FirstbootCommand { command } => format!("Installing firstboot command: {command}"),
        Operation::FirstbootInstall { packages } => {
            format!("Installing firstboot packages: {}", packages.join(" "))
        }
        Operation::GuestProgram(program) => of_program(program),
        Operation::Hostname { name } => format!("Setting the hostname: {name}"),
        Operation::Ignored { option, .. } => format!("Ignoring --{option}: it is for Windows guests only"),
        Operation::Link { target, links } => {
            return links
                .iter()
                .map(|link| format!("Linking: {} -> {}", text(link), text(target)))
                .collect();
        }
        Operation::Mkdir { path } => format!("Making directory: {}", text(path)),
        Operation::Move { from, to } => format!("Moving: {} -> {}", text(from), text(to)),
        Operation::NoLogfile => return Vec::new(),
        Operation::Scrub { path } => format!("Scrubbing: {}", text(path)),
        Operation::SshInject { user, .. } => format!("SSH key inject: {user}"),
        Operation::TarIn { local, dir } => format!("Copying: {} to {}", file(local), text(dir)),
        Operation::Timezone { zone } => format!("Setting the timezone: {zone}"),
        Operation::Touch { path } => format!("Running touch: {}", text(path)),
        Operation::Truncate { path } => format!("Truncating: {}", text(path)),
        Operation::TruncateRecursive { path } => format!("Recursively truncating: {}", text(path)),
        Operation::Upload { local, path } => format!("Uploading: {} to {}", file(local), text(path)),
        Operation::Write { path, .. } => format!("Writing: {}", text(path)),
        other => other.describe(),
    }]
}

/// What the guest does at its first boot.
fn of_program(program: &GuestProgram) -> String {
    match program {
        GuestProgram::Install(packages) => format!("Installing firstboot packages: {}", packages.join(" ")),
        GuestProgram::Run(script) => format!("Installing firstboot script: {}", script.display()),
        GuestProgram::RunCommand(command) => format!("Installing firstboot command: {command}"),
        other => format!("Installing firstboot work: {}", other.describe()),
    }
}
