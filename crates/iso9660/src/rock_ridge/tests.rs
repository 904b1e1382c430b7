use super::*;
use crate::susp::{Continuations, SystemUse};

/// Puts a target together as the Linux kernel does: a separator after each component that does not go on, unless it is
/// the root, or the last of all.
fn as_the_kernel_reads(target: &[u8]) -> Vec<u8> {
    let mut system_use = SystemUse::default();
    push_sl(&mut system_use, target);
    let mut bytes = Vec::new();
    Continuations::new(0).place(&system_use, usize::MAX, &mut bytes);
    let mut out = Vec::new();
    let mut rest = bytes.as_slice();
    while let [b'S', b'L', len, 1, flags, ..] = rest {
        let (entry, next) = rest.split_at(usize::from(*len));
        let mut components = &entry[5..];
        while let [component_flags, component_len, content @ ..] = components {
            let (content, more) = content.split_at(usize::from(*component_len));
            match component_flags & !CONTINUES {
                0 => out.extend_from_slice(content),
                CURRENT => out.push(b'.'),
                PARENT => out.extend_from_slice(b".."),
                ROOT => out.push(b'/'),
                other => panic!("flags {other}"),
            }
            let last = more.is_empty() && flags & CONTINUES == 0;
            if component_flags & (ROOT | CONTINUES) == 0 && !last {
                out.push(b'/');
            }
            if more.is_empty() && !last {
                assert_eq!(
                    component_flags & CONTINUES,
                    CONTINUES,
                    "an entry ends between components"
                );
            }
            components = more;
        }
        rest = next;
    }
    assert!(rest.is_empty());
    out
}

#[test]
fn targets_come_back_exactly() {
    let long = "x".repeat(700);
    let mut targets: Vec<String> = [
        "/",
        "//",
        "a",
        "a/b",
        "../x",
        "/a/../b/./c",
        "a//b",
        "a/",
        ".",
        "..",
        "//a//",
    ]
    .map(Into::into)
    .into();
    targets.push(long.clone());
    targets.push(format!("/{long}/{long}/../{long}"));
    for n in 60..140 {
        targets.push("ab/".repeat(n) + "c");
        targets.push("../".repeat(n) + &"d".repeat(n));
        targets.push("e".repeat(n * 2) + "/./" + &"f".repeat(n));
    }
    for target in targets {
        let found = as_the_kernel_reads(target.as_bytes());
        assert_eq!(String::from_utf8(found).unwrap(), target);
    }
}
