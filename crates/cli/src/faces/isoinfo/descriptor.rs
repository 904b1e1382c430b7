//! What the volume descriptors say (`-d`).

use super::Stop;
use disksmith_iso9660::Inspection;
use std::io::Write;

pub(super) fn print(image: &Inspection, joliet: bool, out: &mut dyn Write) -> Result<(), Stop> {
    let texts = image.texts();
    writeln!(out, "CD-ROM is in ISO 9660 format")?;
    for (what, text) in [
        ("System id", &texts.system_id),
        ("Volume id", &texts.volume_id),
        ("Volume set id", &texts.volume_set_id),
        ("Publisher id", &texts.publisher),
        ("Data preparer id", &texts.preparer),
        ("Application id", &texts.application),
        ("Copyright File id", &texts.copyright_file),
        ("Abstract File id", &texts.abstract_file),
        ("Bibliographic File id", &texts.bibliographic_file),
    ] {
        writeln!(out, "{what}: {text}")?;
    }
    let (set, number, block_size, blocks) = image.numbers();
    writeln!(out, "Volume set size is: {set}")?;
    writeln!(out, "Volume set sequence number is: {number}")?;
    writeln!(out, "Logical block size is: {block_size}")?;
    writeln!(out, "Volume size is: {blocks}")?;
    if image.is_1999() {
        writeln!(out, "CD-ROM uses ISO 9660:1999 relaxed format")?;
    }
    let boot = image.boot()?;
    if let Some(boot) = &boot {
        writeln!(
            out,
            "El Torito VD version 1 found, boot catalog is in sector {}",
            boot.block
        )?;
    }
    if joliet && image.joliet_level().is_none() {
        // It is there where names of Joliet are asked for that the program ends.
        return Ok(());
    }
    match image.joliet_level() {
        Some(level) => writeln!(out, "Joliet with UCS level {level} found")?,
        None => writeln!(out, "NO Joliet present")?,
    }
    match image.has_rock_ridge() {
        true => writeln!(out, "Rock Ridge signatures version 1 found")?,
        false => writeln!(out, "NO Rock Ridge present")?,
    }
    if let Some(boot) = &boot {
        catalog(&boot.entries, out)?;
    }
    Ok(())
}

/// The validation entry and the default entry of El Torito's catalogue.
fn catalog(entries: &[u8; 64], out: &mut dyn Write) -> Result<(), Stop> {
    let byte = |at: usize| entries.get(at).copied().unwrap_or(0);
    let word = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
    let architecture = match byte(1) {
        0 => "x86",
        1 => "PPC",
        2 => "MAC",
        _ => "Unknown Arch",
    };
    let id = entries.get(4..28).unwrap_or(&[]);
    let id = id.split(|b| *b == 0).next().unwrap_or(&[]);
    writeln!(out, "Eltorito validation header:")?;
    writeln!(out, "    Hid {}", byte(0))?;
    writeln!(out, "    Arch {} ({architecture})", byte(1))?;
    writeln!(out, "    ID '{}'", String::from_utf8_lossy(id))?;
    writeln!(out, "    Key {:X} {:X}", byte(30), byte(31))?;
    let bootable = match byte(32) {
        0x88 => "bootable",
        _ => "not bootable",
    };
    let media = match byte(33) & 0x0F {
        0 => "No Emulation Boot",
        1 => "1.2MB Floppy",
        2 => "1.44MB Floppy",
        3 => "2.88MB Floppy",
        4 => "Hard Disk",
        _ => "Unknown",
    };
    let start = u32::from_le_bytes([byte(40), byte(41), byte(42), byte(43)]);
    writeln!(out, "    Eltorito defaultboot header:")?;
    writeln!(out, "        Bootid {:X} ({bootable})", byte(32))?;
    writeln!(out, "        Boot media {:X} ({media})", byte(33))?;
    writeln!(out, "        Load segment {:X}", word(34))?;
    writeln!(out, "        Sys type {:X}", byte(36))?;
    writeln!(out, "        Nsect {:X}", word(38))?;
    writeln!(out, "        Bootoff {start:X} {start}")?;
    Ok(())
}
