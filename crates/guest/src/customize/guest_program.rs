//! Work for programs of the guest, left to its first boot.

use super::firstboot::{add_private_script, add_titled, read_script};
use super::package_manager::PackageManager;
use super::password;
use super::session::Session;
use crate::error::{Error, Result};
use crate::operation::GuestProgram;
use crate::selector::PasswordSource;
use std::path::Path;

/// What subscription-manager is told of the user who registers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Option<(String, String)>);

pub(crate) fn add(session: &mut Session<'_, '_>, program: &GuestProgram) -> Result<()> {
    match program {
        GuestProgram::Install(packages) => install(session, packages),
        GuestProgram::Uninstall(packages) => {
            let script = manager(session, "removing packages")?.uninstall(&quoted(packages));
            command(session, &format!("uninstall {}", packages.join(" ")), &script)
        }
        GuestProgram::Update => {
            let script = manager(session, "updating packages")?.update();
            command(session, "update", script)
        }
        GuestProgram::Run(script) => {
            let contents = read_script(script)?;
            add_titled(session, &script.to_string_lossy(), &contents)
        }
        GuestProgram::RunCommand(line) => command(session, line, line),
        GuestProgram::SubscriptionCredentials { user, password } => {
            let password = match password {
                PasswordSource::File(file) => password::from_file(file)?,
                PasswordSource::Literal(password) => password.clone(),
                PasswordSource::Random | PasswordSource::Disabled => String::new(),
            };
            session.credentials = Credentials(Some((user.clone(), password)));
            Ok(())
        }
        GuestProgram::SubscriptionRegister => {
            let Credentials(Some((user, password))) = session.credentials.clone() else {
                return Err(Error::usage(
                    "--sm-register",
                    "it needs --sm-credentials before it",
                ));
            };
            // It holds a password: nobody but root reads it, and it is gone once it has run.
            let script = format!(
                "#!/bin/sh\nrm -f \"$0\"\nsubscription-manager register --username={} --password={}\n",
                shell_quoted(&user),
                shell_quoted(&password)
            );
            session.editor.note(
                "the password stands in a script that only root can read until the first boot, which removes it",
            );
            add_private_script(session, "subscription-manager register", script.as_bytes())
        }
        GuestProgram::SubscriptionAttach(None) => {
            let line = "subscription-manager attach --auto";
            command(session, line, line)
        }
        GuestProgram::SubscriptionAttach(Some(file)) => {
            let pools: Vec<String> = pools(file)?.iter().map(|pool| shell_quoted(pool)).collect();
            let options: String = pools.iter().map(|pool| format!(" --pool={pool}")).collect();
            command(
                session,
                "subscription-manager attach",
                &format!("subscription-manager attach{options}"),
            )
        }
        GuestProgram::SubscriptionRemove => {
            let line = "subscription-manager remove --all";
            command(session, line, line)
        }
        GuestProgram::SubscriptionUnregister => {
            let line = "subscription-manager unregister";
            command(session, line, line)
        }
    }
}

/// Packages to be installed.
pub(crate) fn install(session: &mut Session<'_, '_>, packages: &[String]) -> Result<()> {
    let script = manager(session, "installing packages")?.install(&quoted(packages));
    command(session, &format!("install {}", packages.join(" ")), &script)
}

/// The pools that a file of the host names, a line each.
pub(crate) fn pools(file: &Path) -> Result<Vec<String>> {
    let contents = read_script(file)?;
    let text = String::from_utf8_lossy(&contents);
    let pools: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if pools.is_empty() {
        return Err(Error::HostContent {
            path: file.to_owned(),
            reason: "names no pool".into(),
        });
    }
    Ok(pools)
}

fn command(session: &mut Session<'_, '_>, title: &str, script: &str) -> Result<()> {
    add_titled(session, title, format!("#!/bin/sh\n{script}\n").as_bytes())
}

fn manager(session: &Session<'_, '_>, what: &str) -> Result<PackageManager> {
    let distribution = session.guest.distribution();
    PackageManager::of(distribution, session.editor.tree()).ok_or_else(|| Error::Unsupported {
        what: format!("{what} on {}", distribution.name),
        reason: "its package manager is not known".into(),
        hint: Some("--firstboot-command with its own command does it".into()),
    })
}

/// Package names hold no quotes: parsing them saw to it.
fn quoted(packages: &[String]) -> String {
    let words: Vec<String> = packages.iter().map(|p| format!("'{p}'")).collect();
    words.join(" ")
}

/// Any text as one word of the shell.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_word() {
        assert_eq!(shell_quoted("a'b $(c)"), r"'a'\''b $(c)'");
    }
}
