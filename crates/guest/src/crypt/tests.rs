use super::*;
use crate::context::SeededRandom;
use std::process::Command;

/// What crypt(3) of this machine makes of a password and a setting.
fn crypt(password: &str, setting: &str) -> Option<String> {
    let output = match Command::new("perl")
        .args(["-e", "print crypt($ARGV[0], $ARGV[1])", password, setting])
        .output()
    {
        Ok(output) if output.status.success() && output.stdout.starts_with(b"$") => output,
        other => {
            assert!(
                std::env::var_os("CI").is_none(),
                "perl with crypt(3) is needed: {other:?}"
            );
            eprintln!("SKIPPED: no perl to judge password hashes");
            return None;
        }
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn crypt_verifies_every_scheme() {
    let long = "x".repeat(130);
    let passwords = [
        "",
        "a",
        "s3cret",
        "with: colon and spaces",
        "ünïcödé – 密码",
        "sixteen bytes!!!",
        long.as_str(),
    ];
    let mut random = SeededRandom::new(7);
    for scheme in [Scheme::Md5, Scheme::Sha256, Scheme::Sha512, Scheme::Yescrypt] {
        for password in passwords {
            let hash = hash_password(password.as_bytes(), scheme, &mut random).unwrap();
            let Some(wanted) = crypt(password, &hash) else {
                return;
            };
            assert_eq!(hash, wanted, "{scheme} of {password:?}");
        }
    }
}

#[test]
fn hashes_have_the_shape_that_guests_know() {
    let mut random = SeededRandom::new(1);
    let hash = hash_password(b"x", Scheme::Yescrypt, &mut random).unwrap();
    assert!(
        hash.starts_with("$y$j9T$") && hash.len() == 7 + 22 + 1 + 43,
        "{hash}"
    );
    let hash = hash_password(b"x", Scheme::Sha512, &mut random).unwrap();
    assert!(hash.starts_with("$6$") && hash.len() == 3 + 16 + 1 + 86, "{hash}");
}

#[test]
fn made_up_passwords_differ_and_avoid_lookalikes() {
    let mut random = SeededRandom::new(3);
    let one = random_password(&mut random).unwrap();
    let two = random_password(&mut random).unwrap();
    assert_ne!(one, two);
    for password in [one, two] {
        assert_eq!(password.len(), 16);
        assert!(
            !password.contains(['0', 'O', '1', 'l', 'I', 'o'])
                || !password.contains(['0', 'O', '1', 'l', 'I'])
        );
    }
}
