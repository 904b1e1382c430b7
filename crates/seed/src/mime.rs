//! MIME archives of several documents: reading them to check, and making them.

use crate::cloud_config;
use crate::diagnostic::Findings;
use crate::error::{Error, Result};
use crate::transfer_encoding::{base64_lines, decode};
use crate::user_data::{self, UserDataKind};

/// The types of parts that cloud-init handles.
const TYPES: [&str; 14] = [
    "text/cloud-config",
    "text/cloud-config-archive",
    "text/cloud-config-jsonp",
    "text/cloud-boothook",
    "text/jinja2",
    "text/part-handler",
    "text/x-include-once-url",
    "text/x-include-url",
    "text/x-shellscript",
    "text/x-shellscript-per-boot",
    "text/x-shellscript-per-instance",
    "text/x-shellscript-per-once",
    "text/plain",
    "text/x-not-multipart",
];

/// The fields of a head that matter here.
const FIELDS: [&str; 3] = ["content-type", "content-transfer-encoding", "content-disposition"];

/// The head of a message or part: those of [`FIELDS`] that it has, the first of each, names in lower case, values unfolded.
struct Head {
    fields: Vec<(String, String)>,
    /// Lines that the head takes, the empty one after it among them.
    lines: usize,
}

impl Head {
    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut count = 0;
        let mut kept = false;
        for line in lines {
            count += 1;
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut().filter(|_| kept) {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                let name = name.trim().to_ascii_lowercase();
                kept = FIELDS.contains(&name.as_str()) && !fields.iter().any(|(n, _)| *n == name);
                if kept {
                    fields.push((name, value.trim().to_string()));
                }
            }
        }
        Self { fields, lines: count }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The type without parameters, in lower case.
    fn content_type(&self) -> Option<String> {
        let value = self.get("content-type")?;
        Some(
            value
                .split(';')
                .next()
                .unwrap_or(value)
                .trim()
                .to_ascii_lowercase(),
        )
    }

    fn boundary(&self) -> Option<String> {
        self.get("content-type")?
            .split(';')
            .skip(1)
            .find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                (name.trim().eq_ignore_ascii_case("boundary"))
                    .then(|| value.trim().trim_matches('"').to_string())
                    .filter(|b| !b.is_empty())
            })
    }
}

/// Checks a MIME archive and the parts that are not encoded.
pub(crate) fn check(text: &str, findings: &mut Findings) {
    let head = Head::parse(text.split('\n'));
    let multipart = head.content_type().is_some_and(|t| t.starts_with("multipart/"));
    if !multipart {
        check_part(&head, text, 0, findings);
        return;
    }
    let Some(boundary) = head.boundary() else {
        findings.error(
            "mime-boundary",
            (1, 1),
            "a multipart archive whose Content-Type names no boundary",
            None,
        );
        return;
    };
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    // Each part goes from the line after its boundary to the next boundary.
    let mut part: Option<(usize, usize)> = None;
    let (mut opened, mut closed) = (false, false);
    let (mut at, mut number) = (0, 0);
    for line in text.split('\n') {
        let next = (at + line.len() + 1).min(text.len());
        let (opening, closing) = (line.trim_end() == open, line.trim_end() == close);
        if opening || closing {
            if let Some((start, first)) = part.take() {
                check_part_at(text, start..at.saturating_sub(1), first, findings);
            }
            opened |= opening;
            if closing {
                closed = true;
                break;
            }
            part = Some((next, number + 1));
        }
        at = next;
        number += 1;
    }
    if let Some((start, first)) = part {
        check_part_at(text, start..text.len(), first, findings);
    }
    if !opened {
        let message =
            format!("no part starts with the boundary {open:?}; cloud-init would ignore the document");
        findings.error("mime-boundary", (1, 1), message, None);
    } else if !closed {
        let message = format!("the archive does not end in {close:?}");
        findings.warning("mime-end", (number, 1), message, None);
    }
}

fn check_part_at(text: &str, range: std::ops::Range<usize>, line_offset: usize, findings: &mut Findings) {
    let part = text.get(range).unwrap_or("");
    check_part(&Head::parse(part.split('\n')), part, line_offset, findings);
}

/// Checks one part, which starts after `line_offset` lines.
fn check_part(head: &Head, part: &str, line_offset: usize, findings: &mut Findings) {
    let saved = findings.line_offset;
    findings.line_offset = saved.saturating_add(line_offset);
    let content_type = head.content_type().unwrap_or_else(|| "text/plain".into());
    if !TYPES.contains(&content_type.as_str()) && !content_type.starts_with("multipart/") {
        let message = format!("a part of type {content_type:?}, which cloud-init does not handle");
        let near = findings.suggestion(&content_type, TYPES);
        let fix = near.map(|t| format!("did you mean {t}?"));
        findings.warning("mime-type", (1, 1), message, fix);
    }
    let encoding = head
        .get("content-transfer-encoding")
        .unwrap_or("7bit")
        .to_ascii_lowercase();
    let body = user_data::behind_lines(part, head.lines);
    findings.line_offset = findings.line_offset.saturating_add(head.lines);
    let decoded = decode(encoding.trim(), body);
    if decoded.is_none() {
        let message = format!("a part whose encoding {encoding:?} is unknown, or cannot be decoded");
        findings.error("mime-encoding", (1, 1), message, None);
    }
    // What is encoded has lines of its own: they are counted from where the part begins.
    if let Some(body) = decoded
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
    {
        match content_type.as_str() {
            "text/cloud-config" => cloud_config::check(body, findings),
            "text/plain"
            | "text/x-not-multipart"
            | "text/x-shellscript"
            | "text/cloud-config-archive"
            | "text/jinja2" => {
                user_data::check_text(body, findings);
            }
            _ => {}
        }
    }
    findings.line_offset = saved;
}

