//! From properties to an image: what they mean together, and which cannot be.

use super::encryption;
use super::image_name;
use super::image_options::ImageOptions;
use super::stop::Stop;
use disksmith_image::{CreateOptions, Error, Format};
use disksmith_qcow2::{Backing, CompressionType, Preallocation};

/// Which option raises the version, as messages call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wording {
    /// `version=v3`, where images are made.
    Create,
    /// `compat=1.1`, where they are only measured.
    Measure,
}

/// The format for a new image. `unknown` words the failure for a name that QEMU does not know either.
pub(super) fn format(name: Option<&str>, unknown: impl FnOnce(&str) -> Stop) -> Result<Format, Stop> {
    let name = name.unwrap_or("raw");
    Format::from_name(name.as_bytes()).ok_or_else(|| {
        if image_name::never_made(name) {
            Stop::new(format!("Format driver '{name}' does not support image creation"))
        } else if image_name::is_foreign(name) {
            Stop::not_yet(&format!("the format '{name}'"))
        } else {
            unknown(name)
        }
    })
}

/// What the properties ask for. An error says what cannot be, in QEMU's words and in the order in which QEMU looks.
pub(super) fn create_options(options: &ImageOptions, wording: Wording) -> Result<CreateOptions, String> {
    let mut create = CreateOptions::default();
    match options.format() {
        Format::Raw => create.qcow2.preallocation = raw_preallocation(options.text("preallocation"))?,
        Format::Qcow2 => {
            qcow2(&mut create.qcow2, options, wording)?;
            if wording == Wording::Create {
                create.qcow2.encryption = encryption::of_qcow2(options)?;
            }
        }
        Format::Luks => {
            create.qcow2.preallocation = raw_preallocation(options.text("preallocation"))?;
            if wording == Wording::Create {
                create.luks = Some(encryption::header(options)?);
            }
        }
    }
    Ok(create)
}

fn raw_preallocation(text: Option<&str>) -> Result<Preallocation, String> {
    match text {
        None | Some("off") => Ok(Preallocation::Off),
        Some("falloc") => Ok(Preallocation::Falloc),
        Some("full") => Ok(Preallocation::Full),
        Some("metadata") => Err("Unsupported preallocation mode: metadata".into()),
        Some(other) => Err(format!("invalid parameter value: {other}")),
    }
}

fn qcow2(
    create: &mut disksmith_qcow2::CreateOptions,
    options: &ImageOptions,
    wording: Wording,
) -> Result<(), String> {
    let not_accepted =
        |name: &str, value: &str| Err(format!("Parameter '{name}' does not accept value '{value}'"));
    if let Some(name) = options.text("backing_fmt")
        && Format::from_name(name.as_bytes()).is_none()
        && !image_name::is_foreign(name)
    {
        return not_accepted("backing-fmt", name);
    }
    create.version = match options.text("compat") {
        None | Some("1.1" | "v3") => 3,
        Some("0.10" | "v2") => 2,
        Some(other) if wording == Wording::Measure => {
            return Err(format!("Invalid compatibility level: '{other}'"));
        }
        Some(other) => return not_accepted("version", other),
    };
    create.preallocation = match options.text("preallocation") {
        None | Some("off") => Preallocation::Off,
        Some("metadata") => Preallocation::Metadata,
        Some("falloc") => Preallocation::Falloc,
        Some("full") => Preallocation::Full,
        Some(other) if wording == Wording::Measure => {
            return Err(format!("invalid parameter value: {other}"));
        }
        Some(other) => return not_accepted("preallocation", other),
    };
    create.compression = match options.text("compression_type") {
        None | Some("zlib") => CompressionType::Zlib,
        Some("zstd") => CompressionType::Zstd,
        Some(other) => return not_accepted("compression-type", other),
    };
    create.extended_l2 = options.is_on("extended_l2");
    create.lazy_refcounts = options.is_on("lazy_refcounts");
    create.data_file = options.text("data_file").map(|name| name.as_bytes().to_vec());
    create.data_file_raw = options.is_on("data_file_raw");
    let backing = options.text("backing_file").filter(|name| !name.is_empty());
    let backing_format = options.text("backing_fmt");
    create.backing = backing.map(|name| Backing {
        name: name.as_bytes().to_vec(),
        format: backing_format.map(str::to_owned),
    });

    let old = create.version < 3;
    let needs_v3 = |what: &str| {
        let how = match wording {
            Wording::Create => "version=v3",
            Wording::Measure => "compat=1.1",
        };
        Err(format!(
            "{what} compatibility level 1.1 and above (use {how} or greater)"
        ))
    };
    if create.extended_l2 && old {
        return needs_v3("Extended L2 entries are only supported with");
    }
    let cluster = options.number("cluster_size").unwrap_or(65536);
    if !cluster.is_power_of_two() || !(512..=2 << 20).contains(&cluster) {
        return Err("Cluster size must be a power of two between 512 and 2048k".into());
    }
    create.cluster_bits = cluster.trailing_zeros();
    if create.extended_l2 && cluster < 16384 {
        return Err(
            "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes".into(),
        );
    }
    if create.backing.is_some() && create.preallocation != Preallocation::Off && !create.extended_l2 {
        return Err(
            "Backing file and preallocation can only be used at the same time if extended_l2 is on".into(),
        );
    }
    if backing_format.is_some() && create.backing.is_none() {
        return Err("Backing format cannot be used without backing file".into());
    }
    if create.lazy_refcounts && old {
        return needs_v3("Lazy refcounts only supported with");
    }
    let bits = options.number("refcount_bits").unwrap_or(16);
    if !bits.is_power_of_two() || bits > 64 {
        return Err("Refcount width must be a power of two and may not exceed 64 bits".into());
    }
    create.refcount_bits = bits as u32;
    if bits != 16 && old {
        let how = if wording == Wording::Create {
            "version=v3"
        } else {
            "compat=1.1"
        };
        return Err(format!(
            "Different refcount widths than 16 bits require compatibility level 1.1 or above (use {how} or greater)"
        ));
    }
    if create.data_file_raw && create.data_file.is_none() {
        return Err("data-file-raw requires data-file".into());
    }
    if create.data_file_raw && create.backing.is_some() {
        return Err("Backing file and data-file-raw cannot be used at the same time".into());
    }
    if create.data_file.is_some() && old {
        return needs_v3("External data files are only supported with");
    }
    if create.compression != CompressionType::Zlib && old {
        return needs_v3("Non-zlib compression type is only supported with");
    }
    Ok(())
}

/// Why a new image could not be made.
pub(super) fn failure(error: &Error) -> String {
    let text = super::wording::cause(error, super::wording::Use::Write);
    match text.as_str() {
        "File too large" => return "The image size is too large for file format 'raw'".into(),
        "Could not create '': Is a directory" => {
            return "Could not create '': No such file or directory".into();
        }
        _ => {}
    }
    if matches!(error, Error::Unfit { reason, .. } if reason.starts_with("it holds")) {
        return "Cannot grow device files".into();
    }
    if text.contains("its own backing file") {
        return "Error: Trying to create an image with the same filename as the backing file".into();
    }
    if text.contains("too large for this cluster size") {
        return "The image size is too large for file format 'qcow2' (try using a larger cluster size)"
            .into();
    }
    text
}
