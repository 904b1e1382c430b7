//! Many seeds at once: a table with a row for each.

use crate::csv;
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::{Error, Result};
use crate::seed::{BuildOptions, SeedSource};
use disksmith_storage::{Durability, Existing};
use rayon::prelude::*;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Rows that a table may have.
const MAX_ROWS: usize = 1_000_000;

/// So many different remarks are kept of a table.
const MAX_REMARKS: usize = 100;

/// What one seed is filled with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The line of the table, or the number of the seed; from 1.
    pub number: u64,
    /// Values by name.
    pub values: Vec<(String, String)>,
}

impl Row {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

fn wrong(row: u64, reason: impl Into<String>) -> Error {
    Error::Row {
        row,
        reason: reason.into(),
    }
}

fn of_row(row: u64, source: Error) -> Error {
    Error::OfRow {
        row,
        source: Box::new(source),
    }
}

/// Reads a table of comma-separated values, whose first row has the names.
///
/// # Errors
/// [`Error::Row`] with the line.
pub fn read_csv(text: &str) -> Result<Vec<Row>> {
    let mut rows = csv::rows(text)?.into_iter();
    let Some((line, names)) = rows.next() else {
        return Err(wrong(
            1,
            "the table is empty; its first row has the names of the columns",
        ));
    };
    let names: Vec<String> = names.into_iter().map(|name| name.trim().to_string()).collect();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(wrong(line, format!("column {} has no name", at + 1)));
        }
        if names.iter().take(at).any(|other| other == name) {
            return Err(wrong(line, format!("two columns have the name {name:?}")));
        }
    }
    let mut out = Vec::new();
    for (line, fields) in rows {
        if fields.len() != names.len() {
            let reason = format!(
                "has {} field{}, and the first row has {}",
                fields.len(),
                if fields.len() == 1 { "" } else { "s" },
                names.len()
            );
            return Err(wrong(line, reason));
        }
        out.push(Row {
            number: line,
            values: names.iter().cloned().zip(fields).collect(),
        });
        if out.len() > MAX_ROWS {
            return Err(wrong(line, "is one of more than a million"));
        }
    }
    Ok(out)
}

/// Reads a table of JSON objects, one a line.
///
/// # Errors
/// [`Error::Row`] with the line.
pub fn read_json_lines(text: &str) -> Result<Vec<Row>> {
    let mut out = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index as u64 + 1;
        if line.trim().is_empty() {
            continue;
        }
        let object = match serde_json::from_str(line) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(wrong(number, "is no JSON object")),
            Err(error) => return Err(wrong(number, format!("is not valid JSON: {error}"))),
        };
        let mut values = Vec::new();
        for (name, value) in object {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(is) => is.to_string(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            values.push((name, text));
        }
        out.push(Row { number, values });
        if out.len() > MAX_ROWS {
            return Err(wrong(number, "is one of more than a million"));
        }
    }
    Ok(out)
}

/// A fleet whose rows were all tried: every seed can be made, and no two have one name.
#[derive(Debug)]
pub struct Fleet {
    seeds: Vec<(u64, PathBuf, SeedSource)>,
    remarks: Vec<Remark>,
}

/// Something that was found in documents of several rows, but refuses none of them.
#[derive(Debug)]
struct Remark {
    row: u64,
    diagnostic: Diagnostic,
    others: u64,
}

impl Remark {
    /// Adds what was found in a row: the same thing at the same place of the same document is one remark.
    fn add(remarks: &mut Vec<Self>, row: u64, diagnostic: Diagnostic) {
        let same = |remark: &&mut Self| {
            let there = &remark.diagnostic;
            there.file == diagnostic.file
                && (there.line, there.column, there.code)
                    == (diagnostic.line, diagnostic.column, diagnostic.code)
        };
        if let Some(remark) = remarks.iter_mut().find(same) {
            remark.others += 1;
            if row < remark.row {
                (remark.row, remark.diagnostic) = (row, diagnostic);
            }
        } else if remarks.len() < MAX_REMARKS {
            remarks.push(Self {
                row,
                diagnostic,
                others: 0,
            });
        }
    }
}

