//! A volume group as its metadata describes it (LVM2, lib/format_text/import_vsn1.c).

use super::text::{Section, Value};

/// How many physical and logical volumes a group may have, and how many segments one volume.
const MAX_VOLUMES: usize = 10_000;
const MAX_SEGMENTS: u64 = 100_000;
const MAX_STRIPES: u64 = 1024;
const SECTOR: u64 = 512;

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) id: String,
    /// Counts the changes of the description: the highest one is the last.
    pub(super) sequence: u64,
    /// In bytes.
    pub(super) extent_size: u64,
    pub(super) exported: bool,
    pub(super) physical: Vec<Physical>,
    pub(super) logical: Vec<Logical>,
}

/// A physical volume of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Physical {
    /// As segments name it: `pv0`.
    pub(super) name: String,
    /// The identifier without its hyphens.
    pub(super) id: String,
    /// Where its first extent lies, in bytes.
    pub(super) first_extent: u64,
    pub(super) extents: u64,
}

/// A logical volume of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) name: String,
    /// The identifier without its hyphens.
    pub(super) id: String,
    pub(super) visible: bool,
    pub(super) writable: bool,
    pub(super) segments: Vec<Segment>,
}

/// A run of extents of a logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: u64,
    pub(super) extents: u64,
    pub(super) kind: SegmentKind,
}

/// How a segment's extents are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SegmentKind {
    /// In turns on several volumes, or on one.
    Striped {
        /// In bytes.
        stripe_size: u64,
        /// Name of a physical volume, and the first extent there.
        stripes: Vec<(String, u64)>,
    },
    /// A snapshot: what it is of, and where its changes lie.
    Snapshot { origin: String, store: String },
    /// Anything else, by its name.
    Other(String),
}

impl Description {
    /// Reads the text. The error says what is wrong.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let whole = Section::parse(text).map_err(|(line, reason)| format!("line {line}: {reason}"))?;
        let [(name, group)] = whole.sections.as_slice() else {
            return Err(format!("{} volume groups in one text", whole.sections.len()));
        };
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a volume group"));
        }
        let number = |name: &str| group.number(name).ok_or_else(|| format!("{name} is missing"));
        let extent_size = number("extent_size")?
            .checked_mul(SECTOR)
            .filter(|size| *size > 0)
            .ok_or("extent_size is out of range")?;
        let physical = group.section("physical_volumes");
        let physical = physical.map_or(&[][..], |section| &section.sections);
        let logical = group.section("logical_volumes");
        let logical = logical.map_or(&[][..], |section| &section.sections);
        if physical.len() > MAX_VOLUMES || logical.len() > MAX_VOLUMES {
            return Err("too many volumes".into());
        }
        Ok(Self {
            name: name.clone(),
            id: plain_id(group.text("id").unwrap_or_default()),
            sequence: number("seqno")?,
            extent_size,
            exported: group.has_word("status", "EXPORTED"),
            physical: physical
                .iter()
                .map(|(name, section)| Physical::parse(name, section))
                .collect::<Result<_, _>>()?,
            logical: logical
                .iter()
                .map(|(name, section)| Logical::parse(name, section))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Physical {
    fn parse(name: &str, section: &Section) -> Result<Self, String> {
        let number = |field: &str| {
            section
                .number(field)
                .ok_or_else(|| format!("{field} of {name} is missing"))
        };
        Ok(Self {
            name: name.to_owned(),
            id: plain_id(section.text("id").unwrap_or_default()),
            first_extent: number("pe_start")?
                .checked_mul(SECTOR)
                .ok_or_else(|| format!("pe_start of {name} is out of range"))?,
            extents: number("pe_count")?,
        })
    }
}

impl Logical {
    fn parse(name: &str, section: &Section) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a logical volume"));
        }
        let count = section.number("segment_count").unwrap_or(0);
        if count > MAX_SEGMENTS {
            return Err(format!("{name} has {count} segments"));
        }
        // By number, so that a text of many sections is gone through once.
        let mut segments: Vec<(u64, Segment)> = Vec::new();
        for (own, segment) in &section.sections {
            let Some(number) = own.strip_prefix("segment").and_then(|n| n.parse().ok()) else {
                continue;
            };
            segments.push((number, Segment::parse(name, segment)?));
        }
        segments.sort_by_key(|(number, _)| *number);
        if segments.len() as u64 != count {
            return Err(format!("{name} has {} of {count} segments", segments.len()));
        }
        Ok(Self {
            name: name.to_owned(),
            id: plain_id(section.text("id").unwrap_or_default()),
            visible: section.has_word("status", "VISIBLE"),
            writable: section.has_word("status", "WRITE"),
            segments: segments.into_iter().map(|(_, segment)| segment).collect(),
        })
    }
}

impl Segment {
    fn parse(volume: &str, section: &Section) -> Result<Self, String> {
        let number = |field: &str| {
            section
                .number(field)
                .ok_or_else(|| format!("{field} of a segment of {volume} is missing"))
        };
        let kind = section.text("type").unwrap_or_default();
        let kind = match kind {
            "striped" | "linear" => {
                let count = number("stripe_count")?;
                let list = section.list("stripes");
                let stripes: Option<Vec<(String, u64)>> = list
                    .chunks(2)
                    .map(|pair| match pair {
                        [Value::Text(name), Value::Number(first)] => {
                            Some((name.clone(), u64::try_from(*first).ok()?))
                        }
                        _ => None,
                    })
                    .collect();
                let stripes =
                    stripes.filter(|s| !s.is_empty() && s.len() as u64 == count && count <= MAX_STRIPES);
                let stripes =
                    stripes.ok_or_else(|| format!("the stripes of {volume} are no list of {count}"))?;
                let stripe_size = if count > 1 { number("stripe_size")? } else { 0 };
                SegmentKind::Striped {
                    stripe_size: stripe_size
                        .checked_mul(SECTOR)
                        .ok_or_else(|| format!("stripe_size of {volume} is out of range"))?,
                    stripes,
                }
            }
            "snapshot" => SegmentKind::Snapshot {
                origin: section.text("origin").unwrap_or_default().to_owned(),
                store: section
                    .text("cow_store")
                    .or_else(|| section.text("merging_store"))
                    .unwrap_or_default()
                    .to_owned(),
            },
            other => SegmentKind::Other(other.to_owned()),
        };
        Ok(Self {
            start: number("start_extent")?,
            extents: number("extent_count")?,
            kind,
        })
    }
}

/// Identifiers are written in groups.
fn plain_id(id: &str) -> String {
    id.chars().filter(|c| *c != '-').collect()
}

/// What LVM2 takes as a name, so that a name is never a path.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 127
        && name != "."
        && name != ".."
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.+".contains(&b))
}
