//! user-data and settings of Windows guests, as cloudbase-init takes them (its documentation, "Userdata").

use crate::diagnostic::Findings;
use crate::user_data::{self, UserDataKind};
use crate::yaml::{self, Type, Yaml};
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// The most that a compressed document may become.
const MAX_DECOMPRESSED: u64 = 16 << 20;
/// Characters of a NetBIOS name.
const MAX_NETBIOS: usize = 15;
/// The headers of scripts; all but the last take what follows a white space.
const SCRIPTS: [&str; 5] = ["#ps1_sysnative", "#ps1_x86", "#ps1", "rem cmd", "#!"];
/// What cloudbase-init does with `#cloud-config`.
const KEYS: [&str; 9] = [
    "groups",
    "hostname",
    "ntp",
    "runcmd",
    "set_hostname",
    "set_timezone",
    "timezone",
    "users",
    "write_files",
];

/// Checks user-data for cloudbase-init.
pub(crate) fn check(bytes: &[u8], findings: &mut Findings) {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        let fix = "save it as UTF-8 without BOM".to_string();
        let message = "UTF-16 text, in which cloudbase-init finds no header; it would not be run";
        return findings.error("encoding", (1, 1), message, fix);
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        let fix = "save it as UTF-8 without BOM".to_string();
        let message =
            "starts with a byte order mark, behind which cloudbase-init finds no header; it would not be run";
        return findings.error("byte-order-mark", (1, 1), message, fix);
    }
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let mut plain = Vec::new();
        let read = MultiGzDecoder::new(bytes)
            .take(MAX_DECOMPRESSED)
            .read_to_end(&mut plain);
        match read {
            Ok(_) if !plain.starts_with(&[0x1F, 0x8B]) => check(&plain, findings),
            Ok(_) => findings.error("gzip-twice", (1, 1), "compressed twice", None),
            Err(error) => findings.error("gzip", (1, 1), format!("cannot be decompressed: {error}"), None),
        }
        return;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return findings.error(
            "encoding",
            (1, 1),
            "not UTF-8 text",
            "save it as UTF-8 without BOM".to_string(),
        );
    };
    let lower = text.get(..64).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("<powershell>") || lower.starts_with("<script>") {
        return check_tags(text, findings);
    }
    let script = SCRIPTS.iter().find(|header| lower.starts_with(*header));
    match script {
        Some(header) if *header == "#!" => {
            let first = text.lines().next().unwrap_or("").trim_end();
            if first.starts_with("#!/bin/") || first == "#!/usr/bin/env bash" {
                findings.warning(
                    "windows-shell",
                    (1, 1),
                    "cloudbase-init runs this by bash.exe, which Windows does not have of itself",
                    "write #ps1_sysnative, or #!/usr/bin/env python".to_string(),
                );
            } else if !first.starts_with("#!/usr/bin/env python") {
                findings.warning(
                    "windows-interpreter",
                    (1, 1),
                    format!("cloudbase-init knows no interpreter {first:?}"),
                    "write #ps1_sysnative, or #!/usr/bin/env python".to_string(),
                );
            }
            check_script(text, findings);
        }
        Some(header) => {
            let behind = text.get(header.len()..).and_then(|rest| rest.chars().next());
            if behind.is_none_or(|c| !c.is_whitespace()) {
                let word = text.split_whitespace().next().unwrap_or("");
                findings.error(
                    "header-unknown",
                    (1, 1),
                    format!("cloudbase-init knows no header {word:?}, and would not run this"),
                    format!("write {header} on a line of its own"),
                );
                return;
            }
            check_script(text, findings);
        }
        None => check_other(text, findings),
    }
}

/// What is no script: the documents that cloud-init knows too.
fn check_other(text: &str, findings: &mut Findings) {
    match UserDataKind::of(text.as_bytes()) {
        Some(UserDataKind::CloudConfig) => {
            user_data::check_text(text, findings);
            check_config(text, findings);
        }
        Some(UserDataKind::Mime | UserDataKind::Jinja) => user_data::check_text(text, findings),
        Some(UserDataKind::PartHandler) => {}
        Some(kind) => findings.error(
            "windows-kind",
            (1, 1),
            format!(
                "cloudbase-init does not handle {}",
                kind.mime_type().unwrap_or("this")
            ),
            "write a script behind #ps1_sysnative".to_string(),
        ),
        None => {
            let line = text.lines().next().unwrap_or("").trim();
            let near = line
                .starts_with('#')
                .then(|| crate::suggest::nearest(&line.to_ascii_lowercase(), SCRIPTS))
                .flatten();
            findings.error(
                "header-missing",
                (1, 1),
                "line 1 is no header that cloudbase-init knows; it would not run this",
                match near {
                    Some(header) => format!("write {header}"),
                    None => "start with #ps1_sysnative, rem cmd, or #cloud-config".into(),
                },
            );
        }
    }
}

