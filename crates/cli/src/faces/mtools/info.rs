//! `minfo`: shows the boot sector.

use super::arguments::Given;
use super::path::DosPath;
use super::session::Session;
use super::{Done, Stop, print};
use disksmith_storage::{Storage, read_vec};
use std::fmt::Write;

/// Bytes that are shown.
const SECTOR: usize = 512;

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let mut names = given.names();
    if names.is_empty() {
        names.push(if given.image().is_some() { "::" } else { "A:" }.into());
    }
    for name in names {
        let path = DosPath::on_drive(&name);
        let drive = session.drive(path.drive)?;
        let file = drive.file.display().to_string();
        let volume = session.volume(path.drive)?;
        let boot = read_vec(&*volume.storage, 0, SECTOR).map_err(Stop::failed)?;
        print(&describe(&boot, &*volume.storage, &file, &name, given.has(b'v')));
    }
    Ok(true)
}

/// Numbers of a boot sector.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&self, at: usize) -> u32 {
        self.0.get(at).copied().map_or(0, u32::from)
    }

    fn word(&self, at: usize) -> u32 {
        self.byte(at) | self.byte(at + 1) << 8
    }

    fn long(&self, at: usize) -> u32 {
        self.word(at) | self.word(at + 2) << 16
    }

    fn text(&self, at: usize, len: usize) -> String {
        let bytes = self.0.get(at..at + len).unwrap_or_default();
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }
}

fn describe(boot: &[u8], storage: &dyn Storage, file: &str, name: &str, verbose: bool) -> String {
    let fields = Fields(boot);
    let (track, heads, media) = (fields.word(24), fields.word(26), fields.byte(21));
    let small = fields.word(19);
    let total = if small != 0 { small } else { fields.long(32) };
    let per_cylinder = track.saturating_mul(heads).max(1);
    let cylinders = total.div_ceil(per_cylinder);
    let is_fat32 = fields.word(22) == 0;
    let (hidden, cluster) = (fields.long(28), fields.byte(13));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut put = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    put("device information:\n===================".into());
    put(format!(
        "filename=\"{file}\"\nsectors per track: {track}\nheads: {heads}\ncylinders: {cylinders}\n"
    ));
    put(format!("media byte: {media:x}\n\nmformat command line:"));
    let size = match total.is_multiple_of(per_cylinder) && !is_fat32 {
        true => format!("-t {cylinders}"),
        false => format!("-T {total}"),
    };
    let more = match is_fat32 || hidden != 0 || total.is_multiple_of(per_cylinder) == (media == 0xf8) {
        true => {
            let root = fields.word(17) * 32 / fields.word(11).max(1);
            format!(" -H {hidden} -r {root} -c {cluster}")
        }
        false => String::new(),
    };
    put(format!(
        "  mformat {size} -h {heads} -s {track}{more} -i \"{file}\" {name}\n"
    ));
    put("bootsector information\n======================".into());
    put(format!("banner:\"{}\"", fields.text(3, 8)));
    put(format!(
        "sector size: {} bytes\ncluster size: {cluster} sectors",
        fields.word(11)
    ));
    put(format!(
        "reserved (boot) sectors: {}\nfats: {}",
        fields.word(14),
        fields.byte(16)
    ));
    put(format!("max available root directory slots: {}", fields.word(17)));
    put(format!(
        "small size: {small} sectors\nmedia descriptor byte: 0x{media:x}"
    ));
    put(format!("sectors per fat: {}", fields.word(22)));
    put(format!(
        "sectors per track: {track}\nheads: {heads}\nhidden sectors: {hidden}"
    ));
    if small == 0 {
        put(format!("big size: {total} sectors"));
    }
    let extended = if is_fat32 { 64 } else { 36 };
    put(format!("physical drive id: 0x{:x}", fields.byte(extended)));
    put(format!(
        "reserved=0x{:x}\ndos4=0x{:x}",
        fields.byte(extended + 1),
        fields.byte(extended + 2)
    ));
    if matches!(fields.byte(extended + 2), 0x28 | 0x29) {
        put(format!("serial number: {:08X}", fields.long(extended + 3)));
        put(format!("disk label=\"{}\"", fields.text(extended + 7, 11)));
        put(format!("disk type=\"{}\"", fields.text(extended + 18, 8)));
    }
    if is_fat32 {
        put(format!(
            "Big fatlen={}\nExtended flags=0x{:04x}",
            fields.long(36),
            fields.word(40)
        ));
        put(format!(
            "FS version=0x{:04x}\nrootCluster={}",
            fields.word(42),
            fields.long(44)
        ));
        put(format!(
            "infoSector location={}\nbackup boot sector={}",
            fields.word(48),
            fields.word(50)
        ));
        let at = u64::from(fields.word(48)) * u64::from(fields.word(11));
        if let Ok(info) = read_vec(storage, at, SECTOR) {
            let info = Fields(&info);
            put(format!(
                "\nInfosector:\nsignature=0x{:08x}\nfree clusters={}\nlast allocated cluster={}",
                info.long(0),
                info.long(488),
                info.long(492)
            ));
        }
    }
    if verbose {
        put("\nBoot sector hexdump:\n".to_owned().trim_end().to_owned());
        for (row, at) in boot.chunks(16).zip((0..).step_by(16)) {
            let mut line = format!("{at:03x}  ");
            for byte in row {
                let _ = write!(line, "{byte:02x} ");
            }
            line.extend(row.iter().map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            }));
            put(line);
        }
    }
    text
}
