//! Archives of a few small files, as GNU tar writes them (GNU tar manual, "Basic Tar Format").

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes of a record, of which an archive has a whole number.
const RECORD: usize = 20 * BLOCK;

/// A header block. Names here are short and sizes small, so that no extension is needed.
fn header(name: &str, size: usize, mode: u32, time: i64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{:011o}", time.max(0)).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar  \0");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(148, format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An archive of files that all belong to root; with a folder, its entry first.
pub(super) fn archive(folder: Option<&str>, files: &[(String, Vec<u8>)], time: i64) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(folder) = folder {
        out.extend_from_slice(&header(&format!("{folder}/"), 0, 0o755, time, b'5'));
    }
    for (name, bytes) in files {
        let name = match folder {
            Some(folder) => format!("{folder}/{name}"),
            None => name.clone(),
        };
        out.extend_from_slice(&header(&name, bytes.len(), 0o644, time, b'0'));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize((out.len() + 2 * BLOCK).next_multiple_of(RECORD), 0);
    out
}
