//! A schema whose definitions are read when they are wanted first: most documents need three of the sixty.

use serde_json::Value;
use std::sync::OnceLock;

/// A schema as `schemas/strip` writes it: each definition on a line of its own.
#[derive(Debug)]
pub(super) struct Definitions {
    /// The schema without its definitions.
    root: Value,
    definitions: Vec<Definition>,
}

#[derive(Debug)]
struct Definition {
    name: &'static str,
    text: &'static str,
    parsed: OnceLock<Value>,
}

impl Definition {
    fn value(&self) -> &Value {
        self.parsed
            .get_or_init(|| serde_json::from_str(self.text).unwrap_or_default())
    }
}

impl Definitions {
    /// Takes a schema apart. What is not written as `schemas/strip` writes it is no schema that allows anything else than it did:
    /// the tests compare what is read here with the whole.
    pub(super) fn read(text: &'static str) -> Self {
        let (definitions, root) = text
            .strip_prefix("{\"$defs\":{\n")
            .and_then(|rest| rest.split_once("\n},"))
            .unwrap_or(("", text));
        let root = match root.starts_with('{') {
            true => serde_json::from_str(root),
            false => serde_json::from_str(&format!("{{{root}")),
        };
        let definitions = definitions.lines().filter_map(|line| {
            let (name, text) = line.strip_prefix('"')?.split_once("\":")?;
            Some(Definition {
                name,
                text: text.strip_suffix(',').unwrap_or(text),
                parsed: OnceLock::new(),
            })
        });
        Self {
            definitions: definitions.collect(),
            root: root.unwrap_or_default(),
        }
    }

    /// The schema itself.
    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// What a reference within the schema leads to.
    pub(super) fn target(&self, reference: &str) -> Option<&Value> {
        let mut parts = reference.strip_prefix("#/")?.split('/');
        let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
        let mut place = match parts.next()? {
            "$defs" => self.definition(&unescaped(parts.next()?))?.value(),
            first => self.root.get(unescaped(first))?,
        };
        for part in parts {
            place = place.get(unescaped(part))?;
        }
        Some(place)
    }

    /// Whether what a reference of the root's `allOf` leads to may have to say something of one of these keys. The definitions that
    /// stand there speak of nothing but properties, so that one in which no key's name occurs has nothing to say.
    pub(super) fn concerns(&self, reference: &str, keys: &[&str]) -> bool {
        let name = reference.strip_prefix("#/$defs/");
        let Some(definition) = name.and_then(|name| self.definition(name)) else {
            return true;
        };
        let quoted = |key: &&str| {
            definition.text.match_indices(*key).any(|(at, _)| {
                let before = definition.text.get(..at).is_some_and(|text| text.ends_with('"'));
                before
                    && definition
                        .text
                        .get(at + key.len()..)
                        .is_some_and(|text| text.starts_with("\":"))
            })
        };
        keys.iter().any(quoted)
    }

    fn definition(&self, name: &str) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schema;
    use super::*;

    #[test]
    fn the_lines_hold_what_the_whole_holds() {
        for schema in [Schema::CloudConfig, Schema::NetworkV1, Schema::NetworkV2] {
            let mut whole: Value = serde_json::from_str(schema.text()).unwrap();
            let definitions = whole.as_object_mut().unwrap().remove("$defs").unwrap();
            let read = Definitions::read(schema.text());
            assert_eq!(read.root, whole);
            let definitions = definitions.as_object().unwrap();
            assert_eq!(read.definitions.len(), definitions.len());
            for (name, value) in definitions {
                assert_eq!(read.target(&format!("#/$defs/{name}")), Some(value), "{name}");
            }
        }
    }

    /// What [`Definitions::concerns`] builds upon.
    #[test]
    fn the_modules_speak_of_properties_only() {
        let schema = Definitions::read(Schema::CloudConfig.text());
        let known = schema.root["properties"].as_object().unwrap();
        assert!(known.values().all(|v| v == &serde_json::json!({})));
        let all = schema.root["allOf"].as_array().unwrap();
        assert!(all.len() > 50);
        for part in all {
            let reference = part["$ref"].as_str().unwrap();
            assert_eq!(part.as_object().unwrap().len(), 1);
            let module = schema.target(reference).unwrap().as_object().unwrap();
            for (keyword, value) in module {
                match keyword.as_str() {
                    "type" => assert_eq!(value, "object", "{reference}"),
                    "additionalProperties" => assert_eq!(value, true, "{reference}"),
                    "properties" => {
                        for key in value.as_object().unwrap().keys() {
                            assert!(known.contains_key(key), "{reference}: {key}");
                            assert!(schema.concerns(reference, &[key]), "{reference}: {key}");
                        }
                    }
                    other => panic!("{reference}: {other}"),
                }
            }
            assert!(!schema.concerns(reference, &["no-such-key"]));
        }
    }
}
