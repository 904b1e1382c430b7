//! Findings of a check in qemu-img's words, for those about refcounts, which are nearly all.

use disksmith_qcow2::Repair;

/// The line that qemu-img prints for a finding; other findings stay as they are.
pub(super) fn worded(finding: &str, cluster_size: u64, repair: Repair) -> String {
    refcount(finding, cluster_size, repair)
        .or_else(|| copied(finding, repair))
        .unwrap_or_else(|| finding.into())
}

/// A number in hexadecimal behind `0x`, up to `end`, and what follows.
fn hex<'a>(text: &'a str, end: &str) -> Option<(u64, &'a str)> {
    let (digits, rest) = text.split_once(end)?;
    Some((u64::from_str_radix(digits.strip_prefix("0x")?, 16).ok()?, rest))
}

fn refcount(finding: &str, cluster_size: u64, repair: Repair) -> Option<String> {
    let (at, rest) = hex(finding.strip_prefix("the cluster at ")?, " has refcount ")?;
    let (is, rest) = rest.split_once(", and is referenced ")?;
    let (is, should): (u64, u64) = (is.parse().ok()?, rest.strip_suffix(" times")?.parse().ok()?);
    let what = match (is > should, repair) {
        (true, Repair::None) => "Leaked",
        (true, _) => "Repairing",
        // a missing refcount is mended by writing all of them anew
        (false, Repair::All) if is > 0 => "Repairing",
        (false, _) => "ERROR",
    };
    let cluster = at / cluster_size.max(1);
    Some(format!(
        "{what} cluster {cluster} refcount={is} reference={should}"
    ))
}

fn copied(finding: &str, repair: Repair) -> Option<String> {
    let what = if repair == Repair::All {
        "Repairing"
    } else {
        "ERROR"
    };
    let (place, rest) = finding.split_once("): the copied flag is wrong for refcount ")?;
    let count: u64 = rest.parse().ok()?;
    let (place, entry) = place.split_once(" (0x")?;
    Some(match place.strip_prefix("L1 entry ") {
        Some(index) => {
            format!("{what} OFLAG_COPIED L2 cluster: l1_index={index} l1_entry={entry} refcount={count}")
        }
        None => format!("{what} OFLAG_COPIED data cluster: l2_entry={entry} refcount={count}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcounts_are_told_in_clusters() {
        let told = |text: &str, repair| worded(text, 65536, repair);
        let leak = "the cluster at 0x50000 has refcount 1, and is referenced 0 times";
        assert_eq!(
            told(leak, Repair::None),
            "Leaked cluster 5 refcount=1 reference=0"
        );
        assert_eq!(
            told(leak, Repair::Leaks),
            "Repairing cluster 5 refcount=1 reference=0"
        );
        let flag = "L1 entry 0 (0x8000000000040000): the copied flag is wrong for refcount 0";
        let expected = "ERROR OFLAG_COPIED L2 cluster: l1_index=0 l1_entry=8000000000040000 refcount=0";
        assert_eq!(told(flag, Repair::None), expected);
        assert_eq!(told("something else", Repair::None), "something else");
    }
}
