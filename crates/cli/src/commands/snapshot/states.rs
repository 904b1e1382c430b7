//! `disksmith snapshot diff`, `export`, `import`, and the tree of `list`.

use super::ImageArgs;
use crate::clock;
use crate::commands::gate_args::GateArgs;
use crate::commands::key_args::KeyArgs;
use crate::commands::{Globals, ImageFormat, Watch, image_unchanged};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_image::{
    ConvertOptions, Format, Keys, NewSnapshot, OpenOptions, SnapshotKey, export_snapshot, human_size,
    import_snapshot, snapshot_diff, snapshot_tree, snapshot_tree_to_human,
};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// The first snapshot's name or id
    first: OsString,
    /// The second one's; the disk as it is now where it is not said
    second: Option<OsString>,
    /// Only how much differs
    #[arg(short = 's', long)]
    summary: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// The snapshot's name or id
    name: OsString,
    /// The new image
    target: PathBuf,
    /// Its format
    #[arg(short = 'O', long, value_name = "FORMAT", default_value = "qcow2")]
    output_format: ImageFormat,
    /// Make it an overlay of the image's own backing file
    #[arg(long)]
    keep_backing: bool,
    /// Compress (qcow2)
    #[arg(short = 'c', long)]
    compress: bool,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// The name that the snapshot shall have
    name: OsString,
    /// The image whose disk it shall hold
    source: PathBuf,
    /// That one's format, instead of detecting it
    #[arg(short = 'F', long, value_name = "FORMAT")]
    source_format: Option<ImageFormat>,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

fn open_options(args: &ImageArgs, gate: &GateArgs, keys: &Keys) -> OpenOptions {
    OpenOptions::read()
        .format(args.format.map(Into::into))
        .gate(gate.gate())
        .keys(keys.clone())
}

pub(super) fn tree(args: &ImageArgs, gate: &GateArgs, output: OutputFormat) -> Outcome {
    let open = open_options(args, gate, &Keys::none()).metadata_only();
    let nodes = snapshot_tree(&args.image, &open)?;
    if output == OutputFormat::Human {
        print(snapshot_tree_to_human(&nodes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let list = nodes.iter().map(|node| {
        let parent = node.parent.and_then(|place| nodes.get(place));
        json!({
            "id": node.id,
            "name": node.name,
            "parent-id": parent.and_then(|parent| parent.id.clone()),
            "own": node.own,
        })
    });
    print_json(&list.collect::<Value>())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn diff(args: &DiffArgs, globals: &Globals) -> Outcome {
    let keys = args.keys.keys()?;
    let second = args.second.as_ref().map(|name| name.as_bytes());
    let watch = Watch::start("comparing", globals);
    let result = snapshot_diff(
        &args.image.image,
        SnapshotKey::NameOrId(args.first.as_bytes()),
        second.map(SnapshotKey::NameOrId),
        &open_options(&args.image, &args.gate, &keys),
        &watch,
    );
    watch.finish();
    let diff = result?;
    if args.output == OutputFormat::Json {
        let ranges = diff.ranges.iter();
        let ranges: Vec<Value> = ranges
            .map(|(start, length)| json!({"start": start, "length": length}))
            .collect();
        let mut value = json!({
            "from-size": diff.from_size,
            "to-size": diff.to_size,
            "different": diff.different,
        });
        if let Some(members) = value.as_object_mut().filter(|_| !args.summary) {
            members.insert("ranges".into(), json!(ranges));
        }
        print_json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    if !args.summary {
        for (start, length) in &diff.ranges {
            text.push_str(&format!("{start:#x} {length:#x}\n"));
        }
    }
    if diff.from_size != diff.to_size {
        text.push_str(&format!("sizes: {} and {} bytes\n", diff.from_size, diff.to_size));
    }
    text.push_str(&format!("{} differ\n", human_size(diff.different)));
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(args: &ExportArgs, globals: &Globals) -> Outcome {
    let keys = args.keys.keys()?;
    let format: Format = args.output_format.into();
    let options = ConvertOptions {
        compress: args.compress,
        ..ConvertOptions::new(format)
    };
    let watch = Watch::start("exporting", globals);
    let result = export_snapshot(
        &args.image.image,
        SnapshotKey::NameOrId(args.name.as_bytes()),
        &args.target,
        args.keep_backing,
        &open_options(&args.image, &args.gate, &keys),
        &options,
        &watch,
    );
    watch.finish();
    let unchanged = image_unchanged(std::slice::from_ref(&args.image.image));
    let report = result.map_err(|e| unchanged(Failure::from(e)))?;
    globals.say(|| {
        format!(
            "{}: {} {}, {} of data",
            args.target.display(),
            format.name(),
            human_size(report.virtual_size),
            human_size(report.data)
        )
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn import(args: &ImportArgs, globals: &Globals) -> Outcome {
    let keys = args.keys.keys()?;
    let now = clock::now()?;
    let new = NewSnapshot {
        name: args.name.as_bytes().to_vec(),
        date_seconds: u32::try_from(now.seconds).unwrap_or(u32::MAX),
        date_nanoseconds: now.nanoseconds,
        vm_clock: 0,
    };
    let source = OpenOptions::read()
        .format(args.source_format.map(Into::into))
        .gate(args.gate.gate())
        .keys(keys.clone());
    let watch = Watch::start("importing", globals);
    let result = import_snapshot(
        &args.image.image,
        &args.source,
        &new,
        &open_options(&args.image, &args.gate, &keys),
        &source,
        &watch,
    );
    watch.finish();
    let unchanged = image_unchanged(std::slice::from_ref(&args.image.image));
    let made = result.map_err(|e| unchanged(Failure::from(e)))?;
    globals.say(|| {
        format!(
            "{}: made snapshot {} '{}' of {}",
            args.image.image.display(),
            made.id,
            made.name,
            args.source.display()
        )
    });
    Ok(ExitCode::SUCCESS)
}
