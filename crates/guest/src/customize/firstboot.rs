//! Scripts that run once, at the guest's first boot.
//!
//! The layout is that of virt-customize, so that both tools can add to one guest: scripts in `/usr/lib/virt-sysprep/scripts`, run in
//! the order of their names, and a runner that the guest's init starts.

use super::session::Session;
use crate::editor::{NewFile, join};
use crate::error::{Error, Result};
use crate::files::{lines, text};
use crate::inspect::Init;
use std::fs;
use std::io::Read;
use std::path::Path;

const RUNNER: &[u8] = b"/usr/lib/virt-sysprep/firstboot.sh";
const SCRIPTS: &[u8] = b"/usr/lib/virt-sysprep/scripts";
const UNIT: &[u8] = b"/usr/lib/systemd/system/guestfs-firstboot.service";
const NAME: &str = "guestfs-firstboot";
/// Largest script.
const MAX_SCRIPT: u64 = 16 << 20;

/// Runs each script once. It is moved away before it runs, so that one that reboots does not run again.
pub(crate) const RUNNER_TEXT: &str = r#"#!/bin/sh
### BEGIN INIT INFO
# Provides:          guestfs-firstboot
# Required-Start:    $network $remote_fs
# Required-Stop:
# Default-Start:     2 3 5
# Default-Stop:
# Short-Description: Scripts that run at the first boot only
### END INIT INFO

# Runs the scripts in the directory below, each once, in the order of their names.

base=/usr/lib/virt-sysprep
log=/root/virt-sysprep-firstboot.log

case "${1:-start}" in
start | boot) ;;
*) exit 0 ;;
esac
[ -d "$base/scripts" ] || exit 0

PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
HOME=${HOME:-/root}
export PATH HOME

run_scripts() {
	mkdir -p "$base/scripts-done"
	for script in "$base"/scripts/*; do
		[ -f "$script" ] || continue
		name=${script##*/}
		# Moved first: a script that reboots the machine must not run again.
		mv -f "$script" "$base/scripts-done/$name" || continue
		echo "=== $name starts: $(date) ==="
		(cd / && "$base/scripts-done/$name")
		echo "=== $name ended with status $? ==="
	done
}

if (: >>"$log") 2>/dev/null; then
	run_scripts >>"$log" 2>&1 </dev/null
else
	run_scripts </dev/null
fi
exit 0
"#;

const UNIT_TEXT: &str = "\
[Unit]
Description=Scripts that run at the first boot only
After=network.target
ConditionDirectoryNotEmpty=/usr/lib/virt-sysprep/scripts

[Service]
Type=oneshot
ExecStart=/usr/lib/virt-sysprep/firstboot.sh start
RemainAfterExit=yes
TimeoutStartSec=infinity
StandardOutput=journal+console
StandardError=inherit

[Install]
WantedBy=multi-user.target
";

const OPENRC_TEXT: &str = "\
#!/sbin/openrc-run

description=\"Scripts that run at the first boot only\"

depend() {
	need localmount
	after *
}

start() {
	ebegin \"Running first-boot scripts\"
	/usr/lib/virt-sysprep/firstboot.sh start
	eend 0
}
";

/// Adds a script of the host.
pub(crate) fn add_script(session: &mut Session<'_, '_>, script: &Path) -> Result<()> {
    let contents = read_script(script)?;
    add_titled(session, &script.to_string_lossy(), &contents)
}

/// Adds a script under a title. One that names no interpreter is for the shell.
pub(crate) fn add_titled(session: &mut Session<'_, '_>, title: &str, contents: &[u8]) -> Result<()> {
    let is_text = !contents.starts_with(b"\x7fELF") && !contents.contains(&0);
    if contents.starts_with(b"#!") || !is_text {
        return add(session, title, contents, 0o755);
    }
    session
        .editor
        .note("the script names no interpreter: #!/bin/sh is put before it");
    add(session, title, &[b"#!/bin/sh\n", contents].concat(), 0o755)
}

/// Adds a script that holds a secret.
pub(crate) fn add_private_script(session: &mut Session<'_, '_>, title: &str, contents: &[u8]) -> Result<()> {
    add(session, title, contents, 0o700)
}

/// Adds a shell command.
pub(crate) fn add_firstboot_command(session: &mut Session<'_, '_>, command: &str) -> Result<()> {
    add(
        session,
        command,
        format!("#!/bin/sh\n{command}\n").as_bytes(),
        0o755,
    )
}

/// Reads a script of the host. One whose first line ends in CR would not start in the guest.
pub(crate) fn read_script(path: &Path) -> Result<Vec<u8>> {
    let wrong = |reason: &str| Error::HostContent {
        path: path.to_owned(),
        reason: reason.into(),
    };
    let metadata = fs::metadata(path).map_err(|e| Error::host("read", path, e))?;
    if metadata.is_dir() {
        return Err(wrong("is a directory, not a script"));
    }
    let mut contents = Vec::new();
    // A device has no size, and may have no end.
    fs::File::open(path)
        .and_then(|file| file.take(MAX_SCRIPT + 1).read_to_end(&mut contents))
        .map_err(|e| Error::host("read", path, e))?;
    if contents.len() as u64 > MAX_SCRIPT {
        return Err(wrong("is too large for a script"));
    }
    let first = contents.split(|b| *b == b'\n').next().unwrap_or_default();
    if first.starts_with(b"#!") && first.ends_with(b"\r") {
        return Err(wrong(
            "its first line ends in CR (Windows line endings), so that the guest would not find the interpreter",
        ));
    }
    Ok(contents)
}

