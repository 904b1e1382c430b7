//! What mkfs.fat tells of the filesystem that it made.

use super::options::Request;
use disksmith_fat::{FatKind, FormatNote, FormatOptions, Formatted, Suits};
use std::io::Write;

/// Prints a line; a closed pipe is nobody's failure.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn bits(kind: FatKind) -> u32 {
    match kind {
        FatKind::Fat12 => 12,
        FatKind::Fat16 => 16,
        FatKind::Fat32 => 32,
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What was considered: warnings always, the rest where details are wanted.
pub(super) fn notes(request: &Request, notes: &[FormatNote]) {
    for note in notes {
        match note {
            FormatNote::TargetTooLarge => {
                line("Warning: target too large, space at end will be left unused");
            }
            FormatNote::FewClusters => {
                eprintln!("WARNING: Number of clusters for 32 bit FAT is less then suggested minimum.");
            }
            _ if request.verbose < 2 => {
                if *note == FormatNote::AutoFat32 && request.verbose > 0 {
                    line("Auto-selecting FAT32 for large filesystem");
                }
            }
            FormatNote::AutoFat32 => line("Auto-selecting FAT32 for large filesystem"),
            FormatNote::Reserved { fat32, sectors } => {
                line(&format!(
                    "Boot jump code is eb {}",
                    if *fat32 { "58" } else { "3c" }
                ));
                line(&format!("Using {sectors} reserved sectors"));
            }
            FormatNote::AlignmentDisabled => line("Disabling alignment due to tiny filesystem"),
            FormatNote::Trying(sectors) => line(&format!("Trying with {sectors} sectors/cluster:")),
            FormatNote::Tried {
                kind,
                clusters,
                fat_sectors,
                most,
                suits,
            } => tried((*kind, *clusters, *fat_sectors, *most, *suits)),
            FormatNote::Chosen(kind) => line(&format!("Choosing {} bits for FAT", bits(*kind))),
            FormatNote::Backup(sector) => {
                line(&format!("Using sector {sector} as backup boot sector (0 = none)"));
            }
        }
    }
    if request.partition_table && request.verbose > 0 {
        line("Adding MBR table");
    }
}

fn tried((kind, clusters, fat_sectors, most, suits): (FatKind, i64, i64, i64, Suits)) {
    let limit = match kind {
        FatKind::Fat12 => "4084",
        FatKind::Fat16 => "4087/65524",
        FatKind::Fat32 => "65525/268435446",
    };
    let name = format!("Trying FAT{}", bits(kind));
    line(&format!(
        "{name}: #clu={clusters}, fatlen={fat_sectors}, maxclu={most}, limit={limit}"
    ));
    match (suits, kind) {
        (Suits::Yes, _) => {}
        (Suits::TooMany, _) => line(&format!("{name}: too much clusters")),
        (Suits::TooFew, FatKind::Fat16) => {
            line("Trying FAT16: not enough clusters, would be misdetected as FAT12");
        }
        (Suits::TooFew, _) => line(&format!("{name}: not enough clusters")),
    }
}

/// The description of the filesystem, where it is wanted.
pub(super) fn formatted(request: &Request, made: &Formatted, options: &FormatOptions, bad: usize) {
    if request.verbose > 0 {
        let (heads, track) = (u64::from(made.heads), u64::from(made.sectors_per_track));
        line(&format!(
            "{} has {heads} head{} and {track} sector{} per track,",
            request.target.display(),
            plural(heads),
            plural(track)
        ));
        line(&format!("hidden sectors 0x{:04x};", options.hidden_sectors));
        line(&format!("logical sector size is {},", made.sector_len));
        line(&format!(
            "using 0x{:02x} media descriptor, with {} sectors;",
            made.media, made.sectors
        ));
        line(&format!("drive number 0x{:02x};", made.drive_number));
        let (fats, per_cluster) = (u64::from(made.fats), u64::from(made.sectors_per_cluster));
        line(&format!(
            "filesystem has {fats} {}-bit FAT{} and {per_cluster} sector{} per cluster.",
            bits(made.kind),
            plural(fats),
            plural(per_cluster)
        ));
        let (fat_sectors, clusters) = (u64::from(made.fat_sectors), u64::from(made.clusters));
        line(&format!(
            "FAT size is {fat_sectors} sector{}, and provides {clusters} cluster{}.",
            plural(fat_sectors),
            plural(clusters)
        ));
        let reserved = u64::from(made.reserved_sectors);
        line(&format!(
            "There {} {reserved} reserved sector{}.",
            if reserved == 1 { "is" } else { "are" },
            plural(reserved)
        ));
        if made.kind != FatKind::Fat32 {
            line(&format!(
                "Root directory contains {} slots and uses {} sectors.",
                made.root_entries,
                (u64::from(made.root_entries) * 32).div_ceil(u64::from(made.sector_len))
            ));
        }
        line(&match &options.label {
            Some(label) => format!("Volume ID is {:08x}, volume label {label}.", options.volume_id),
            None => format!("Volume ID is {:08x}, no volume label.", options.volume_id),
        });
    }
    if bad > 0 {
        line(&format!("{bad} bad block{}", plural(bad as u64)));
    }
}