/// A part of an archive that was taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its type, in lower case.
    pub(crate) content_type: String,
    /// The file name that it has.
    pub(crate) name: Option<String>,
    /// How it was encoded.
    pub(crate) encoding: String,
    /// Its contents, decoded where that is possible.
    pub(crate) bytes: Vec<u8>,
    /// Lines of the archive before its contents.
    pub(crate) lines_before: usize,
}

/// So many parts of an archive are taken.
const MAX_PARTS: usize = 1000;

/// The parts of an archive; a message that is no archive is one part.
pub(crate) fn parts(text: &str) -> Vec<Found> {
    let head = Head::parse(text.split('\n'));
    let multipart = head.content_type().is_some_and(|t| t.starts_with("multipart/"));
    let Some(boundary) = head.boundary().filter(|_| multipart) else {
        return vec![found(&head, text, 0)];
    };
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut out = Vec::new();
    let (mut start, mut at) = (None, 0usize);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let word = line.trim_end();
        if word == open || word == close {
            let begun: Option<(usize, usize)> = start.take();
            if let Some((part, first)) = begun.and_then(|(s, first)| Some((text.get(s..at)?, first))) {
                // the line end before a boundary belongs to the boundary
                let part = part.strip_suffix('\n').unwrap_or(part);
                out.push(found(&Head::parse(part.split('\n')), part, first));
            }
            if word == close || out.len() >= MAX_PARTS {
                return out;
            }
            start = Some((at + line.len(), number + 1));
        }
        at += line.len();
    }
    if let Some((part, first)) = start.and_then(|(s, first)| Some((text.get(s..)?, first))) {
        out.push(found(&Head::parse(part.split('\n')), part, first));
    }
    out
}

fn found(head: &Head, part: &str, lines_before: usize) -> Found {
    let encoding = head.get("content-transfer-encoding").unwrap_or("7bit").trim();
    let encoding = encoding.to_ascii_lowercase();
    let body = user_data::behind_lines(part, head.lines);
    let name = head.get("content-disposition").and_then(|value| {
        let parameter = value.split(';').skip(1).find_map(|p| p.split_once('='));
        parameter
            .filter(|(key, _)| key.trim().eq_ignore_ascii_case("filename"))
            .map(|(_, name)| name.trim().trim_matches('"').to_string())
    });
    Found {
        content_type: head.content_type().unwrap_or_else(|| "text/plain".into()),
        name,
        bytes: decode(&encoding, body).unwrap_or_else(|| body.as_bytes().to_vec()),
        encoding,
        lines_before: lines_before + head.lines,
    }
}

/// One document of a MIME archive that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file name that the part gets.
    pub name: String,
    /// The document.
    pub bytes: Vec<u8>,
    /// Its MIME type; `None` takes it from the document's header.
    pub mime_type: Option<String>,
}

/// Joins documents to one MIME archive. The boundary follows from the contents, so that the same parts give the same bytes.
/// Text goes in as it is, anything else in base64.
///
/// # Errors
/// [`Error::PartType`] for a part that has no type and no header which cloud-init knows.
pub fn archive(parts: &[Part]) -> Result<Vec<u8>> {
    let boundary = boundary(parts);
    let mut out =
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n").into_bytes();
    for part in parts {
        let mime_type = match &part.mime_type {
            Some(given) if given.contains('/') => given.clone(),
            Some(given) => format!("text/{given}"),
            None => UserDataKind::of(&part.bytes)
                .and_then(UserDataKind::mime_type)
                .ok_or_else(|| Error::PartType {
                    name: part.name.clone(),
                })?
                .to_string(),
        };
        let name: String = part
            .name
            .chars()
            .map(|c| {
                if c == '"' || c == '\\' || c.is_control() {
                    '_'
                } else {
                    c
                }
            })
            .collect();
        let text = std::str::from_utf8(&part.bytes)
            .ok()
            .filter(|t| !t.lines().any(|l| l.len() > 990));
        let encoding = match text {
            Some(text) if text.is_ascii() => "7bit",
            Some(_) => "8bit",
            None => "base64",
        };
        let charset = if text.is_some() { "; charset=\"utf-8\"" } else { "" };
        out.extend_from_slice(
            format!(
                "--{boundary}\nContent-Type: {mime_type}{charset}\nMIME-Version: 1.0\nContent-Transfer-Encoding: {encoding}\nContent-Disposition: attachment; filename=\"{name}\"\n\n"
            )
            .as_bytes(),
        );
        match text {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.extend_from_slice(base64_lines(&part.bytes).as_bytes()),
        }
        out.push(b'\n');
    }
    out.extend_from_slice(format!("--{boundary}--\n").as_bytes());
    Ok(out)
}

/// A boundary that no part contains.
fn boundary(parts: &[Part]) -> String {
    use sha2::{Digest, Sha256};
    let mut round = 0u32;
    loop {
        let mut hash = Sha256::new();
        hash.update(round.to_le_bytes());
        for part in parts {
            hash.update((part.bytes.len() as u64).to_le_bytes());
            hash.update(&part.bytes);
        }
        let hex: String = hash
            .finalize()
            .iter()
            .take(12)
            .map(|b| format!("{b:02x}"))
            .collect();
        let candidate = format!("==============={hex}==");
        let taken = parts.iter().any(|p| {
            p.bytes
                .windows(candidate.len())
                .any(|w| w == candidate.as_bytes())
        });
        if !taken {
            return candidate;
        }
        round = round.wrapping_add(1);
    }
}

/// Compresses a document, without name and time, so that the same document gives the same bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), flate2::Compression::best());
    // writing to memory does not fail
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
