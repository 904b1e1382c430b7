//! user-data and vendor-data: which kind a document is, and whether cloud-init would see it as that.
//!
//! cloud-init decides by the first characters of a document (`handlers/__init__.py`, `INCLUSION_TYPES_MAP`), by gzip's magic
//! number, and by `MIME-Version:` in the first 4096 bytes. What it does not know it drops with no more than a warning in its
//! log on the guest.

use crate::cloud_config;
use crate::diagnostic::Findings;
use crate::mime;
use crate::suggest::nearest;
use crate::yaml::{self, Type, Yaml};
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// The most that a compressed document may become.
const MAX_DECOMPRESSED: u64 = 16 << 20;
/// So many documents may stand in each other: parts of archives, bodies of templates.
const MAX_DEPTH: usize = 8;
/// So many characters of a line that should be a header are looked at.
const MAX_HEADER: usize = 200;
/// Where cloud-init looks for `MIME-Version:`.
const MIME_WINDOW: usize = 4096;

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserDataKind {
    /// `#cloud-config`: YAML.
    CloudConfig,
    /// `#cloud-config-archive`: a YAML list of documents.
    CloudConfigArchive,
    /// `#cloud-config-jsonp`: a JSON patch.
    CloudConfigJsonPatch,
    /// `#!`: a script.
    Script,
    /// `#cloud-boothook`: a script that runs early, on each boot.
    Boothook,
    /// `#include` and `#include-once`: URLs.
    Include,
    /// `#part-handler`: Python that handles other kinds.
    PartHandler,
    /// `#upstart-job`, which nothing runs any more.
    UpstartJob,
    /// `## template: jinja`: a template of one of the other kinds.
    Jinja,
    /// A MIME archive of several documents.
    Mime,
    /// Compressed with gzip.
    Gzip,
}

/// What cloud-init looks for, longest first where one begins another.
const HEADERS: [(&str, UserDataKind); 10] = [
    ("#cloud-config-archive", UserDataKind::CloudConfigArchive),
    ("#cloud-config-jsonp", UserDataKind::CloudConfigJsonPatch),
    ("## template: jinja", UserDataKind::Jinja),
    ("#cloud-boothook", UserDataKind::Boothook),
    ("#cloud-config", UserDataKind::CloudConfig),
    ("#part-handler", UserDataKind::PartHandler),
    ("#include-once", UserDataKind::Include),
    ("#upstart-job", UserDataKind::UpstartJob),
    ("#include", UserDataKind::Include),
    ("#!", UserDataKind::Script),
];

impl UserDataKind {
    /// The kind that cloud-init sees in a document; `None` where it would ignore it.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0x1F, 0x8B]) {
            return Some(Self::Gzip);
        }
        let window = bytes.get(..MIME_WINDOW).unwrap_or(bytes).to_ascii_lowercase();
        if window
            .windows(b"mime-version:".len())
            .any(|w| w == b"mime-version:")
        {
            return Some(Self::Mime);
        }
        let start = window.iter().position(|b| !b.is_ascii_whitespace())?;
        let start = window.get(start..)?;
        HEADERS
            .iter()
            .find(|(header, _)| start.starts_with(header.as_bytes()))
            .map(|(_, kind)| *kind)
    }

    /// The MIME type of a part of this kind.
    pub fn mime_type(self) -> Option<&'static str> {
        Some(match self {
            Self::CloudConfig => "text/cloud-config",
            Self::CloudConfigArchive => "text/cloud-config-archive",
            Self::CloudConfigJsonPatch => "text/cloud-config-jsonp",
            Self::Script => "text/x-shellscript",
            Self::Boothook => "text/cloud-boothook",
            Self::Include => "text/x-include-url",
            Self::PartHandler => "text/part-handler",
            Self::UpstartJob => "text/upstart-job",
            Self::Jinja => "text/jinja2",
            Self::Mime | Self::Gzip => return None,
        })
    }
}

