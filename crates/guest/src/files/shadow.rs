//! `/etc/shadow` (shadow(5)): only the password field is ever changed.

/// Replaces the password field of a user's line with what `change` makes of the old one. `None` where the user has no line.
pub(crate) fn set_shadow_password(
    contents: &[u8],
    user: &str,
    change: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Option<Vec<u8>> {
    set_second_field(contents, user, change)
}

/// The same for `/etc/passwd`, whose second field is the password too.
pub(crate) fn set_passwd_field(
    contents: &[u8],
    user: &str,
    change: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Option<Vec<u8>> {
    set_second_field(contents, user, change)
}

fn set_second_field(contents: &[u8], user: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(contents.len() + 128);
    let mut change = Some(change);
    for line in contents.split_inclusive(|b| *b == b'\n') {
        let rest = line
            .strip_prefix(user.as_bytes())
            .and_then(|rest| rest.strip_prefix(b":"));
        match (rest, change.take()) {
            (Some(rest), Some(change)) => {
                let len = rest
                    .iter()
                    .position(|b| matches!(b, b':' | b'\n' | b'\r'))
                    .unwrap_or(rest.len());
                let (old, tail) = rest.split_at(len);
                out.extend_from_slice(user.as_bytes());
                out.push(b':');
                out.extend_from_slice(&change(old));
                out.extend_from_slice(tail);
            }
            (_, kept) => {
                change = kept;
                out.extend_from_slice(line);
            }
        }
    }
    change.is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_one_field_of_one_line() {
        let text = b"root:*:19000:0:99999:7:::\nroo:!:1::::::\nalice:!!$6$x:19001:0:99999:7:::";
        let new = set_shadow_password(text, "alice", |old| {
            assert_eq!(old, b"!!$6$x");
            b"$y$new".to_vec()
        });
        assert_eq!(
            new.unwrap(),
            b"root:*:19000:0:99999:7:::\nroo:!:1::::::\nalice:$y$new:19001:0:99999:7:::"
        );
        let new = set_shadow_password(text, "root", |_| b"h".to_vec()).unwrap();
        assert!(new.starts_with(b"root:h:19000:0:99999:7:::\nroo:!:"));
        assert_eq!(set_shadow_password(text, "ro", |_| Vec::new()), None);
    }
}
