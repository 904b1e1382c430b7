//! `disksmith filesystems`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::Outcome;
use crate::output::{OutputFormat, print, print_json};
use crate::table_text::{csv_field, human_size};
use clap::Args;
use disksmith_guest::{Item, WantedItems, list_items};
use serde_json::json;
use std::process::ExitCode;

/// List filesystems, partitions and volumes on a guest's disks
#[derive(Debug, Args)]
pub(crate) struct FilesystemsArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Filesystems that can be mounted; what is listed unless told otherwise
    #[arg(long)]
    filesystems: bool,
    /// Also swap space, and what holds nothing that is known
    #[arg(long)]
    extra: bool,
    /// Partitions
    #[arg(long, alias = "parts")]
    partitions: bool,
    /// Disks
    #[arg(long, alias = "blkdevs")]
    block_devices: bool,
    /// Logical volumes of LVM
    #[arg(long, alias = "lvs", alias = "logvols")]
    logical_volumes: bool,
    /// Volume groups of LVM
    #[arg(long, alias = "vgs", alias = "volgroups")]
    volume_groups: bool,
    /// Physical volumes of LVM
    #[arg(long, alias = "pvs", alias = "physvols")]
    physical_volumes: bool,
    /// Everything
    #[arg(long)]
    all: bool,
    /// What each is, not only its name
    #[arg(short = 'l', long)]
    long: bool,
    /// With -l: identifiers too
    #[arg(long, alias = "uuids")]
    uuid: bool,
    /// With -l: sizes with a unit
    #[arg(short = 'h', long)]
    human_readable: bool,
    /// Fields between commas
    #[arg(long, conflicts_with = "human_readable")]
    csv: bool,
    /// With -l: no line of titles
    #[arg(long)]
    no_title: bool,
    /// How to print the list
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(crate) fn run(args: &FilesystemsArgs, globals: &Globals) -> Outcome {
    let chosen = WantedItems {
        filesystems: args.filesystems || args.extra,
        extra: args.extra,
        lvs: args.logical_volumes,
        vgs: args.volume_groups,
        pvs: args.physical_volumes,
        partitions: args.partitions,
        devices: args.block_devices,
    };
    let wanted = wanted(chosen, args.all);
    let items = args
        .guest
        .look_at_disks(globals, |disks| list_items(disks, wanted))?;
    if args.output == OutputFormat::Json {
        print_json(&json!(items))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(item_table(
        &items,
        wanted,
        ItemTable {
            long: args.long,
            uuid: args.uuid,
            human_readable: args.human_readable,
            csv: args.csv,
            title: !args.no_title,
        },
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What is listed where nothing was chosen, or everything.
pub(crate) fn wanted(chosen: WantedItems, all: bool) -> WantedItems {
    if all {
        WantedItems::ALL
    } else if chosen == WantedItems::default() {
        WantedItems {
            filesystems: true,
            ..chosen
        }
    } else {
        chosen
    }
}

/// How the table looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ItemTable {
    pub(crate) long: bool,
    pub(crate) uuid: bool,
    pub(crate) human_readable: bool,
    pub(crate) csv: bool,
    pub(crate) title: bool,
}

/// The widest table whose columns are two blanks apart.
const WIDE: usize = 72;

/// The table, as virt-filesystems prints it: which columns there are depends on what is listed.
pub(crate) fn item_table(items: &[Item], wanted: WantedItems, look: ItemTable) -> Vec<u8> {
    let with_filesystems = wanted.filesystems || wanted.extra;
    type Cell = fn(&Item, bool) -> Option<String>;
    let columns: [(&str, bool, Cell); 8] = [
        ("Name", true, |item, _| Some(item.name.clone())),
        ("Type", look.long, |item, _| Some(item.kind.name().to_owned())),
        ("VFS", look.long && with_filesystems, |item, _| item.vfs.clone()),
        ("Label", look.long && with_filesystems, |item, _| {
            item.label.clone()
        }),
        ("MBR", look.long && wanted.partitions, |item, _| {
            item.mbr_id.map(|id| format!("{id:02x}"))
        }),
        ("Size", look.long, |item, human| {
            Some(if human {
                human_size(item.size)
            } else {
                item.size.to_string()
            })
        }),
        ("Parent", look.long, |item, _| {
            (!item.parents.is_empty()).then(|| item.parents.join(","))
        }),
        ("UUID", look.long && look.uuid, |item, _| item.uuid.clone()),
    ];
    let shown: Vec<_> = columns.iter().filter(|(_, shown, _)| *shown).collect();
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    if look.long && look.title {
        rows.push(
            shown
                .iter()
                .map(|(title, ..)| Some((*title).to_owned()))
                .collect(),
        );
    }
    for item in items {
        let cells = shown.iter().map(|(_, _, cell)| cell(item, look.human_readable));
        rows.push(cells.collect());
    }
    if look.csv {
        let lines = rows.iter().map(|row| {
            let fields = row
                .iter()
                .map(|cell| csv_field(cell.as_deref().unwrap_or_default().as_bytes()));
            fields.collect::<Vec<_>>().join(&b',')
        });
        return lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
    }
    let width_of = |cell: &Option<String>| cell.as_ref().map_or(1, |text| text.chars().count());
    let widths: Vec<usize> = (0..shown.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(width_of)
                .max()
                .unwrap_or(0)
        })
        .collect();
    let apart = if widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1) <= WIDE {
        2
    } else {
        1
    };
    let mut text = String::new();
    for row in &rows {
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(cell.as_deref().unwrap_or("-"));
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', width - width_of(cell) + apart));
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}