/// Checks a whole user-data or vendor-data document.
pub(crate) fn check(bytes: &[u8], findings: &mut Findings) {
    if bytes.is_empty() {
        findings.note(
            "empty",
            (1, 1),
            "the document is empty; cloud-init has nothing to do",
        );
        return;
    }
    if UserDataKind::of(bytes) == Some(UserDataKind::Gzip) {
        let mut plain = Vec::new();
        let read = MultiGzDecoder::new(bytes)
            .take(MAX_DECOMPRESSED)
            .read_to_end(&mut plain);
        match read {
            Err(error) => {
                findings.error(
                    "gzip",
                    (1, 1),
                    format!("compressed, but cannot be decompressed: {error}"),
                    None,
                );
            }
            Ok(_) if plain.len() as u64 >= MAX_DECOMPRESSED => {
                findings.warning(
                    "gzip-size",
                    (1, 1),
                    "becomes more than 16 MiB; what is inside was not checked",
                    None,
                );
            }
            Ok(_) if plain.starts_with(&[0x1F, 0x8B]) => {
                findings.error(
                    "gzip-twice",
                    (1, 1),
                    "compressed twice; cloud-init decompresses once",
                    None,
                );
            }
            Ok(_) => check(&plain, findings),
        }
        return;
    }
    let bytes = without_mark(bytes, findings);
    let Ok(text) = std::str::from_utf8(bytes) else {
        let valid = bytes.utf8_chunks().next().map_or("", |c| c.valid());
        let at = (
            valid.matches('\n').count() + 1,
            valid.rsplit('\n').next().unwrap_or("").chars().count() + 1,
        );
        findings.error(
            "encoding",
            at,
            "not UTF-8 text, nor gzip",
            "save it as UTF-8".to_string(),
        );
        return;
    };
    check_text(text, findings);
}

/// Takes off a byte order mark, which is an error: cloud-init does not see the header behind it.
fn without_mark<'a>(bytes: &'a [u8], findings: &mut Findings) -> &'a [u8] {
    match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => {
            findings.error(
                "byte-order-mark",
                (1, 1),
                "starts with a byte order mark, behind which cloud-init does not find the header; it would ignore the document",
                "save it as UTF-8 without BOM".to_string(),
            );
            rest
        }
        None => bytes,
    }
}

/// Checks a document that is text.
pub(crate) fn check_text(text: &str, findings: &mut Findings) {
    let Some(kind) = UserDataKind::of(text.as_bytes()) else {
        no_header(text, findings);
        return;
    };
    if kind == UserDataKind::Mime {
        deeper(findings, |findings| mime::check(text, findings));
        return;
    }
    let blank = text.lines().take_while(|l| l.trim().is_empty()).count();
    let first = text.lines().nth(blank).unwrap_or("");
    let spaces = first.len() - first.trim_start().len();
    if blank > 0 {
        findings.error(
            "header-not-first",
            (1, 1),
            format!(
                "line 1 is blank, and the header {:?} stands on line {}",
                first.trim(),
                blank + 1 + findings.line_offset
            ),
            "delete the lines before the header".to_string(),
        );
    } else if spaces > 0 {
        let fix = "delete the white space before the header".to_string();
        findings.error(
            "header-indented",
            (1, 1),
            "white space stands before the header",
            fix,
        );
    }
    check_kind(kind, text, blank, findings);
}

fn check_kind(kind: UserDataKind, text: &str, blank: usize, findings: &mut Findings) {
    let first = text.lines().nth(blank).unwrap_or("");
    let header_line = blank + 1;
    check_header(kind, first, header_line, findings);
    match kind {
        UserDataKind::CloudConfig => cloud_config::check(text, findings),
        UserDataKind::CloudConfigArchive => check_archive(text, findings),
        UserDataKind::Script => check_script(text, header_line, findings),
        UserDataKind::Boothook => check_boothook(text, header_line, findings),
        UserDataKind::Include => check_include(text, header_line, findings),
        UserDataKind::Jinja => check_template(text, header_line, findings),
        UserDataKind::UpstartJob => {
            let message = "upstart jobs are run by nothing since cloud-init 22.2";
            findings.error(
                "upstart-job",
                (header_line, 1),
                message,
                "write a systemd unit by write_files".to_string(),
            );
        }
        UserDataKind::CloudConfigJsonPatch => {
            let _ = yaml::parse(&after_line(text, header_line), findings);
        }
        UserDataKind::PartHandler | UserDataKind::Mime | UserDataKind::Gzip => {}
    }
}

/// Empty lines in place of the first ones, so that positions stay.
fn after_line(text: &str, line: usize) -> String {
    "\n".repeat(line) + behind_lines(text, line)
}

/// What stands behind the first lines.
pub(crate) fn behind_lines(text: &str, lines: usize) -> &str {
    let Some(last) = lines.checked_sub(1) else {
        return text;
    };
    let end = text.match_indices('\n').nth(last);
    end.and_then(|(at, _)| text.get(at + 1..)).unwrap_or("")
}