fn add(session: &mut Session<'_, '_>, title: &str, contents: &[u8], permissions: u16) -> Result<()> {
    install_runner(session)?;
    let editor = &mut session.editor;
    let mut highest = 0u32;
    for dir in [SCRIPTS, b"/usr/lib/virt-sysprep/scripts-done"] {
        if !editor.is_dir(dir)? {
            continue;
        }
        for entry in editor.tree().read_dir(dir)? {
            let number = text(&entry.name)
                .split('-')
                .nth(1)
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            highest = highest.max(number);
        }
    }
    let number = highest.saturating_add(1);
    let name = format!("5000-{number:04}-{}", sanitize(title));
    editor.write(
        &join(SCRIPTS, name.as_bytes()),
        contents,
        NewFile::root(permissions),
    )
}

/// What is left of a name: letters, digits, `_` and `-`, 60 characters.
fn sanitize(title: &str) -> String {
    title
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(60)
        .collect()
}

/// The runner, and what makes the guest's init start it.
fn install_runner(session: &mut Session<'_, '_>) -> Result<()> {
    let init = session.guest.init();
    let rc_local = session.editor.is_file(b"/etc/rc.local")?;
    if init == Init::Unknown && !rc_local {
        return Err(Error::Unsupported {
            what: "running scripts at the first boot of this guest".into(),
            reason: "it has no systemd, OpenRC, System V init or /etc/rc.local".into(),
            hint: Some("use the guest's own way, or a cloud-init seed".into()),
        });
    }
    let editor = &mut session.editor;
    editor.create_dir_all(SCRIPTS, NewFile::root(0o755))?;
    write_executable(session, RUNNER, RUNNER_TEXT)?;
    let editor = &mut session.editor;
    match init {
        Init::Systemd => {
            editor.create_dir_all(b"/usr/lib/systemd/system", NewFile::root(0o755))?;
            if editor.link_metadata(UNIT)?.is_some_and(|m| m.is_symlink()) {
                editor.remove(UNIT)?;
            }
            editor.write_text(UNIT, UNIT_TEXT.as_bytes())?;
            let wants = b"/etc/systemd/system/multi-user.target.wants";
            editor.create_dir_all(wants, NewFile::root(0o755))?;
            editor.symlink(UNIT, &join(wants, format!("{NAME}.service").as_bytes()))
        }
        Init::OpenRc => {
            let script = format!("/etc/init.d/{NAME}");
            write_executable(session, script.as_bytes(), OPENRC_TEXT)?;
            let editor = &mut session.editor;
            editor.create_dir_all(b"/etc/runlevels/default", NewFile::root(0o755))?;
            editor.symlink(
                script.as_bytes(),
                format!("/etc/runlevels/default/{NAME}").as_bytes(),
            )
        }
        Init::SysvRedHat => {
            editor.symlink(RUNNER, format!("/etc/rc.d/init.d/{NAME}").as_bytes())?;
            link_run_levels(session, "/etc/rc.d/")
        }
        Init::SysvDebian => {
            editor.symlink(RUNNER, format!("/etc/init.d/{NAME}").as_bytes())?;
            link_run_levels(session, "/etc/")
        }
        Init::BusyBox => editor.symlink(RUNNER, format!("/etc/init.d/S99{NAME}").as_bytes()),
        Init::Unknown => add_to_rc_local(session),
    }
}

fn link_run_levels(session: &mut Session<'_, '_>, above: &str) -> Result<()> {
    for level in [2, 3, 5] {
        let dir = format!("{above}rc{level}.d");
        if session.editor.is_dir(dir.as_bytes())? {
            let link = format!("{dir}/S99{NAME}");
            session
                .editor
                .symlink(format!("../init.d/{NAME}").as_bytes(), link.as_bytes())?;
        }
    }
    Ok(())
}

/// Before a final `exit 0`, as Debian's has one.
fn add_to_rc_local(session: &mut Session<'_, '_>) -> Result<()> {
    let path = b"/etc/rc.local";
    let contents = session.editor.read(path)?;
    if lines(&contents).any(|line| line.starts_with(RUNNER)) {
        return Ok(());
    }
    let call = [RUNNER, b" start\n"].concat();
    let all: Vec<&[u8]> = contents.split_inclusive(|b| *b == b'\n').collect();
    let exit = all
        .iter()
        .rposition(|line| line.trim_ascii().starts_with(b"exit"));
    let mut out = Vec::new();
    for (index, line) in all.iter().enumerate() {
        if Some(index) == exit {
            out.extend_from_slice(&call);
        }
        out.extend_from_slice(line);
    }
    if exit.is_none() {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(&call);
    }
    session.editor.write(path, &out, NewFile::root(0o755))
}

fn write_executable(session: &mut Session<'_, '_>, path: &[u8], contents: &str) -> Result<()> {
    // What a link leads to is another file.
    if session
        .editor
        .link_metadata(path)?
        .is_some_and(|m| m.is_symlink())
    {
        session.editor.remove(path)?;
    }
    session
        .editor
        .write(path, contents.as_bytes(), NewFile::root(0o755))?;
    session.editor.set_permissions(path, 0o755)
}
