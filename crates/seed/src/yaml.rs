//! YAML with positions: what PyYAML, which cloud-init uses, would make of a document, and where it would stop.

mod position;
mod tag;

use crate::diagnostic::Findings;
use position::{Place, tab_before};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;
use tag::Tagged;

/// Deeper nesting than this is refused.
const MAX_DEPTH: usize = 128;

/// More values than this are not kept; cloud-init itself would take minutes to load them.
const MAX_VALUES: usize = 100_000;

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Yaml {
    pub(crate) value: Value,
    /// Line and column, both from 1.
    pub(crate) at: (usize, usize),
    /// Offset in characters from the start of the text.
    pub(crate) index: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Yaml>),
    Mapping(Vec<(Yaml, Yaml)>),
    /// A reference to an anchor, or something tagged: nothing is known of it.
    Opaque,
}

/// The type that PyYAML gives a value (YAML 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    Sequence,
    Mapping,
    Unknown,
}

impl Type {
    /// As it is said in a message.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Boolean => "a boolean",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Sequence => "a list",
            Self::Mapping => "a mapping",
            Self::Unknown => "unknown",
        }
    }
}

impl Yaml {
    pub(crate) fn value_type(&self) -> Type {
        match &self.value {
            Value::Sequence(_) => Type::Sequence,
            Value::Mapping(_) => Type::Mapping,
            Value::Opaque => Type::Unknown,
            Value::Scalar { plain: false, .. } => Type::Text,
            Value::Scalar { text, plain: true } => match text.as_str() {
                "" | "~" | "null" | "Null" | "NULL" => Type::Null,
                "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false" | "False"
                | "FALSE" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => Type::Boolean,
                number if is_integer(number) => Type::Integer,
                number
                    if number.contains('.')
                        && number.parse::<f64>().is_ok()
                        && !number.contains(char::is_alphabetic) =>
                {
                    Type::Number
                }
                _ => Type::Text,
            },
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Yaml] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entries(&self) -> &[(Yaml, Yaml)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key; of several the last, as PyYAML takes it.
    pub(crate) fn get(&self, key: &str) -> Option<&Yaml> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Yaml, Yaml)> {
        self.entries().iter().rev().find(|(k, _)| k.text() == Some(key))
    }

    /// Whether PyYAML reads a true boolean.
    pub(crate) fn is_true(&self) -> bool {
        self.value_type() == Type::Boolean
            && self
                .text()
                .is_some_and(|t| matches!(t.to_ascii_lowercase().as_str(), "yes" | "true" | "on"))
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hex) = digits.strip_prefix("0x") {
        return !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit());
    }
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '_') && !digits.starts_with('_')
}

/// A collection that is not closed yet.
enum Open {
    Sequence {
        at: (usize, usize),
        index: usize,
        anchor: usize,
        items: Vec<Yaml>,
    },
    Mapping {
        at: (usize, usize),
        index: usize,
        anchor: usize,
        entries: Vec<(Yaml, Yaml)>,
        key: Option<Yaml>,
    },
}

