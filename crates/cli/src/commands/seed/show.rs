//! `disksmith seed show`.

use super::disk::{self, Target};
use crate::failure::Outcome;
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_seed::{Contents, DataSource, Shown, show};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print what is in a seed, decoded: MIME parts, gzip, base64
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// An ISO or disk image, a folder, or a document
    file: PathBuf,
    /// How to print it
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    format: OutputFormat,
}

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let (seed, shown) = match disk::open(&args.file, false)? {
        Target::Seed(seed) => {
            let shown: Vec<Shown> = seed.files.iter().map(|(path, bytes)| show(path, bytes)).collect();
            (Some(seed), shown)
        }
        Target::Document(document) => (None, vec![show(&document.name, &document.bytes)]),
    };
    match args.format {
        OutputFormat::Json => print_json(&json!({
            "file": args.file.display().to_string(),
            "filesystem": seed.as_ref().and_then(|s| s.filesystem),
            "label": seed.as_ref().and_then(|s| s.label.clone()),
            "datasource": seed.as_ref().map(|s| data_source(s)),
            "files": shown.iter().map(as_json).collect::<Vec<_>>(),
        }))?,
        OutputFormat::Human => {
            let mut out = String::new();
            if let Some(seed) = &seed {
                let kind = seed.filesystem.unwrap_or("folder");
                let label = seed.label.as_deref().unwrap_or("");
                out.push_str(&format!(
                    "{}: {kind}, label {label:?}, {}\n",
                    seed.name,
                    data_source(seed)
                ));
            }
            for one in &shown {
                text(one, 0, &mut out);
            }
            print(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn data_source(seed: &Contents) -> &'static str {
    match seed.data_source {
        DataSource::NoCloud => "nocloud",
        DataSource::ConfigDrive => "configdrive",
    }
}

fn as_json(shown: &Shown) -> Value {
    json!({
        "name": shown.name, "type": shown.content_type, "decoded": shown.decoded, "size": shown.size,
        "text": shown.text, "parts": shown.parts.iter().map(as_json).collect::<Vec<_>>(),
    })
}

fn text(shown: &Shown, depth: usize, out: &mut String) {
    let mut head = vec![format!("{} bytes", shown.size)];
    head.extend(shown.content_type.clone());
    head.extend(shown.decoded.iter().map(|d| format!("{d}, decoded")));
    let mark = "=".repeat(depth + 2);
    out.push_str(&format!("{mark} {} ({}) {mark}\n", shown.name, head.join(", ")));
    match &shown.text {
        Some(text) => {
            // a terminal takes no orders from a seed
            out.extend(text.chars().map(|c| match c {
                '\n' | '\t' => c,
                '\r' => ' ',
                c if c.is_control() => '\u{fffd}',
                c => c,
            }));
            if !text.ends_with('\n') && !text.is_empty() {
                out.push('\n');
            }
        }
        None if shown.parts.is_empty() => out.push_str("(no text)\n"),
        None => {}
    }
    for part in &shown.parts {
        self::text(part, depth + 1, out);
    }
}
