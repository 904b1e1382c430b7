//! Certificates that a template should not hand on.

use super::actions::glob;
use crate::customize::{Session, add_firstboot_command};
use crate::editor::split;
use crate::error::Result;
use crate::inspect::Init;

const OWN: &[&str] = &[
    "/etc/pki/CA/certs/*.crt",
    "/etc/pki/CA/crl/*.crt",
    "/etc/pki/CA/newcerts/*.crt",
    "/etc/pki/CA/private/*.key",
    "/etc/pki/tls/private/*.key",
    "/etc/pki/tls/certs/*.crt",
];
/// What the distribution itself brings.
const BUNDLES: &[&[u8]] = &[b"ca-bundle.crt", b"ca-bundle.trust.crt"];

const IPA_ANCHORS: &[&str] = &[
    "/etc/pki/ca-trust/source/anchors/ipa-ca.crt",
    "/usr/local/share/ca-certificates/ipa-ca.crt",
    "/etc/pki/ca-trust/source/ipa.p11-kit",
];

/// Programs that make the store of trusted certificates anew, and how they are called.
const STORE_MAKERS: &[(&str, &str)] = &[
    ("/usr/bin/update-ca-trust", "update-ca-trust extract"),
    (
        "/usr/sbin/update-ca-certificates",
        "update-ca-certificates --fresh",
    ),
];

/// Removes the guest's own certificates and keys; bundles of the distribution stay.
pub(super) fn remove_own(session: &mut Session<'_, '_>) -> Result<()> {
    let mut found = false;
    for pattern in OWN {
        for path in glob(session, pattern)? {
            if !BUNDLES.contains(&split(&path).1) {
                session.editor.remove_if_there(&path)?;
                found = true;
            }
        }
    }
    if found { remake_store(session) } else { Ok(()) }
}

/// Removes the anchor of an IPA server, which the store holds in a compiled form as well.
pub(super) fn remove_ipa_anchors(session: &mut Session<'_, '_>) -> Result<()> {
    let mut found = false;
    for path in IPA_ANCHORS {
        if session.editor.link_metadata(path.as_bytes())?.is_some() {
            session.editor.remove(path.as_bytes())?;
            found = true;
        }
    }
    if found { remake_store(session) } else { Ok(()) }
}

/// Only a program of the guest can make its store anew: at its first boot.
fn remake_store(session: &mut Session<'_, '_>) -> Result<()> {
    let tree = session.editor.tree();
    let maker = STORE_MAKERS.iter().find(|(path, _)| tree.exists(path));
    match maker {
        Some((_, command)) if session.guest.init() != Init::Unknown => {
            add_firstboot_command(session, command)?;
            session.editor.note(format!(
                "the first boot makes the store of certificates anew ({command})"
            ));
        }
        _ => session.editor.note(
            "the guest must run update-ca-trust (or update-ca-certificates) to forget what was removed",
        ),
    }
    Ok(())
}