/// Reads one document. Faults go to `findings`; after an error there is no value. A document without content is
/// `Ok(None)`.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Result<Option<Yaml>, ()> {
    let mut place = Place::new(text);
    let mut parser = Parser::new_from_str(text);
    let mut stack: Vec<Open> = Vec::new();
    let mut root = None;
    let mut documents = 0usize;
    let mut values = 0usize;
    let mut depth = 0usize;
    let mut tab_told = false;
    // What has an anchor, and how many values it holds.
    let mut anchored: HashMap<usize, (Yaml, usize)> = HashMap::new();
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let marker = error.marker();
                if !tab_told {
                    syntax_error(text, (marker.line(), marker.col() + 1), error.info(), findings);
                }
                return Err(());
            }
        };
        let at = position(&span);
        if !tab_told
            && !span.is_empty_span()
            && let Some(column) = tab_before(&mut place, at)
        {
            tab(at.0, column, findings);
            tab_told = true;
        }
        let index = span.start.index();
        let tagged = match &event {
            Event::Scalar(_, _, _, Some(found)) => Some(tag::check(found, Type::Text, at, findings)),
            Event::SequenceStart(_, Some(found)) => Some(tag::check(found, Type::Sequence, at, findings)),
            Event::MappingStart(_, Some(found)) => Some(tag::check(found, Type::Mapping, at, findings)),
            _ => None,
        };
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            Event::Scalar(..) | Event::Alias(_) => values += 1,
            _ => {}
        }
        if values == MAX_VALUES + 1 && matches!(event, Event::Scalar(..) | Event::Alias(_)) {
            let message = format!("more than {MAX_VALUES} values; only the syntax and the tags were checked");
            findings.warning("yaml-size", at, message, None);
            (stack, root) = (Vec::new(), None);
        }
        let built = values <= MAX_VALUES;
        let mut anchor = match &event {
            Event::Scalar(_, _, anchor, _) => *anchor,
            _ => 0,
        };
        let done = match event {
            Event::StreamStart | Event::StreamEnd | Event::Nothing | Event::DocumentEnd => None,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    let fix = "join the documents to one, or make each a part of its own".to_string();
                    findings.error(
                        "yaml-documents",
                        at,
                        "a second YAML document starts here; cloud-init takes only one",
                        fix,
                    );
                    return Err(());
                }
                None
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if depth > MAX_DEPTH => {
                findings.error(
                    "yaml-depth",
                    at,
                    format!("nested deeper than {MAX_DEPTH} levels"),
                    None,
                );
                return Err(());
            }
            _ if !built => None,
            Event::Alias(id) => {
                let value = match anchored.get(&id) {
                    Some((node, held)) if values.saturating_add(*held) <= MAX_VALUES => {
                        values += held;
                        node.value.clone()
                    }
                    _ => Value::Opaque,
                };
                Some(Yaml { value, at, index })
            }
            Event::Scalar(text, style, _, _) => {
                let value = match tagged {
                    Some(Tagged::Other) => Value::Opaque,
                    Some(Tagged::Text) => Value::Scalar {
                        text: text.into_owned(),
                        plain: false,
                    },
                    Some(Tagged::AsWritten) | None => Value::Scalar {
                        text: text.into_owned(),
                        plain: style == ScalarStyle::Plain,
                    },
                };
                Some(Yaml { value, at, index })
            }
            Event::SequenceStart(anchor, _) => {
                stack.push(Open::Sequence {
                    at,
                    index,
                    anchor,
                    items: Vec::new(),
                });
                None
            }
            Event::MappingStart(anchor, _) => {
                stack.push(Open::Mapping {
                    at,
                    index,
                    anchor,
                    entries: Vec::new(),
                    key: None,
                });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::Sequence {
                    at,
                    index,
                    anchor: own,
                    items,
                }) => {
                    anchor = own;
                    Some(Yaml {
                        value: Value::Sequence(items),
                        at,
                        index,
                    })
                }
                Some(Open::Mapping {
                    at,
                    index,
                    anchor: own,
                    entries,
                    ..
                }) => {
                    duplicate_keys(&entries, findings);
                    anchor = own;
                    Some(Yaml {
                        value: Value::Mapping(merged(entries)),
                        at,
                        index,
                    })
                }
                None => None,
            },
        };
        let Some(node) = done else { continue };
        if anchor != 0 {
            let held = values_in(&node);
            // Copies of what is anchored count as well, or a small document could become a huge one.
            if values.saturating_add(held) <= MAX_VALUES {
                values += held;
                anchored.insert(anchor, (node.clone(), held));
            }
        }
        match stack.last_mut() {
            None => root = Some(node),
            Some(Open::Sequence { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }
    if tab_told || values > MAX_VALUES {
        return Err(());
    }
    Ok(root.filter(|r: &Yaml| r.value_type() != Type::Null))
}

/// How many scalars a value holds, itself among them.
fn values_in(node: &Yaml) -> usize {
    match &node.value {
        Value::Sequence(items) => items.iter().map(values_in).sum::<usize>() + 1,
        Value::Mapping(entries) => {
            entries
                .iter()
                .map(|(k, v)| values_in(k) + values_in(v))
                .sum::<usize>()
                + 1
        }
        _ => 1,
    }
}

/// The entries with those of the mappings that `<<` names, which stand behind the mapping's own.
fn merged(entries: Vec<(Yaml, Yaml)>) -> Vec<(Yaml, Yaml)> {
    let is_merge = |key: &Yaml| matches!(&key.value, Value::Scalar { text, plain: true } if text == "<<");
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return entries;
    }
    let mut own = Vec::new();
    let mut more: Vec<(Yaml, Yaml)> = Vec::new();
    for (key, value) in entries {
        let sources = match &value.value {
            Value::Mapping(_) if is_merge(&key) => std::slice::from_ref(&value),
            Value::Sequence(items)
                if is_merge(&key) && items.iter().all(|i| matches!(i.value, Value::Mapping(_))) =>
            {
                items
            }
            _ => {
                own.push((key, value));
                continue;
            }
        };
        for (name, inner) in sources.iter().flat_map(Yaml::entries) {
            if !more.iter().any(|(there, _)| there.text() == name.text()) {
                more.push((name.clone(), inner.clone()));
            }
        }
    }
    more.retain(|(name, _)| !own.iter().any(|(there, _)| there.text() == name.text()));
    more.append(&mut own);
    more
}

trait EmptySpan {
    fn is_empty_span(&self) -> bool;
}

impl EmptySpan for Span {
    fn is_empty_span(&self) -> bool {
        self.start.index() == self.end.index()
    }
}

fn position(span: &Span) -> (usize, usize) {
    (span.start.line(), span.start.col() + 1)
}

fn tab(line: usize, column: usize, findings: &mut Findings) {
    findings.error(
        "yaml-tab",
        (line, column),
        "a tab stands where YAML allows only spaces; cloud-init would ignore the whole document",
        "replace the tab by spaces".to_string(),
    );
}

fn syntax_error(text: &str, at: (usize, usize), info: &str, findings: &mut Findings) {
    if let Some(column) = tab_before(&mut Place::new(text), at) {
        return tab(at.0, column, findings);
    }
    // The fault that a tab causes shows up at the tab, or on the line before or after.
    for line in [at.0, at.0.saturating_add(1), at.0.saturating_sub(1)] {
        let Some(row) = line.checked_sub(1).and_then(|i| text.lines().nth(i)) else {
            continue;
        };
        let indent = row.chars().take_while(|c| matches!(c, ' ' | '\t'));
        if let Some(column) = indent.clone().position(|c| c == '\t') {
            return tab(line, column + 1, findings);
        }
    }
    let message = format!("not valid YAML: {info}; cloud-init would ignore the whole document");
    findings.error("yaml-syntax", at, message, None);
}

fn duplicate_keys(entries: &[(Yaml, Yaml)], findings: &mut Findings) {
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    for (key, _) in entries {
        let Some(text) = key.text() else { continue };
        if text == "<<" {
            continue;
        }
        if let Some(first) = seen.insert(text, key.at.0) {
            let first = first.saturating_add(findings.line_offset);
            findings.error(
                "yaml-duplicate-key",
                key.at,
                format!("the key {text:?} stands twice; cloud-init would drop the one of line {first} without a word"),
                "join the two".to_string(),
            );
        }
    }
}
