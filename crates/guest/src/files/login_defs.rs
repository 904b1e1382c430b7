//! Which password hash a guest uses: `/etc/login.defs` (login.defs(5)) and its PAM files.

use super::lines;
use crate::crypt::Scheme;

/// `ENCRYPT_METHOD` of `/etc/login.defs`; `None` where it is not set, or names a hash that is not made here.
pub(crate) fn password_scheme_of_login_defs(contents: &[u8]) -> Option<Scheme> {
    lines(contents)
        .filter_map(|line| {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
            (words.next()? == b"ENCRYPT_METHOD").then_some(())?;
            Some(words.next()?.trim_ascii().to_ascii_lowercase())
        })
        .last()
        .and_then(|name| scheme_of(&name))
}

/// The hash that `pam_unix` is told to use in a PAM file's password lines.
pub(crate) fn password_scheme_of_pam(contents: &[u8]) -> Option<Scheme> {
    lines(contents)
        .filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        .filter(|line| {
            line.trim_ascii_start()
                .trim_ascii_start()
                .strip_prefix(b"-")
                .unwrap_or(line)
                .trim_ascii_start()
                .starts_with(b"password")
        })
        .filter(|line| line.windows(8).any(|w| w == b"pam_unix"))
        .find_map(|line| line.split(u8::is_ascii_whitespace).find_map(scheme_of))
}

fn scheme_of(word: &[u8]) -> Option<Scheme> {
    Some(match word {
        b"yescrypt" => Scheme::Yescrypt,
        b"sha512" => Scheme::Sha512,
        b"sha256" => Scheme::Sha256,
        b"md5" => Scheme::Md5,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_method() {
        assert_eq!(
            password_scheme_of_login_defs(b"#ENCRYPT_METHOD MD5\nENCRYPT_METHOD\tSHA512 \n"),
            Some(Scheme::Sha512)
        );
        assert_eq!(password_scheme_of_login_defs(b"ENCRYPT_METHOD DES\n"), None);
        assert_eq!(
            password_scheme_of_pam(b"password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n"),
            Some(Scheme::Yescrypt)
        );
        assert_eq!(
            password_scheme_of_pam(b"#password x pam_unix.so md5\nauth x pam_unix.so sha256\n"),
            None
        );
        assert_eq!(
            password_scheme_of_pam(b"password    sufficient    pam_unix.so sha512 shadow nullok use_authtok"),
            Some(Scheme::Sha512)
        );
    }
}
