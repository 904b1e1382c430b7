//! What virt-customize does in every run, asked or not.

use super::session::Session;
use crate::editor::NewFile;
use crate::error::Result;
use crate::inspect::Init;
use crate::progress::Progress;

/// Where guests keep a random seed over a shutdown.
const SEEDS: &[&str] = &[
    "/var/lib/random-seed",
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/misc/random-seed",
    "/etc/random-seed",
];
/// Bytes of a seed.
const SEED_BYTES: std::ops::RangeInclusive<u64> = 512..=8192;

/// New contents for each random seed that there is, else one where the guest's init looks for it.
pub(crate) fn new_random_seed(session: &mut Session<'_, '_>) -> Result<()> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for path in SEEDS {
        if let Some(metadata) = session
            .editor
            .link_metadata(path.as_bytes())?
            .filter(|m| m.is_file())
        {
            let size = metadata.size.clamp(*SEED_BYTES.start(), *SEED_BYTES.end());
            found.push((path, usize::try_from(size).unwrap_or(512)));
        }
    }
    if found.is_empty() {
        let place = [
            ("/var/lib/systemd/random-seed", "/var/lib/systemd"),
            ("/var/lib/urandom/random-seed", "/var/lib/urandom"),
            ("/var/lib/misc/random-seed", "/var/lib/misc"),
        ];
        for (path, dir) in place {
            let wanted = found.is_empty()
                && (session.guest.init() == Init::Systemd || dir != "/var/lib/systemd")
                && session.editor.is_dir(dir.as_bytes())?;
            if wanted {
                found.push((path, 512));
            }
        }
    }
    if found.is_empty() {
        session.tell(Progress::NoRandomSeed);
        return Ok(());
    }
    session.tell(Progress::RandomSeed);
    session.step("set a random seed".into(), |session| {
        for (path, size) in found {
            let mut seed = vec![0; size];
            session.context.random.fill(&mut seed)?;
            session
                .editor
                .write(path.as_bytes(), &seed, NewFile::root(0o600))?;
        }
        Ok(())
    })
}

/// Fills `/etc/machine-id` where it is an empty regular file.
pub(crate) fn fill_machine_id(session: &mut Session<'_, '_>) -> Result<()> {
    let path = b"/etc/machine-id";
    let is_empty = |m: &disksmith_vfs::Metadata| m.is_file() && m.size == 0;
    if !session.editor.link_metadata(path)?.as_ref().is_some_and(is_empty) {
        return Ok(());
    }
    session.tell(Progress::MachineId);
    session.step("set the machine id".into(), |session| {
        let mut bytes = [0; 16];
        session.context.random.fill(&mut bytes)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        session.editor.write_text(path, format!("{digits}\n").as_bytes())
    })
}
