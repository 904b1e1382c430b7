//! The `-o name=value,…` of `create` and `convert`, in qemu-img's words.

use super::parse_size;
use crate::failure::{Failure, Outcome};
use disksmith_image::{CreateOptions, Format};
use disksmith_qcow2::{CompressionType, Preallocation};

/// What `-o` said.
#[derive(Debug, Default)]
pub(crate) struct ImageOptions {
    /// The properties of the new image.
    pub(crate) create: CreateOptions,
    /// `backing_file`.
    pub(crate) backing_file: Option<String>,
    /// `backing_fmt`.
    pub(crate) backing_format: Option<Format>,
}

/// Reads the options of an image in `format`. A comma inside a value is written twice, as for qemu-img.
pub(crate) fn parse(texts: &[String], format: Format) -> Outcome<ImageOptions> {
    let mut options = ImageOptions::default();
    for text in texts {
        for item in split(text) {
            let (name, value) = item.split_once('=').unwrap_or((&item, "on"));
            apply(&mut options, name, value, format)?;
        }
    }
    Ok(options)
}

/// Splits at single commas.
fn split(text: &str) -> Vec<String> {
    text.replace(",,", "\0")
        .split(',')
        .filter(|item| !item.is_empty())
        .map(|item| item.replace('\0', ","))
        .collect()
}

fn apply(options: &mut ImageOptions, name: &str, value: &str, format: Format) -> Outcome<()> {
    let qcow2 = &mut options.create.qcow2;
    let invalid = || Failure::usage(format!("'{value}' is no value of the option {name}"));
    let switch = || match value {
        "on" | "yes" | "true" => Ok(true),
        "off" | "no" | "false" => Ok(false),
        _ => Err(invalid()),
    };
    if name == "preallocation" {
        qcow2.preallocation = match value {
            "off" => Preallocation::Off,
            "metadata" if format == Format::Qcow2 => Preallocation::Metadata,
            "falloc" => Preallocation::Falloc,
            "full" => Preallocation::Full,
            _ => return Err(invalid()),
        };
        return Ok(());
    }
    if format != Format::Qcow2 {
        return Err(Failure::usage(format!(
            "a {} image has no option '{name}'",
            format.name()
        )));
    }
    match name {
        "cluster_size" => {
            let size = parse_size(value).map_err(|_| invalid())?;
            if !size.is_power_of_two() {
                return Err(invalid());
            }
            qcow2.cluster_bits = size.trailing_zeros();
        }
        "compat" => {
            qcow2.version = match value {
                "0.10" | "v2" => 2,
                "1.1" | "v3" => 3,
                _ => return Err(invalid()),
            }
        }
        "refcount_bits" => qcow2.refcount_bits = value.parse().map_err(|_| invalid())?,
        "lazy_refcounts" => qcow2.lazy_refcounts = switch()?,
        "extended_l2" => qcow2.extended_l2 = switch()?,
        "compression_type" => {
            qcow2.compression = match value {
                "zlib" => CompressionType::Zlib,
                "zstd" => CompressionType::Zstd,
                _ => return Err(invalid()),
            }
        }
        "data_file" => qcow2.data_file = Some(value.into()),
        "data_file_raw" => qcow2.data_file_raw = switch()?,
        "backing_file" => options.backing_file = Some(value.into()),
        "backing_fmt" => {
            options.backing_format = Some(Format::from_name(value.as_bytes()).ok_or_else(invalid)?);
        }
        _ => {
            return Err(Failure::usage(format!("a qcow2 image has no option '{name}'")).or_hint(
                "the options are backing_file, backing_fmt, cluster_size, compat, compression_type, data_file, \
                 data_file_raw, extended_l2, lazy_refcounts, preallocation, refcount_bits",
            ));
        }
    }
    Ok(())
}
