//! Evaluating a schema: the keywords of JSON Schema draft 4, and the two that cloud-init adds (`deprecated`, `changed`).

use super::definitions::Definitions;
use super::instance::{Kind, equals, kind, same};
use super::pattern;
use crate::yaml::Yaml;
use serde_json::{Map, Value};

/// So many schemas are compared with values of one document.
const MAX_STEPS: u32 = 2_000_000;
/// So deep may schemas and values lie in each other.
const MAX_DEPTH: usize = 256;
/// Longer lists are not searched for equal items.
const MAX_UNIQUE: usize = 2000;
/// So many problems are gathered.
const MAX_PROBLEMS: usize = 200;

/// Something that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Line and column.
    pub(super) at: (usize, usize),
    /// What is wrong.
    pub(super) message: String,
    /// Whether it is allowed all the same.
    pub(super) deprecated: bool,
    /// The key that has no place there.
    pub(super) name: Option<String>,
    /// How deep in the document.
    depth: usize,
    /// Whether it is about the value of a key `type`.
    of_type: bool,
}

/// Evaluates a schema, with a bound on the work.
pub(super) struct Evaluator<'a> {
    schema: &'a Definitions,
    steps: u32,
    nested: usize,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(schema: &'a Definitions) -> Self {
        Self {
            schema,
            steps: 0,
            nested: 0,
        }
    }

    /// Whether the work was not done to its end.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps >= MAX_STEPS
    }

    /// Gathers the problems of a document. Definitions that have nothing to say of its keys are not looked at.
    pub(super) fn evaluate_root(&mut self, node: &Yaml, out: &mut Vec<Problem>) {
        let Value::Object(root) = self.schema.root() else {
            return;
        };
        let found = kind(node);
        let known = root.get("properties").and_then(Value::as_object);
        let keys: Option<Vec<&str>> = known.filter(|_| found == Kind::Object).map(|known| {
            let names = node.entries().iter().filter_map(|(key, _)| key.text());
            names.filter(|name| known.contains_key(*name)).collect()
        });
        for (keyword, value) in root {
            if let ("allOf", Some(keys), Some(parts)) = (keyword.as_str(), &keys, value.as_array()) {
                for part in parts {
                    let reference = part.get("$ref").and_then(Value::as_str);
                    if reference.is_none_or(|reference| self.schema.concerns(reference, keys)) {
                        self.evaluate(part, node, 0, out);
                    }
                }
            } else {
                self.keyword(keyword, value, root, (node, found, 0), out);
            }
        }
    }

    /// Gathers the problems of a value, `depth` below the root of the document.
    pub(super) fn evaluate(&mut self, schema: &'a Value, node: &Yaml, depth: usize, out: &mut Vec<Problem>) {
        self.steps = self.steps.saturating_add(1);
        let found = kind(node);
        let Value::Object(schema) = schema else { return };
        let enough = self.is_exhausted() || self.nested > MAX_DEPTH || out.len() >= MAX_PROBLEMS;
        if found == Kind::Opaque || enough {
            return;
        }
        self.nested += 1;
        for (keyword, value) in schema {
            self.keyword(keyword, value, schema, (node, found, depth), out);
        }
        self.nested -= 1;
    }

    fn keyword(
        &mut self,
        keyword: &str,
        value: &'a Value,
        schema: &'a Map<String, Value>,
        (node, found, depth): (&Yaml, Kind, usize),
        out: &mut Vec<Problem>,
    ) {
        let mut add = |message: String| {
            out.push(Problem {
                at: node.at,
                message,
                deprecated: false,
                name: None,
                depth,
                of_type: false,
            });
        };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        match keyword {
            "$ref" => {
                if let Some(target) = value.as_str().and_then(|reference| self.schema.target(reference)) {
                    self.evaluate(target, node, depth, out);
                }
            }
            "type" => {
                let names = one_or_more(value);
                if !names.iter().any(|name| found.is(name)) {
                    let wanted: Vec<&str> = names.iter().map(|name| type_name(name)).collect();
                    add(format!(
                        "should be {}, and this is {}",
                        wanted.join(" or "),
                        found.name()
                    ));
                }
            }
            "enum" => {
                let allowed = value.as_array().map_or(&[][..], Vec::as_slice);
                if !allowed.is_empty() && !allowed.iter().any(|a| equals(node, a)) {
                    let list: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                    add(format!("should be one of {}", list.join(", ")));
                }
            }
            "allOf" => {
                for part in value.as_array().map_or(&[][..], Vec::as_slice) {
                    self.evaluate(part, node, depth, out);
                }
            }
            "oneOf" | "anyOf" => self.alternatives(keyword == "oneOf", value, node, depth, out),
            "required" if found == Kind::Object => {
                for name in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if node.get(name).is_none() {
                        add(format!("the key {name:?} is missing"));
                    }
                }
            }
            "properties" if found == Kind::Object => {
                let Value::Object(properties) = value else { return };
                for (key, inner) in node.entries() {
                    if let Some(schema) = key.text().and_then(|name| properties.get(name)) {
                        let before = out.len();
                        self.evaluate(schema, inner, depth + 1, out);
                        if key.text() == Some("type") {
                            out.iter_mut().skip(before).for_each(|p| p.of_type = true);
                        }
                    }
                }
            }
            "patternProperties" if found == Kind::Object => {
                let Value::Object(patterns) = value else { return };
                for (key, inner) in node.entries() {
                    for (pattern, schema) in patterns {
                        if key
                            .text()
                            .is_some_and(|name| pattern::finds(pattern, name) == Some(true))
                        {
                            self.evaluate(schema, inner, depth + 1, out);
                        }
                    }
                }
            }
            "additionalProperties" if found == Kind::Object => {
                self.additional(value, schema, node, depth, out);
            }
            "items" if found == Kind::Array && value.is_object() => {
                for item in node.items() {
                    self.evaluate(value, item, depth + 1, out);
                }
            }
            "minItems" if found == Kind::Array && node.items().len() < number => {
                add(format!("should have {number} or more items"));
            }
            "maxItems" if found == Kind::Array && node.items().len() > number => {
                add(format!("should have at most {number} items"));
            }
            "minProperties" if found == Kind::Object && node.entries().len() < number => {
                add(format!("should have {number} or more keys"));
            }
            "maxLength" if found == Kind::Text && node.text().is_some_and(|t| t.chars().count() > number) => {
                add(format!("should have at most {number} characters"));
            }
            "uniqueItems" if found == Kind::Array && value == &Value::Bool(true) => {
                let items = node.items();
                let twice = items
                    .iter()
                    .take(MAX_UNIQUE)
                    .enumerate()
                    .find(|(at, item)| items.iter().take(*at).any(|other| same(other, item)));
                if let Some((_, item)) = twice {
                    out.push(Problem {
                        at: item.at,
                        message: "the same item stands in the list twice".into(),
                        deprecated: false,
                        name: None,
                        depth,
                        of_type: false,
                    });
                }
            }
            "minimum" | "maximum" if matches!(found, Kind::Integer | Kind::Number) => {
                let (Some(limit), Some(is)) =
                    (value.as_f64(), node.text().and_then(|t| t.parse::<f64>().ok()))
                else {
                    return;
                };
                if keyword == "minimum" && is < limit {
                    add(format!("should be {limit} or more"));
                } else if keyword == "maximum" && is > limit {
                    add(format!("should be at most {limit}"));
                }
            }
            "pattern" if found == Kind::Text => {
                if let (Some(pattern), Some(text)) = (value.as_str(), node.text())
                    && pattern::finds(pattern, text) == Some(false)
                {
                    add(format!("does not have the form {pattern}"));
                }
            }
            "format"
                if found == Kind::Text && value == "date" && !node.text().is_some_and(is_calendar_date) =>
            {
                add("should be a date like 2030-12-31".to_string());
            }
            "deprecated" | "changed" if value == &Value::Bool(true) => {
                let more = |what: &str| schema.get(&format!("{keyword}_{what}")).and_then(Value::as_str);
                let since = more("version").unwrap_or("?");
                let text = more("description")
                    .unwrap_or("")
                    .replace("``", "")
                    .replace("**", "");
                let message = format!("{keyword} in cloud-init {since}: {text}");
                out.push(Problem {
                    at: node.at,
                    message: message.trim_end_matches(": ").to_string(),
                    deprecated: true,
                    name: None,
                    depth,
                    of_type: false,
                });
            }
            _ => {}
        }
    }

    fn additional(
        &mut self,
        value: &'a Value,
        schema: &'a Map<String, Value>,
        node: &Yaml,
        depth: usize,
        out: &mut Vec<Problem>,
    ) {
        let names = schema.get("properties").and_then(Value::as_object);
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for (key, inner) in node.entries() {
            let Some(name) = key.text() else { continue };
            let named = names.is_some_and(|names| names.contains_key(name));
            let matched = || {
                patterns.is_some_and(|p| {
                    p.keys()
                        .any(|pattern| pattern::finds(pattern, name) != Some(false))
                })
            };
            if named || matched() {
                continue;
            }
            match value {
                Value::Bool(false) => out.push(Problem {
                    at: key.at,
                    message: format!("the key {name:?} has no place here"),
                    deprecated: false,
                    name: Some(name.into()),
                    depth,
                    of_type: false,
                }),
                Value::Object(_) => self.evaluate(value, inner, depth + 1, out),
                _ => {}
            }
        }
    }

    /// `oneOf` (`exactly_one`) and `anyOf`: of the alternatives that do not fit, the one that fits best is told.
    fn alternatives(
        &mut self,
        exactly_one: bool,
        value: &'a Value,
        node: &Yaml,
        depth: usize,
        out: &mut Vec<Problem>,
    ) {
        let own_type = node.get("type").and_then(Yaml::text);
        let mut failed: Vec<Problem> = Vec::new();
        let mut of_own_type = None;
        let mut fitting = 0;
        for alternative in value.as_array().map_or(&[][..], Vec::as_slice) {
            let mut problems = Vec::new();
            self.evaluate(alternative, node, depth, &mut problems);
            if problems.iter().all(|p| p.deprecated) {
                fitting += 1;
                if fitting == 1 {
                    out.append(&mut problems);
                }
                if !exactly_one {
                    return;
                }
                continue;
            }
            problems.retain(|p| !p.deprecated);
            let reference = alternative.get("$ref").and_then(Value::as_str);
            let is_own = reference
                .zip(own_type)
                .is_some_and(|(r, own)| r.strip_suffix(own).is_some_and(|r| r.ends_with("type_")));
            if is_own && of_own_type.is_none() {
                of_own_type = Some(problems);
            } else if own_type.is_none() || failed.is_empty() || problems.iter().all(|p| !p.of_type) {
                failed.append(&mut problems);
            }
        }
        match fitting {
            0 => match of_own_type {
                Some(mut problems) => out.append(&mut problems),
                None => out.extend(best(failed, node)),
            },
            1 => {}
            _ => out.push(Problem {
                at: node.at,
                message: "fits several forms of which only one may be meant".into(),
                deprecated: false,
                name: None,
                depth,
                of_type: false,
            }),
        }
    }
}

