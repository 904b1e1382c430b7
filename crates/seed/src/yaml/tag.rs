//! Tags, as PyYAML's `SafeLoader` knows them (`constructor.py`), which is what cloud-init reads documents with.

use super::Type;
use crate::diagnostic::Findings;
use saphyr_parser::Tag;

/// Where the tags of YAML itself begin; `!!` for short.
const YAML: &str = "tag:yaml.org,2002:";
/// Tags of scalars.
const SCALARS: &[&str] = &["binary", "bool", "float", "int", "null", "str", "timestamp"];
/// Tags of lists.
const SEQUENCES: &[&str] = &["omap", "pairs", "seq"];
/// Tags of mappings.
const MAPPINGS: &[&str] = &["map", "set"];

/// What a tag makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tagged {
    /// A text, whatever it looks like.
    Text,
    /// What it is without the tag.
    AsWritten,
    /// Something that is not known here.
    Other,
}

/// Judges the tag of a value of the shape `shape`: a list, a mapping, or a scalar (said as a text).
pub(super) fn check(tag: &Tag, shape: Type, at: (usize, usize), findings: &mut Findings) -> Tagged {
    let full = format!("{}{}", tag.handle, tag.suffix);
    if full == "!" {
        return if shape == Type::Text {
            Tagged::Text
        } else {
            Tagged::AsWritten
        };
    }
    let name = full.strip_prefix(YAML);
    let fits = match shape {
        Type::Sequence => SEQUENCES,
        Type::Mapping => MAPPINGS,
        _ => SCALARS,
    };
    match name {
        Some("str") if shape == Type::Text => Tagged::Text,
        Some(name) if fits.contains(&name) => {
            if shape == Type::Text {
                Tagged::Other
            } else {
                Tagged::AsWritten
            }
        }
        Some("python/unicode") if shape == Type::Text => {
            let message = "not every version of cloud-init knows the tag !!python/unicode; those that do not would ignore the whole document";
            findings.warning("yaml-tag", at, message, "delete the tag".to_string());
            Tagged::Text
        }
        _ => {
            let written = name.map_or_else(|| full.clone(), |name| format!("!!{name}"));
            let known = name.is_some_and(|n| [SCALARS, SEQUENCES, MAPPINGS].iter().any(|k| k.contains(&n)));
            let message = if known {
                let what = match shape {
                    Type::Sequence | Type::Mapping => shape.name(),
                    _ => "a single value",
                };
                format!("the tag {written} does not fit {what}; cloud-init would ignore the whole document")
            } else {
                format!("cloud-init cannot load the tag {written}, and would ignore the whole document")
            };
            let fix = "delete the tag, or put a text that begins with ! in quotes".to_string();
            findings.error("yaml-tag", at, message, fix);
            Tagged::Other
        }
    }
}
