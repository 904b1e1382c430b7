//! SSH host keys: they go, and something must make new ones, else sshd does not start.

use crate::customize::{Session, add_firstboot_command};
use crate::editor::{Editor, NewFile, join};
use crate::error::Result;
use crate::inspect::{Guest, Init};

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

/// What makes new host keys in the guest whenever they are missing: the path of a service or script; `None` where nothing does.
pub(crate) fn host_keys_return_by(guest: &Guest) -> Result<Option<String>> {
    let tree = guest.tree();
    let editor = Editor::new(tree);
    for (path, part) in MAKERS {
        let Some(contents) = editor.read_if_file(path.as_bytes())? else {
            continue;
        };
        if contains(&contents, part) {
            return Ok(Some((*path).to_owned()));
        }
    }
    let own = format!("/etc/systemd/system/multi-user.target.wants/{UNIT_NAME}");
    if guest.init() == Init::Systemd && tree.is_file(&own) {
        return Ok(Some(own));
    }
    for path in editor.glob(b"/usr/lib/virt-sysprep/scripts/*")? {
        let contents = editor.read_if_file(&path)?.unwrap_or_default();
        if contains(&contents, "ssh-keygen -A") {
            return Ok(Some(String::from_utf8_lossy(&path).into_owned()));
        }
    }
    Ok(None)
}

fn contains(bytes: &[u8], part: &str) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|w| w == part.as_bytes())
}

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
    if let Some(maker) = host_keys_return_by(session.guest)? {
        session
            .editor
            .note(format!("the guest makes new host keys by itself ({maker})"));
        return Ok(());
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
