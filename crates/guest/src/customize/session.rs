//! One edit of a guest, from the first operation to the report.

use super::guest_program::{self, Credentials};
use super::{file_operations, firstboot, hostname, password, ssh_key, timezone};
use crate::context::{Context, Exec};
use crate::editor::{Editor, NewFile};
use crate::error::{Error, Result};
use crate::inspect::Guest;
use crate::operation::{GuestProgram, Operation};
use crate::progress::Progress;
use crate::report::{Report, SelinuxOutcome, Step};
use crate::selector::{PasswordSource, SshKeySelector};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// An edit under way.
#[derive(Debug)]
pub(crate) struct Session<'s, 'c> {
    pub(crate) guest: &'s Guest,
    pub(crate) editor: Editor<'s>,
    pub(crate) context: &'s mut Context<'c>,
    pub(crate) report: Report,
    pub(crate) credentials: Credentials,
}

impl<'s, 'c> Session<'s, 'c> {
    pub(crate) fn new(guest: &'s Guest, context: &'s mut Context<'c>) -> Self {
        let report = Report {
            warnings: guest.warnings().to_vec(),
            ..Report::default()
        };
        Self {
            guest,
            editor: Editor::new(guest.tree()),
            context,
            report,
            credentials: Credentials::default(),
        }
    }

    /// Does one thing and writes its changes down under a name.
    pub(crate) fn step(&mut self, name: String, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.editor.step = Step {
            operation: name.clone(),
            ..Step::default()
        };
        let result = work(self);
        let step = std::mem::take(&mut self.editor.step);
        self.report.steps.push(step);
        result.map_err(|error| error.in_operation(name))
    }

    /// Tells whoever wants to know that a step begins.
    pub(crate) fn tell(&mut self, step: Progress<'_>) {
        if let Some(observer) = &mut self.context.observer {
            observer.begins(step);
        }
    }

    /// Does operations that were [checked](check): in order, passwords last.
    pub(crate) fn customize<'o>(
        &mut self,
        operations: impl Iterator<Item = &'o Operation> + Clone,
    ) -> Result<()> {
        let is_password = |o: &&Operation| matches!(o, Operation::Password { .. });
        for operation in operations.clone().filter(|o| !is_password(o)) {
            self.tell(Progress::Operation(operation));
            self.step(operation.describe(), |session| session.apply(operation))?;
        }
        if operations.clone().any(|o| is_password(&o)) {
            self.tell(Progress::Passwords);
        }
        for operation in operations.filter(is_password) {
            self.step(operation.describe(), |session| session.apply(operation))?;
        }
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Hostname { name } => hostname::set(self, name),
            Operation::Timezone { zone } => timezone::set(self, zone),
            Operation::Password { user, selector } => password::set(self, user, selector),
            Operation::SshInject { user, selector } => ssh_key::inject(self, user, selector),
            Operation::Firstboot { script } => firstboot::add_script(self, script),
            Operation::FirstbootCommand { command } => firstboot::add_firstboot_command(self, command),
            Operation::FirstbootInstall { packages } => guest_program::install(self, packages),
            Operation::GuestProgram(program) => guest_program::add(self, program),
            Operation::Ignored { .. } => {
                self.editor.note("ignored: it is for Windows guests only");
                Ok(())
            }
            other => file_operations::apply(self, other),
        }
    }

    /// Sees to the labels, and gives the report.
    pub(crate) fn finish(mut self) -> Result<Report> {
        self.tell(Progress::Finishing);
        let labels = &self.editor.labels;
        self.report.selinux = match (labels.in_use, labels.guesses) {
            (false, _) => SelinuxOutcome::NotUsed,
            (true, 0) => SelinuxOutcome::LabelsKept,
            (true, _) if self.context.selinux_relabel => SelinuxOutcome::RelabelAtBoot,
            (true, _) => SelinuxOutcome::RelabelDeclined,
        };
        if self.report.selinux == SelinuxOutcome::RelabelAtBoot {
            self.step("relabel at the next boot".into(), |session| {
                if session.editor.link_metadata(b"/.autorelabel")?.is_none() {
                    session
                        .editor
                        .write(b"/.autorelabel", b"", NewFile::root(0o644))?;
                }
                Ok(())
            })?;
        }
        Ok(self.report)
    }
}

