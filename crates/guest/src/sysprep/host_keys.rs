//! SSH host keys: they go, and something must make new ones, else sshd does not start.

use crate::customize::{Session, add_firstboot_command};
use crate::editor::{NewFile, join};
use crate::error::Result;
use crate::inspect::Init;

const UNIT_NAME: &str = "disksmith-ssh-hostkeys.service";
/// Not before the sockets: those come before `basic.target`, after which every ordinary service comes.
const UNIT_TEXT: &str = "\
[Unit]
Description=Make SSH host keys where there are none
Before=ssh.service sshd.service
After=cloud-init.service
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
";

/// Who makes new keys by itself whenever they are missing: files of which one of these words is a part.
const MAKERS: &[(&str, &str)] = &[
    ("/usr/lib/systemd/system/sshd-keygen.target", ""),
    ("/usr/lib/systemd/system/sshd-keygen@.service", ""),
    ("/usr/lib/systemd/system/sshd-keygen.service", ""),
    ("/usr/lib/systemd/system/sshdgenkeys.service", ""),
    ("/usr/lib/systemd/system/ssh-keygen.service", ""),
    ("/lib/systemd/system/sshd-keygen.service", ""),
    ("/usr/sbin/sshd-gen-keys-start", ""),
    ("/usr/lib/ssh/sshd-gen-keys-start", ""),
    ("/usr/libexec/openssh/sshd-gen-keys-start", ""),
    ("/etc/init.d/sshd", "ssh-keygen"),
    ("/etc/rc.d/init.d/sshd", "ssh-keygen"),
    ("/etc/init.d/sshd", "sshd-keygen"),
    ("/etc/rc.d/init.d/sshd", "sshd-keygen"),
    ("/etc/init.d/S50sshd", "ssh-keygen"),
];

pub(crate) fn remove(session: &mut Session<'_, '_>) -> Result<()> {
    for path in session.editor.glob(b"/etc/ssh/*_host_*")? {
        session.editor.remove_if_there(&path)?;
    }
    let installed = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"]
        .iter()
        .any(|p| session.editor.tree().is_file(p));
    if !installed {
        return Ok(());
    }
    for (path, part) in MAKERS {
        let Some(contents) = session.editor.read_if_file(path.as_bytes())? else {
            continue;
        };
        if part.is_empty() || contents.windows(part.len()).any(|w| w == part.as_bytes()) {
            session
                .editor
                .note(format!("the guest makes new host keys by itself ({path})"));
            return Ok(());
        }
    }
    // cloud-init makes keys only where it finds a seed, which no template can be sure of.
    if session.guest.init() == Init::Systemd {
        let dir = b"/etc/systemd/system";
        let unit = join(dir, UNIT_NAME.as_bytes());
        let wants = join(dir, b"multi-user.target.wants");
        session.editor.create_dir_all(&wants, NewFile::root(0o755))?;
        session.editor.write_text(&unit, UNIT_TEXT.as_bytes())?;
        session
            .editor
            .symlink(&unit, &join(&wants, UNIT_NAME.as_bytes()))?;
        session
            .editor
            .note(format!("{UNIT_NAME} makes new host keys at the next boot"));
        return Ok(());
    }
    let unless = "ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || ssh-keygen -A";
    add_firstboot_command(session, unless)?;
    session.editor.note("a first-boot command makes new host keys");
    Ok(())
}
