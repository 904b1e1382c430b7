//! The encryption that a new image is asked to have, and the changes of key slots that `amend` is asked for.

use super::image_name::ImageName;
use super::image_options::ImageOptions;
use super::object;
use super::stop::Stop;
use super::wording::{Use, cause};
use crate::outside::Host;
use disksmith_image::{Format, Image, amend_keys};
use disksmith_luks::{
    Amendment, CipherAlgorithm, CipherMode, Error, FreshHeader, HashAlgorithm, IvAlgorithm, NewVolume,
    Passphrase,
};
use disksmith_qcow2::NewEncryption;

/// What QEMU knows and this program has not: weak ciphers.
const WEAK: &[&str] = &["des", "3des"];

/// The prefix of a format's encryption options.
fn prefix(format: Format) -> &'static str {
    if format == Format::Qcow2 { "encrypt." } else { "" }
}

/// The encryption of a new qcow2 image.
pub(super) fn of_qcow2(options: &ImageOptions) -> Result<Option<NewEncryption>, String> {
    let format = match (options.given("encryption"), options.text("encrypt.format")) {
        (true, Some(_)) => {
            return Err("'encrypt.format' and its alias 'encryption' can't be used at the same time".into());
        }
        (true, None) if options.is_on("encryption") => Some("aes"),
        (_, format) => format,
    };
    match format {
        None if options.any_given("encrypt.") => Err("Parameter 'encrypt.format' is missing".into()),
        None => Ok(None),
        Some("aes") => {
            let unexpected = LUKS_ONLY
                .iter()
                .map(|name| format!("encrypt.{name}"))
                .find(|name| options.given(name));
            if let Some(name) = unexpected {
                return Err(format!("Parameter '{name}' is unexpected"));
            }
            Ok(Some(NewEncryption::Aes(passphrase(options)?)))
        }
        Some("luks") => Ok(Some(NewEncryption::Luks(header(options)?))),
        Some(other) => Err(format!("Parameter 'format' does not accept value '{other}'")),
    }
}

const LUKS_ONLY: &[&str] = &[
    "cipher-alg",
    "cipher-mode",
    "hash-alg",
    "iter-time",
    "ivgen-alg",
    "ivgen-hash-alg",
];

/// Makes the header of a new LUKS image, or of a qcow2 image that is encrypted with LUKS.
pub(super) fn header(options: &ImageOptions) -> Result<FreshHeader, String> {
    let volume = volume(options)?;
    let passphrase = passphrase(options)?;
    volume
        .make(&passphrase, &mut Host)
        .map_err(|error| error.to_string())
}

/// Whether the options ask for an encrypted image.
pub(super) fn asked_for(options: &ImageOptions) -> bool {
    options.format() == Format::Luks
        || options.is_on("encryption")
        || options.text("encrypt.format").is_some()
}

/// Length of the header that is asked for in bytes; 0 where none is. As QEMU it looks at the options only where they ask
/// for LUKS.
pub(super) fn header_len(options: &ImageOptions) -> Result<u64, String> {
    if options.format() == Format::Qcow2 && options.text("encrypt.format") != Some("luks") {
        return Ok(0);
    }
    let volume = volume(options)?;
    passphrase(options)?;
    Ok(volume.area_len())
}

fn passphrase(options: &ImageOptions) -> Result<Passphrase, String> {
    let prefix = prefix(options.format());
    match options.text(&format!("{prefix}key-secret")) {
        None => Err(Error::PassphraseMissing { prefix }.in_qemus_words()),
        Some(id) => object::keys().get(id).cloned().map_err(|error| error.to_string()),
    }
}

/// What the options say of a header.
fn volume(options: &ImageOptions) -> Result<NewVolume, String> {
    let prefix = prefix(options.format());
    let text = |name: &str| options.text(&format!("{prefix}{name}"));
    let defaults = NewVolume::default();
    if options.given("detached-header") {
        return Err("Parameter 'detached-header' is unexpected".into());
    }
    let refuse = |name: &str, value: &str| format!("Parameter '{name}' does not accept value '{value}'");
    let cipher = match text("cipher-alg") {
        None => defaults.cipher,
        Some(name) => CipherAlgorithm::from_name(name).ok_or_else(|| {
            if WEAK.contains(&name) {
                format!("Algorithm '{name}' not supported")
            } else {
                refuse("cipher-alg", name)
            }
        })?,
    };
    let mode = match text("cipher-mode") {
        None => defaults.mode,
        Some(name) => CipherMode::from_name(name).ok_or_else(|| refuse("cipher-mode", name))?,
    };
    let hash = |option: &str| {
        text(option)
            .map(|name| HashAlgorithm::from_name(name).ok_or_else(|| refuse(option, name)))
            .transpose()
    };
    let iv = match text("ivgen-alg") {
        None => defaults.iv,
        Some(name) => IvAlgorithm::from_name(name).ok_or_else(|| refuse("ivgen-alg", name))?,
    };
    Ok(NewVolume {
        cipher,
        mode,
        iv,
        iv_hash: hash("ivgen-hash-alg")?,
        hash: hash("hash-alg")?.unwrap_or(defaults.hash),
        iter_time: options
            .number(&format!("{prefix}iter-time"))
            .unwrap_or(NewVolume::DEFAULT_ITER_TIME),
        detached: false,
    })
}

/// Changes the key slots of an image as the options say, whose names begin with `prefix`.
pub(super) fn amend(
    name: &ImageName,
    image: &Image,
    options: &[(String, String)],
    prefix: &str,
    force: bool,
) -> Result<(), Stop> {
    let text = |option: &str| {
        let wanted = format!("{prefix}{option}");
        options
            .iter()
            .rev()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let secret = |option: &str| match text(option) {
        None => Ok(None),
        Some(id) => object::keys()
            .get(id)
            .cloned()
            .map(Some)
            .map_err(|error| Stop::new(error.to_string())),
    };
    let activate = match text("state") {
        Some("active") => true,
        Some("inactive") => false,
        Some(other) => {
            return Err(Stop::new(format!(
                "Parameter 'state' does not accept value '{other}'"
            )));
        }
        None => return Err(Stop::new("Parameter 'state' is missing")),
    };
    // QEMU tells of missing options before it looks for the secrets that others name.
    let change = Amendment {
        activate,
        new_passphrase: secret("new-secret")?,
        old_passphrase: secret("old-secret")?,
        slot: text("keyslot").and_then(|number| number.parse().ok()),
        iter_time: text("iter-time").and_then(|number| number.parse().ok()),
        force,
    };
    let keys = object::keys();
    let current = name.node.key_secret().and_then(|id| keys.get(id).ok());
    amend_keys(image, &change, current, &mut Host).map_err(|error| Stop::new(cause(&error, Use::Write)))
}