/// Checks what can be checked without the guest.
pub(crate) fn check(operations: &[Operation], context: &Context<'_>) -> Result<()> {
    // What cannot be done at all is said first, whatever stands before it.
    if context.exec == Exec::Refuse {
        for operation in operations {
            if let Operation::GuestProgram(program) = operation {
                return Err(refusal(program));
            }
        }
    }
    let mut users = BTreeSet::new();
    let mut credentials = false;
    for operation in operations {
        let checked = match operation {
            Operation::Password { user, selector } => {
                if users.insert(user) {
                    check_password_file(&selector.source)
                } else {
                    Err(Error::usage(
                        "--password",
                        format!("the password of {user} is set twice"),
                    ))
                }
            }
            Operation::SshInject { selector, .. } => match selector {
                SshKeySelector::File(file) if !reads_again(file) => Ok(()),
                SshKeySelector::Newest | SshKeySelector::File(_) | SshKeySelector::Literal(_) => {
                    ssh_key::keys(selector, context.host_home.as_deref()).map(|_| ())
                }
            },
            Operation::Firstboot { script } | Operation::GuestProgram(GuestProgram::Run(script))
                if reads_again(script) =>
            {
                firstboot::read_script(script).map(|_| ())
            }
            Operation::GuestProgram(GuestProgram::SubscriptionAttach(Some(file))) if reads_again(file) => {
                guest_program::pools(file).map(|_| ())
            }
            Operation::GuestProgram(GuestProgram::SubscriptionCredentials { password, .. }) => {
                credentials = true;
                check_password_file(password)
            }
            Operation::GuestProgram(GuestProgram::SubscriptionRegister) if !credentials => Err(Error::usage(
                "--sm-register",
                "it needs --sm-credentials before it",
            )),
            Operation::Edit { expression, .. } => {
                expression
                    .prepare(context.perl.as_deref())
                    .map_err(|source| Error::Expression {
                        expression: expression.source().to_owned(),
                        source,
                    })
            }
            Operation::Upload { local, .. } => {
                let metadata = fs::metadata(local).map_err(|e| Error::host("read", local, e));
                metadata.and_then(|metadata| match metadata.is_dir() {
                    true => Err(Error::HostContent {
                        path: local.clone(),
                        reason: "is a directory; --copy-in copies directories".into(),
                    }),
                    false => check_source(local, &metadata),
                })
            }
            Operation::CopyIn { local, .. } => fs::symlink_metadata(local)
                .map_err(|e| Error::host("read", local, e))
                .and_then(|metadata| check_source(local, &metadata)),
            Operation::TarIn { local, .. } => fs::metadata(local)
                .map(|_| ())
                .map_err(|e| Error::host("read", local, e)),
            _ => Ok(()),
        };
        checked.map_err(|error| error.in_operation(operation.describe()))?;
    }
    Ok(())
}

/// Work for programs of the guest is not done here.
fn refusal(program: &GuestProgram) -> Error {
    let described = program.describe();
    let option = described.split(' ').next().unwrap_or_default();
    let reason = match program {
        GuestProgram::Install(_) | GuestProgram::Uninstall(_) | GuestProgram::Update => {
            "it runs the guest's package manager"
        }
        _ => "it runs a program of the guest",
    };
    Error::Unsupported {
        what: option.to_owned(),
        reason: reason.into(),
        hint: Some("with --exec=firstboot the guest does it at its first boot".into()),
    }
}

fn check_password_file(source: &PasswordSource) -> Result<()> {
    match source {
        PasswordSource::File(file) if reads_again(file) => password::from_file(file).map(|_| ()),
        _ => Ok(()),
    }
}

/// Whether a file of the host, checked now, can be read once more when its turn comes: a pipe (`<(pass show root)`) cannot.
fn reads_again(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

/// Refuses what has no contents of its own to copy: character devices, which may have no end, pipes and sockets.
#[cfg(unix)]
fn check_source(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    let what = if kind.is_char_device() {
        "a character device"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        return Ok(());
    };
    Err(Error::HostContent {
        path: path.to_owned(),
        reason: format!("is {what}, not a file"),
    })
}

#[cfg(not(unix))]
fn check_source(_path: &Path, _metadata: &fs::Metadata) -> Result<()> {
    Ok(())
}
