//! Operations as the user would write them.

use super::{GuestProgram, Operation};
use crate::files::text;
use crate::selector::{PasswordSource, SshKeySelector};

impl Operation {
    /// The operation as the user would write it; passwords are left out.
    pub fn describe(&self) -> String {
        match self {
            Self::AppendLine { path, line } => format!("--append-line {}:{}", text(path), text(line)),
            Self::Chmod {
                permissions, path, ..
            } => format!("--chmod {permissions:04o}:{}", text(path)),
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
            Self::GuestProgram(program) => program.describe(),
            Self::Hostname { name } => format!("--hostname {name}"),
            Self::Ignored { option, argument } => format!("--{option} {argument}"),
            Self::Link { target, links } => {
                let links: Vec<String> = links.iter().map(|l| text(l)).collect();
                format!("--link {}:{}", text(target), links.join(":"))
            }
            Self::Mkdir { path } => format!("--mkdir {}", text(path)),
            Self::Move { from, to } => format!("--move {}:{}", text(from), text(to)),
            Self::NoLogfile => "--no-logfile".into(),
            Self::Password { user, selector } => format!("--password {user}:{selector}"),
            Self::Scrub { path } => format!("--scrub {}", text(path)),
            Self::SshInject {
                user,
                selector: SshKeySelector::Newest,
            } => format!("--ssh-inject {user}"),
            Self::SshInject { user, selector } => format!("--ssh-inject {user}:{selector}"),
            Self::TarIn { local, dir } => format!("--tar-in {}:{}", local.display(), text(dir)),
            Self::Timezone { zone } => format!("--timezone {zone}"),
            Self::Touch { path } => format!("--touch {}", text(path)),
            Self::Truncate { path } => format!("--truncate {}", text(path)),
            Self::TruncateRecursive { path } => format!("--truncate-recursive {}", text(path)),
            Self::Upload { local, path } => format!("--upload {}:{}", local.display(), text(path)),
            Self::Write { path, content } => format!("--write {}:({} bytes)", text(path), content.len()),
        }
    }
}

impl GuestProgram {
    /// The operation as the user would write it; passwords are left out.
    pub fn describe(&self) -> String {
        match self {
            Self::Install(packages) => format!("--install {}", packages.join(",")),
            Self::Run(script) => format!("--run {}", script.display()),
            Self::RunCommand(command) => format!("--run-command {command}"),
            Self::SubscriptionAttach(None) => "--sm-attach auto".into(),
            Self::SubscriptionAttach(Some(file)) => format!("--sm-attach file:{}", file.display()),
            Self::SubscriptionCredentials { user, password } => match password {
                PasswordSource::File(file) => format!("--sm-credentials {user}:file:{}", file.display()),
                _ => format!("--sm-credentials {user}:password:(hidden)"),
            },
            Self::SubscriptionRegister => "--sm-register".into(),
            Self::SubscriptionRemove => "--sm-remove".into(),
            Self::SubscriptionUnregister => "--sm-unregister".into(),
            Self::Uninstall(packages) => format!("--uninstall {}", packages.join(",")),
            Self::Update => "--update".into(),
        }
    }
}