/// What stands after the header on its line.
fn check_header(kind: UserDataKind, line: &str, number: usize, findings: &mut Findings) {
    if matches!(kind, UserDataKind::Script | UserDataKind::Include) {
        return;
    }
    let line = line.trim_start();
    let Some((header, _)) = HEADERS.iter().find(|(header, k)| {
        *k == kind
            && line
                .get(..header.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(header))
    }) else {
        return;
    };
    let (written, rest) = line.split_at(header.len());
    let rest_without_cr = rest.strip_suffix('\r').unwrap_or(rest);
    let column = written.chars().count() + 1;
    if written != *header {
        let message =
            format!("the header is written {written:?}; not every version of cloud-init takes it so");
        findings.warning("header-case", (number, 1), message, format!("write {header}"));
    }
    if rest_without_cr.is_empty() {
        return;
    }
    if rest_without_cr.trim().is_empty() {
        findings.warning(
            "header-trailing-space",
            (number, column),
            format!("white space follows the header {header}"),
            "delete it".to_string(),
        );
    } else if rest_without_cr.starts_with(char::is_whitespace) {
        let message = format!("text follows the header {header} on its line");
        findings.warning("header-trailing-text", (number, column), message, None);
    } else {
        let whole = line.split_whitespace().next().unwrap_or(line);
        findings.error(
            "header-unknown",
            (number, 1),
            format!("{whole:?} is no header that cloud-init knows"),
            format!("write {header}"),
        );
    }
}

fn no_header(text: &str, findings: &mut Findings) {
    let first_line = text.lines().position(|l| !l.trim().is_empty());
    let Some(number) = first_line else {
        findings.error("header-missing", (1, 1), "there is nothing but white space", None);
        return;
    };
    let line = text.lines().nth(number).unwrap_or("").trim();
    let end = line
        .char_indices()
        .nth(MAX_HEADER)
        .map_or(line.len(), |(at, _)| at);
    let line = line.get(..end).unwrap_or(line);
    // The header may stand further down.
    let later = text.lines().enumerate().skip(number).find(|(_, l)| {
        HEADERS
            .iter()
            .any(|(h, k)| *k != UserDataKind::Script && l.trim_end() == *h)
    });
    if let Some((at, header)) = later {
        findings.error(
            "header-not-first",
            (number + 1, 1),
            format!(
                "the header {:?} stands on line {}, not on line 1; cloud-init would ignore the document",
                header.trim_end(),
                at + 1 + findings.line_offset
            ),
            "move it to line 1".to_string(),
        );
        return;
    }
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("content-type:") {
        findings.error(
            "mime-version-missing",
            (number + 1, 1),
            "a MIME archive without \"MIME-Version: 1.0\" in its head; cloud-init would ignore the document",
            "add the line MIME-Version: 1.0".to_string(),
        );
        return;
    }
    let squeezed: String = lower.chars().filter(|c| !c.is_whitespace()).collect();
    let known = HEADERS.iter().map(|(h, _)| *h);
    let near = HEADERS
        .iter()
        .find(|(h, _)| h.replace(' ', "") == squeezed)
        .map(|(h, _)| *h)
        .or_else(|| {
            if line.starts_with('#') {
                nearest(&lower, known)
            } else {
                None
            }
        });
    let what = if line.starts_with('#') {
        format!("{line:?} is no header that cloud-init knows; it would ignore the document")
    } else {
        "line 1 is no header like #cloud-config or #!/bin/sh; cloud-init would ignore the document"
            .to_string()
    };
    let fix = match near {
        Some(header) => format!("write {header}"),
        None if looks_like_yaml(text) => "put #cloud-config on line 1".into(),
        None => "start with #cloud-config (YAML), #!/bin/sh (script), or another header".into(),
    };
    let code = if near.is_some() {
        "header-unknown"
    } else {
        "header-missing"
    };
    findings.error(code, (number + 1, 1), what, fix);
}

fn looks_like_yaml(text: &str) -> bool {
    matches!(yaml::parse(text, &mut Findings::new("")), Ok(Some(root)) if root.value_type() == Type::Mapping)
}

fn check_script(text: &str, line: usize, findings: &mut Findings) {
    let shebang = text.split('\n').nth(line - 1).unwrap_or("");
    if shebang.ends_with('\r') {
        findings.error(
            "shebang-crlf",
            (line, shebang.trim_end_matches('\r').chars().count() + 1),
            "the line ends in CR LF; the kernel would look for an interpreter whose name ends in CR",
            "save the script with LF line ends".to_string(),
        );
    }
    let interpreter = shebang
        .trim_start()
        .trim_start_matches("#!")
        .split_whitespace()
        .next();
    match interpreter {
        None => findings.error(
            "shebang-empty",
            (line, 1),
            "no interpreter after #!",
            "write #!/bin/sh".to_string(),
        ),
        Some(path) if !path.starts_with('/') => {
            let message = format!("the interpreter {path:?} is not an absolute path");
            findings.error(
                "shebang-relative",
                (line, 3),
                message,
                "write #!/bin/sh".to_string(),
            );
        }
        Some(_) => {}
    }
}

