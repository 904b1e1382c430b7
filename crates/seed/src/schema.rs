//! cloud-init's own JSON schemas, and what a document has that they do not allow.
//!
//! The schemas are those of cloud-init 25.1.4 (see `schemas/README.md`), evaluated as `cloud-init schema` does: by the rules of JSON
//! Schema draft 4, and what is only deprecated is no fault.

mod definitions;
mod evaluate;
mod instance;
mod pattern;

use crate::diagnostic::{Findings, Severity};
use crate::yaml::Yaml;
use definitions::Definitions;
use evaluate::Evaluator;
use std::sync::OnceLock;

/// A schema that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// `#cloud-config`.
    CloudConfig,
    /// network-config, version 1.
    NetworkV1,
    /// network-config, version 2.
    NetworkV2,
}

impl Schema {
    fn text(self) -> &'static str {
        match self {
            Self::CloudConfig => include_str!("../schemas/schema-cloud-config-v1.json"),
            Self::NetworkV1 => include_str!("../schemas/schema-network-config-v1.json"),
            Self::NetworkV2 => include_str!("../schemas/schema-network-config-v2.json"),
        }
    }

    /// The schema, which is read when it is wanted first.
    fn document(self) -> &'static Definitions {
        static READ: [OnceLock<Definitions>; 3] = [const { OnceLock::new() }; 3];
        let [cloud_config, network_v1, network_v2] = &READ;
        let cell = match self {
            Self::CloudConfig => cloud_config,
            Self::NetworkV1 => network_v1,
            Self::NetworkV2 => network_v2,
        };
        cell.get_or_init(|| Definitions::read(self.text()))
    }
}

/// Adds what a schema does not allow, as far as nothing is said of that place yet. `known` are names that may stand where the schema has
/// no place for them, because something else in the guest takes them.
pub(crate) fn check(schema: Schema, root: &Yaml, known: &[&str], findings: &mut Findings) {
    let Some(severity) = findings.schema else { return };
    let document = schema.document();
    let mut evaluator = Evaluator::new(document);
    let mut problems = Vec::new();
    evaluator.evaluate_root(root, &mut problems);
    for problem in problems {
        let excused = problem.name.as_deref().is_some_and(|name| known.contains(&name));
        if problem.deprecated {
            if severity == Severity::Error {
                findings.unless_told(Severity::Note, "deprecated", problem.at, problem.message);
            }
        } else if excused {
            findings.unless_told(Severity::Note, "schema", problem.at, problem.message);
        } else {
            findings.unless_told(severity, "schema", problem.at, problem.message);
        }
    }
    if evaluator.is_exhausted() {
        let message = "too large to be compared with all of the schema";
        findings.warning("schema-size", (1, 1), message, None);
    }
}
