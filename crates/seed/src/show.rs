//! What is inside a document, decoded: gzip, MIME archives, encoded parts.

use crate::mime;
use crate::user_data::UserDataKind;
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// The most that a compressed document may become.
const MAX_DECOMPRESSED: u64 = 16 << 20;
/// So many documents may stand in each other.
const MAX_DEPTH: usize = 8;

/// A document, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The file, or the part's file name.
    pub name: String,
    /// A part's declared type, else the type that cloud-init sees in it.
    pub content_type: Option<String>,
    /// What was undone to read it, in order: `gzip`, `base64`, `quoted-printable`.
    pub decoded: Vec<String>,
    /// Bytes before that.
    pub size: u64,
    /// What it says, for a text that has no parts.
    pub text: Option<String>,
    /// The documents in it.
    pub parts: Vec<Shown>,
}

/// Takes a document apart.
pub fn show(name: &str, bytes: &[u8]) -> Shown {
    shown(name, bytes, None, Vec::new(), 0)
}

fn shown(
    name: &str,
    bytes: &[u8],
    declared: Option<String>,
    mut decoded: Vec<String>,
    depth: usize,
) -> Shown {
    let size = bytes.len() as u64;
    let mut plain = Vec::new();
    let mut bytes = bytes;
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let read = MultiGzDecoder::new(bytes)
            .take(MAX_DECOMPRESSED)
            .read_to_end(&mut plain);
        if read.is_ok() {
            decoded.push("gzip".into());
            bytes = &plain;
        }
    }
    let text = std::str::from_utf8(bytes).ok();
    let kind = UserDataKind::of(bytes);
    let is_archive = declared
        .as_deref()
        .is_none_or(|t| t.starts_with("multipart/") || t == "text/plain");
    let mut out = Shown {
        name: name.into(),
        content_type: declared.or_else(|| kind.and_then(UserDataKind::mime_type).map(Into::into)),
        decoded,
        size,
        text: None,
        parts: Vec::new(),
    };
    match text {
        Some(text) if kind == Some(UserDataKind::Mime) && is_archive && depth < MAX_DEPTH => {
            for (number, part) in mime::parts(text).into_iter().enumerate() {
                let name = part.name.unwrap_or_else(|| format!("part-{:03}", number + 1));
                let decoded = match part.encoding.as_str() {
                    encoding @ ("base64" | "quoted-printable") => vec![encoding.to_string()],
                    _ => Vec::new(),
                };
                out.parts.push(shown(
                    &name,
                    &part.bytes,
                    Some(part.content_type),
                    decoded,
                    depth + 1,
                ));
            }
            out.content_type.get_or_insert_with(|| "multipart/mixed".into());
        }
        text => out.text = text.map(Into::into),
    }
    out
}