fn check_boothook(text: &str, line: usize, findings: &mut Findings) {
    if let Some(shebang) = text
        .split('\n')
        .nth(line)
        .filter(|l| l.starts_with("#!") && l.ends_with('\r'))
    {
        let at = (line + 1, shebang.trim_end_matches('\r').chars().count() + 1);
        let message =
            "the line ends in CR LF; the kernel would look for an interpreter whose name ends in CR";
        findings.error(
            "shebang-crlf",
            at,
            message,
            "save the script with LF line ends".to_string(),
        );
    }
}

fn check_include(text: &str, line: usize, findings: &mut Findings) {
    let mut any = false;
    for (index, row) in text.lines().enumerate().skip(line - 1) {
        let lower = row.to_ascii_lowercase();
        let url = ["#include-once", "#include"]
            .iter()
            .find_map(|h| lower.starts_with(h).then(|| row.get(h.len()..).unwrap_or("")))
            .unwrap_or(row)
            .trim();
        if url.is_empty() || url.starts_with('#') {
            continue;
        }
        any = true;
        if !["http://", "https://", "file://", "ftp://"]
            .iter()
            .any(|s| url.starts_with(s))
            && !url.starts_with('/')
        {
            findings.error("include-url", (index + 1, 1), format!("{url:?} is no URL"), None);
        }
    }
    if !any {
        findings.error("include-empty", (line, 1), "no URL to include", None);
    }
}

/// A template's result is known only in the guest; its header is not.
fn check_template(text: &str, line: usize, findings: &mut Findings) {
    let body = after_line(text, line);
    let Some(kind) = UserDataKind::of(body.as_bytes()) else {
        findings.error(
            "template-header",
            (line + 1, 1),
            "no header follows the line \"## template: jinja\"; cloud-init would ignore the document",
            "put #cloud-config, or another header, on the next line".to_string(),
        );
        return;
    };
    let next = text.lines().nth(line).unwrap_or("");
    if next.trim().is_empty() {
        let fix = "delete the lines between".to_string();
        findings.error(
            "template-header",
            (line + 1, 1),
            "a blank line stands between the template's header and the next",
            fix,
        );
    } else if !body.contains("{{") && !body.contains("{%") && !body.contains("{#") {
        deeper(findings, |findings| check_kind(kind, &body, line, findings));
    }
}

/// Checks a document inside of another, unless too many stand around it already.
fn deeper(findings: &mut Findings, check: impl FnOnce(&mut Findings)) {
    if findings.depth >= MAX_DEPTH {
        let message = format!("more than {MAX_DEPTH} documents in each other");
        findings.error("documents-depth", (1, 1), message, None);
        return;
    }
    findings.depth += 1;
    check(findings);
    findings.depth -= 1;
}

fn check_archive(text: &str, findings: &mut Findings) {
    let Ok(Some(root)) = yaml::parse(text, findings) else {
        return;
    };
    if root.value_type() != Type::Sequence {
        let message = format!(
            "a #cloud-config-archive is a list, and this is {}",
            root.value_type().name()
        );
        findings.error(
            "archive-type",
            root.at,
            message,
            "start each document with \"- \"".to_string(),
        );
        return;
    }
    for item in root.items() {
        deeper(findings, |findings| check_archived(item, findings));
    }
}

/// Checks a document of an archive.
fn check_archived(item: &Yaml, findings: &mut Findings) {
    let (content, declared) = match item.value_type() {
        Type::Mapping => (item.get("content"), item.get("type")),
        Type::Text => (Some(item), None),
        Type::Unknown => return,
        other => {
            let message = format!(
                "an item of a #cloud-config-archive is a text or a mapping, and this is {}",
                other.name()
            );
            findings.error("archive-item", item.at, message, None);
            return;
        }
    };
    let Some(content) = content else {
        let fix = "add a content key".to_string();
        findings.error("archive-item", item.at, "this document has no content", fix);
        return;
    };
    let Some(text) = content.text() else { return };
    let declared = declared.and_then(Yaml::text).map(str::to_ascii_lowercase);
    if declared.is_none() && UserDataKind::of(text.as_bytes()).is_none() {
        let message = "no type is given, and the content starts with no header that cloud-init knows";
        let fix = "add a type key, or a header".to_string();
        findings.error("archive-item", content.at, message, fix);
        return;
    }
    // a text is where its first line is, in a block too
    let saved = findings.line_offset;
    findings.line_offset = saved.saturating_add(content.at.0.saturating_sub(1));
    match declared.as_deref() {
        Some("text/cloud-config") => cloud_config::check(text, findings),
        None | Some("text/plain" | "text/x-not-multipart" | "text/x-shellscript" | "text/jinja2") => {
            check_text(text, findings);
        }
        Some(_) => {}
    }
    findings.line_offset = saved;
}
