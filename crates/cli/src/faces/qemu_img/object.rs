//! `--object`: things that QEMU makes beside images. They are accepted where images can do without them.

use super::stop::Stop;
use crate::faces::getopt::Arguments;

const KINDS: &[&str] = &[
    "authz-list",
    "authz-simple",
    "iothread",
    "main-loop",
    "secret",
    "secret_keyring",
    "throttle-group",
    "tls-cipher-suites",
    "tls-creds-anon",
    "tls-creds-psk",
    "tls-creds-x509",
];

/// Checks the objects that were asked for.
pub(super) fn check(arguments: &Arguments) -> Result<(), Stop> {
    for text in arguments.texts("object") {
        let mut items = text.split(',');
        let first = items.next().unwrap_or_default();
        let kind = first.strip_prefix("qom-type=").unwrap_or(first);
        if !KINDS.contains(&kind) {
            return Err(Stop::new(format!(
                "Parameter 'qom-type' does not accept value '{kind}'"
            )));
        }
        if !items.any(|item| item.starts_with("id=")) {
            return Err(Stop::new("Parameter 'id' is missing"));
        }
    }
    Ok(())
}