impl Fleet {
    /// Makes the documents of every row, by `seed_of`, and checks them all before anything is written.
    ///
    /// # Errors
    /// That of the first row which makes no seed, with its number; [`Error::Row`] for two rows with the same output, and
    /// where an output exists that may not be replaced.
    pub fn plan(
        rows: &[Row],
        options: &BuildOptions,
        existing: Existing,
        seed_of: impl Fn(&Row) -> Result<(PathBuf, SeedSource)> + Sync,
    ) -> Result<Self> {
        let remarks = Mutex::new(Vec::new());
        let planned: Vec<Result<(u64, PathBuf, SeedSource)>> = rows
            .par_iter()
            .map(|row| {
                let in_row = |error: Error| match error {
                    error @ Error::Row { .. } => error,
                    other => of_row(row.number, other),
                };
                let (path, seed) = seed_of(row).map_err(in_row)?;
                seed.check_settings(options).map_err(in_row)?;
                if options.validate {
                    let mut found = seed.validate();
                    found.retain(|d| d.severity >= options.refuse.min(Severity::Warning));
                    if found.iter().any(|d| d.severity >= options.refuse) {
                        return Err(in_row(Error::Invalid { diagnostics: found }));
                    }
                    if !found.is_empty() {
                        let mut remarks = remarks.lock().unwrap_or_else(PoisonError::into_inner);
                        for diagnostic in found {
                            Remark::add(&mut remarks, row.number, diagnostic);
                        }
                    }
                }
                if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
                    return Err(in_row(Error::OutputExists { path }));
                }
                Ok((row.number, path, seed))
            })
            .collect();
        let seeds = planned.into_iter().collect::<Result<Vec<_>>>()?;
        let mut names: HashMap<&Path, u64> = HashMap::new();
        for (row, path, _) in &seeds {
            if let Some(first) = names.insert(path, *row) {
                let reason = format!("makes {} as row {first} does", path.display());
                return Err(wrong(*row, reason));
            }
        }
        let mut remarks = remarks.into_inner().unwrap_or_else(PoisonError::into_inner);
        remarks.sort_by_key(|remark: &Remark| (remark.row, remark.diagnostic.line));
        Ok(Self { seeds, remarks })
    }

    /// What was found in the documents and refuses no row: the first row that has it, what it is there, and how many other rows have
    /// the same at the same place.
    pub fn remarks(&self) -> impl Iterator<Item = (u64, &Diagnostic, u64)> {
        self.remarks.iter().map(|r| (r.row, &r.diagnostic, r.others))
    }

    /// The files that will be made.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.seeds.iter().map(|(_, path, _)| path.as_path())
    }

    /// Writes all seeds, on several threads. Each appears whole or not at all; `made` hears of each that is there.
    ///
    /// # Errors
    /// That of the first row which could not be written; the others may be there.
    pub fn write(
        &self,
        options: &BuildOptions,
        existing: Existing,
        durability: Durability,
        made: impl Fn(&Path) + Sync,
    ) -> Result<()> {
        self.seeds.par_iter().try_for_each(|(row, path, seed)| {
            let write = || -> Result<()> {
                seed.build_validated(options, Vec::new())?
                    .write_file(path, existing, durability)?;
                made(path);
                Ok(())
            };
            write().map_err(|error| of_row(*row, error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_and_their_faults_have_a_line() {
        let rows = read_csv("name,ip\nweb1,10.0.0.1\nweb2,10.0.0.2\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].number, rows[1].get("ip")), (3, Some("10.0.0.2")));
        let rows = read_json_lines("{\"name\":\"a\",\"n\":3}\n\n{\"name\":\"b\",\"n\":null}").unwrap();
        assert_eq!((rows[0].get("n"), rows[1].number), (Some("3"), 3));
        for (text, line) in [
            ("a,b\n1\n", "row 2"),
            ("a,a\n", "row 1"),
            ("", "row 1"),
            ("a,\n", "row 1"),
        ] {
            let said = read_csv(text).unwrap_err().to_string();
            assert!(said.contains(line), "{text:?}: {said}");
        }
        assert!(
            read_json_lines("{}\n[1]\n")
                .unwrap_err()
                .to_string()
                .contains("row 2")
        );
    }
}