/// `<powershell>…</powershell>` and `<script>…</script>`, as EC2 takes them.
fn check_tags(text: &str, findings: &mut Findings) {
    let lower = text.to_ascii_lowercase();
    for tag in ["powershell", "script"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let (opened, closed) = (lower.matches(&open).count(), lower.matches(&close).count());
        if opened != closed {
            let at = lower.find(&open).or_else(|| lower.find(&close)).unwrap_or(0);
            let line = lower.get(..at).unwrap_or("").matches('\n').count() + 1;
            let message = format!("{opened} times {open}, and {closed} times {close}; it would not be run");
            findings.error("windows-tags", (line, 1), message, format!("end it by {close}"));
        }
    }
    check_script(text, findings);
}

/// What a script's exit status makes cloudbase-init do, and what gets in its way.
fn check_script(text: &str, findings: &mut Findings) {
    let code_lines = || text.lines().enumerate().skip(1);
    if !code_lines().any(|(_, line)| !line.trim().is_empty()) && !text.trim_start().starts_with('<') {
        findings.warning("script-empty", (1, 1), "nothing follows the header", None);
    }
    let (mut restarts, mut tells) = (None, false);
    for (index, line) in code_lines() {
        let line = line.trim();
        let lower = line.to_ascii_lowercase();
        if lower.starts_with('#') || lower.starts_with("rem ") {
            continue;
        }
        let mut words = lower.split(|c: char| c.is_whitespace() || matches!(c, ';' | '{' | '}' | '(' | ')'));
        while let Some(word) = words.next() {
            let meaning = match (word, words.clone().find(|w| !w.is_empty() && *w != "/b")) {
                ("exit" | "sys.exit", Some("1001")) => {
                    "restarts the guest, and does not run the script again"
                }
                ("exit" | "sys.exit", Some("1002")) => "runs the script again at the next start",
                ("exit" | "sys.exit", Some("1003")) => "restarts the guest, and runs the script again",
                _ => continue,
            };
            tells = true;
            findings.note(
                "exit-status",
                (index + 1, 1),
                format!("at this exit status cloudbase-init {meaning}"),
            );
        }
        let stops = [
            "restart-computer",
            "stop-computer",
            "shutdown /r",
            "shutdown -r",
            "shutdown.exe",
        ];
        if restarts.is_none() && stops.iter().any(|s| lower.contains(s)) {
            restarts = Some(index + 1);
        }
    }
    if let Some(line) = restarts.filter(|_| !tells) {
        findings.warning(
            "restart",
            (line, 1),
            "the guest restarts under cloudbase-init, which then runs the script again, each time",
            "end the script by exit 1001 (restart) or exit 1003 (restart, then run it again)".to_string(),
        );
    }
}

/// `#cloud-config`, of which cloudbase-init takes a few keys.
fn check_config(text: &str, findings: &mut Findings) {
    let mut quiet = Findings::new("");
    let Ok(Some(root)) = yaml::parse(text, &mut quiet) else {
        return;
    };
    for (key, _) in root.entries() {
        let Some(name) = key.text() else { continue };
        if !KEYS.contains(&name) {
            let message = format!("cloudbase-init does nothing with {name:?}");
            findings.warning("windows-key", key.at, message, None);
        }
    }
    let users = root.get("users").filter(|u| u.value_type() == Type::Sequence);
    for user in users.map_or(&[][..], Yaml::items) {
        for name in ["hashed_passwd", "passwd"] {
            let hashed = user.entry(name).filter(|(_, value)| {
                name == "hashed_passwd" || value.text().is_some_and(|t| t.starts_with('$'))
            });
            if let Some((key, _)) = hashed {
                findings.error(
                    "windows-password",
                    key.at,
                    "Windows takes no password hashes",
                    "give the password itself as passwd, or none and use admin_pass".to_string(),
                );
            }
        }
    }
}

/// Host name and password.
pub(crate) fn check_settings(hostname: Option<&str>, admin_pass: Option<&str>, findings: &mut Findings) {
    let first = hostname.map(|name| name.split('.').next().unwrap_or(name));
    if let Some(name) = first.filter(|name| name.len() > MAX_NETBIOS) {
        let short = name.get(..MAX_NETBIOS).unwrap_or(name);
        findings.warning(
            "windows-hostname",
            (1, 1),
            format!(
                "the host name {name:?} is longer than 15 characters; cloudbase-init cuts it to {short:?}"
            ),
            None,
        );
    }
    let Some(password) = admin_pass else { return };
    let kinds = [
        password.chars().any(char::is_lowercase),
        password.chars().any(char::is_uppercase),
        password.chars().any(|c| c.is_ascii_digit()),
        password.chars().any(|c| !c.is_alphanumeric()),
    ];
    if kinds.iter().filter(|there| **there).count() < 3 || password.chars().count() < 7 {
        findings.warning(
            "windows-password",
            (1, 1),
            "Windows Server refuses the password by its default policy: 7 characters or more, of three kinds (small, capital, digit, other)",
            None,
        );
    }
}