/// Of the problems of several alternatives those that lie deepest; several of one place become one.
fn best(failed: Vec<Problem>, node: &Yaml) -> Vec<Problem> {
    let Some(deepest) = failed.iter().map(|p| p.depth).max() else {
        return Vec::new();
    };
    let mut out: Vec<Problem> = Vec::new();
    for problem in failed.into_iter().filter(|p| p.depth == deepest) {
        match out.iter_mut().find(|p| p.at == problem.at) {
            Some(same) if same.message.contains(&problem.message) => {}
            Some(same) => same.message = format!("{}, or {}", same.message, problem.message),
            None => out.push(problem),
        }
    }
    if out.is_empty() {
        out.push(Problem {
            at: node.at,
            message: "has none of the forms that it may have".into(),
            deprecated: false,
            name: None,
            depth: deepest,
            of_type: false,
        });
    }
    out
}

fn one_or_more(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn type_name(name: &str) -> &'static str {
    match name {
        "null" => "empty",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a mapping",
        _ => "something else",
    }
}

/// A day that exists, written `YYYY-MM-DD`.
fn is_calendar_date(text: &str) -> bool {
    let parts: Vec<Option<u32>> = text.split('-').map(|p| p.parse().ok()).collect();
    let [Some(year), Some(month), Some(day)] = parts.as_slice() else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    text.len() == 10 && *year > 0 && (1..=days).contains(day)
}
