//! `/etc/crypttab` (crypttab(5)).

use super::{lines, text};

/// The names below `/dev/mapper` with what each lies on.
pub(crate) fn parse_crypttab(contents: &[u8]) -> Vec<(String, String)> {
    lines(contents)
        .filter_map(|line| {
            let line = line.trim_ascii();
            let mut fields = line.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
            let (name, device) = (fields.next()?, fields.next()?);
            (!name.starts_with(b"#")).then(|| (text(name), text(device)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_devices() {
        assert_eq!(
            parse_crypttab(
                b"# <target> <source>\n\nsda3_crypt UUID=1-2 none luks,discard\nswap\t/dev/sda2\n odd\n"
            ),
            [
                ("sda3_crypt".to_owned(), "UUID=1-2".to_owned()),
                ("swap".to_owned(), "/dev/sda2".to_owned()),
            ]
        );
    }
}
