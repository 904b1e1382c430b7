//! `/etc/hosts` (hosts(5)) when the machine gets another name.

/// Replaces the old host name by the new one wherever it stands as a name; spacing and comments stay.
///
/// The whole old name becomes the whole new one. Where the old name has a domain, its first part becomes the new
/// name's first part; where it has none and the new one has, the old name becomes both forms. Beside the old name, its form with a
/// domain is renamed too, and keeps the domain unless the new name brings one. A name is not repeated on its line.
pub(crate) fn rename_host(contents: &[u8], old: &str, new: &str) -> Vec<u8> {
    let old_short = short(old);
    let new_short = short(new);
    let both = format!("{new} {new_short}");
    let mut out = Vec::with_capacity(contents.len());
    for line in contents.split_inclusive(|b| *b == b'\n') {
        let end = line
            .iter()
            .position(|b| matches!(b, b'#' | b'\n' | b'\r'))
            .unwrap_or(line.len());
        let (entry, tail) = line.split_at(end);
        let tokens = tokens(entry);
        let names: Vec<&[u8]> = tokens.iter().filter(|t| !is_space(t)).copied().collect();
        let touched = names
            .iter()
            .skip(1)
            .any(|n| *n == old.as_bytes() || *n == old_short.as_bytes());
        if !touched {
            out.extend_from_slice(line);
            continue;
        }
        let alone = names.iter().skip(1).any(|n| *n == old_short.as_bytes());
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let mut fields = 0;
        let mut space: &[u8] = b"";
        for token in tokens {
            if is_space(token) {
                space = token;
                continue;
            }
            fields += 1;
            let replaced: Vec<u8> = if fields == 1 {
                token.to_vec()
            } else if token == old.as_bytes() && old == old_short && new != new_short {
                both.clone().into_bytes()
            } else if let Some(domain) = own_domain(token, old_short).filter(|_| alone && old == old_short) {
                if new == new_short {
                    [new.as_bytes(), domain].concat()
                } else {
                    new.as_bytes().to_vec()
                }
            } else if token == old.as_bytes() {
                new.as_bytes().to_vec()
            } else if token == old_short.as_bytes() {
                new_short.as_bytes().to_vec()
            } else {
                token.to_vec()
            };
            for name in replaced.split(|b| *b == b' ') {
                if fields > 1 && seen.iter().any(|s| s == name) {
                    continue;
                }
                seen.push(name.to_vec());
                out.extend_from_slice(if space.is_empty() && seen.len() > 1 {
                    b" "
                } else {
                    space
                });
                out.extend_from_slice(name);
                space = b"";
            }
            space = b"";
        }
        out.extend_from_slice(space);
        out.extend_from_slice(tail);
    }
    out
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The dot and the domain of a name whose first part is `short`.
fn own_domain<'a>(name: &'a [u8], short: &str) -> Option<&'a [u8]> {
    name.strip_prefix(short.as_bytes())
        .filter(|rest| rest.starts_with(b"."))
}

fn is_space(token: &[u8]) -> bool {
    token.first().is_some_and(u8::is_ascii_whitespace)
}

/// Runs of white space and runs of other bytes, in turn.
fn tokens(text: &[u8]) -> Vec<&[u8]> {
    text.chunk_by(|a, b| a.is_ascii_whitespace() == b.is_ascii_whitespace())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_whole_names_only() {
        let cases: &[(&str, &str, &str, &str)] = &[
            ("127.0.1.1\tguest\n", "guest", "web1", "127.0.1.1\tweb1\n"),
            (
                "127.0.1.1 guest.old.net guest # me\n",
                "guest.old.net",
                "web1.new.org",
                "127.0.1.1 web1.new.org web1 # me\n",
            ),
            (
                "127.0.1.1\tguest\n",
                "guest",
                "web1.new.org",
                "127.0.1.1\tweb1.new.org web1\n",
            ),
            (
                "127.0.1.1 guest.old.net guest",
                "guest.old.net",
                "web1",
                "127.0.1.1 web1",
            ),
            (
                "127.0.0.1 localhost\n10.0.0.1 guest2 my-guest\n",
                "guest",
                "web1",
                "127.0.0.1 localhost\n10.0.0.1 guest2 my-guest\n",
            ),
            (
                "# guest\n::1  ip6-localhost   guest  \r\n",
                "guest",
                "w",
                "# guest\n::1  ip6-localhost   w  \r\n",
            ),
            (
                "127.0.1.1 guest.old.net\tguest\n",
                "guest",
                "web1",
                "127.0.1.1 web1.old.net\tweb1\n",
            ),
            (
                "127.0.1.1 guest.old.net\tguest\n",
                "guest",
                "web1.x.org",
                "127.0.1.1 web1.x.org\tweb1\n",
            ),
            (
                "10.0.0.1 guest.old.net\n",
                "guest",
                "web1",
                "10.0.0.1 guest.old.net\n",
            ),
        ];
        for (before, old, new, after) in cases {
            let found = rename_host(before.as_bytes(), old, new);
            assert_eq!(String::from_utf8(found).unwrap(), *after, "{old} -> {new}");
        }
    }
}
