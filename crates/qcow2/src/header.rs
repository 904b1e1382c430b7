//! The image header (specification: "Header").

use crate::encryption::EncryptionMethod;
use crate::error::{Error, Result};
use crate::extension::{BitmapsExtension, Extension};
use crate::feature::{Autoclear, Compatible, FeatureName, Incompatible};
use crate::io::read_padded;
use crate::types::{Geometry, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_REFCOUNT_TABLE_BYTES, MIN_CLUSTER_BITS};
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::Storage;

/// `QFI\xfb`.
pub(crate) const MAGIC: u32 = 0x5146_49fb;
/// Length of the header of version 2 in bytes.
pub(crate) const V2_LENGTH: u64 = 72;
/// Shortest header of version 3.
pub(crate) const V3_MIN_LENGTH: u64 = 104;
/// The header length that is written (with the compression type and its padding).
pub(crate) const V3_LENGTH: u64 = 112;
/// Longest backing file name (QEMU and the specification).
pub const MAX_BACKING_NAME: u64 = 1023;
/// QEMU's limit on the number of internal snapshots.
pub(crate) const MAX_SNAPSHOTS: u32 = 65536;
/// The part of the header that is replaced as a whole, in one write.
pub(crate) const SECTOR: usize = 512;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CompressionType {
    /// Raw deflate with a window of 4 KiB.
    #[default]
    Zlib,
    /// One zstd frame.
    Zstd,
}

/// A header that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Cluster size, refcount width and size of L2 entries.
    pub geometry: Geometry,
    /// Size of the guest's disk in bytes, as the header says it.
    pub size: u64,
    /// Number of entries of the active L1 table.
    pub l1_entries: u32,
    /// Byte offset of the active L1 table.
    pub l1_offset: u64,
    /// Byte offset of the refcount table.
    pub refcount_table_offset: u64,
    /// Number of clusters of the refcount table.
    pub refcount_table_clusters: u32,
    /// Number of internal snapshots.
    pub snapshots: u32,
    /// Byte offset of the snapshot table.
    pub snapshots_offset: u64,
    /// Incompatible features.
    pub incompatible: Incompatible,
    /// Compatible features.
    pub compatible: Compatible,
    /// Autoclear features.
    pub autoclear: Autoclear,
    /// Length of the header proper in bytes.
    pub header_length: u64,
    /// How clusters are compressed.
    pub compression: CompressionType,
    /// How guest data is encrypted.
    pub encryption: Option<EncryptionMethod>,
    /// Byte offset of the backing file's name; 0 where there is none.
    pub backing_offset: u64,
    /// Name of the backing file, as bytes.
    pub backing_name: Option<Vec<u8>>,
    /// The extensions, in the order of the file.
    pub extensions: Vec<Extension>,
}

struct Fields<'a> {
    image: &'a str,
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn u32(&self, at: usize) -> u32 {
        self.bytes.get(at..at + 4).map_or(0, BigEndian::read_u32)
    }

    fn u64(&self, at: usize) -> u64 {
        self.bytes.get(at..at + 8).map_or(0, BigEndian::read_u64)
    }

    fn fail(&self, field: &'static str, offset: u64, value: u64, problem: &'static str) -> Error {
        Error::Header {
            image: self.image.into(),
            field,
            offset,
            value,
            problem,
        }
    }
}

impl Header {
    /// Reads and checks the header of `file`, with its extensions and the backing file's name. Checks the limits
    /// that QEMU checks.
    pub fn load(file: &dyn Storage) -> Result<Self> {
        let header = Self::load_for_check(file)?;
        header.check_snapshots(&file.name())?;
        Ok(header)
    }

    /// As [`load`](Self::load), with a snapshot table that may be anywhere: a check looks at that itself.
    pub(crate) fn load_for_check(file: &dyn Storage) -> Result<Self> {
        let image = file.name();
        // As QEMU, which reads whole sectors: what the last one of the file lacks reads as zeroes.
        let there = file.size().next_multiple_of(SECTOR as u64);
        let mut fixed = vec![0; there.min(SECTOR as u64) as usize];
        read_padded(file, 0, &mut fixed)?;
        let fields = Fields {
            image: &image,
            bytes: &fixed,
        };
        let found = fields.u32(0);
        if found != MAGIC {
            return Err(Error::NotQcow2 { image, found });
        }
        if (fixed.len() as u64) < V2_LENGTH {
            return Err(fields.fail(
                "header_length",
                100,
                fixed.len() as u64,
                "the file ends inside the header",
            ));
        }
        let version = fields.u32(4);
        if !(2..=3).contains(&version) {
            return Err(Error::Version { image, version });
        }
        let cluster_bits = fields.u32(20);
        if !(MIN_CLUSTER_BITS..=MAX_CLUSTER_BITS).contains(&cluster_bits) {
            return Err(fields.fail("cluster_bits", 20, cluster_bits.into(), "not between 9 and 21"));
        }
        let cluster_size = 1u64 << cluster_bits;
        let mut area = vec![0; there.min(cluster_size) as usize];
        read_padded(file, 0, &mut area)?;
        Self::parse(&image, &area, version, cluster_bits)
    }

    fn parse(image: &str, area: &[u8], version: u32, cluster_bits: u32) -> Result<Self> {
        let fields = Fields { image, bytes: area };
        let cluster_size = 1u64 << cluster_bits;
        let v3 = version >= 3;
        let header_length = if v3 { fields.u32(100).into() } else { V2_LENGTH };
        if v3 && header_length < V3_MIN_LENGTH {
            return Err(fields.fail("header_length", 100, header_length, "shorter than 104"));
        }
        if header_length > area.len() as u64 {
            return Err(fields.fail(
                "header_length",
                100,
                header_length,
                "the header exceeds its cluster or the file",
            ));
        }
        let backing_offset = fields.u64(8);
        if backing_offset > cluster_size {
            return Err(fields.fail(
                "backing_file_offset",
                8,
                backing_offset,
                "beyond the header cluster",
            ));
        }
        let limit = if backing_offset == 0 {
            area.len() as u64
        } else {
            backing_offset.min(area.len() as u64)
        };
        let list = area.get(header_length as usize..limit as usize).unwrap_or(&[]);
        let incompatible = Incompatible::from_bits_retain(if v3 { fields.u64(72) } else { 0 });
        let extensions = Extension::parse_list(list);
        let unknown = incompatible.difference(Incompatible::KNOWN);
        if !unknown.is_empty() {
            let names = extensions.iter().flatten().find_map(|e| match e {
                Extension::FeatureNames(table) => Some(FeatureName::parse_table(table)),
                _ => None,
            });
            let (features, unnamed) =
                FeatureName::name_incompatible(unknown.bits(), &names.unwrap_or_default());
            return Err(Error::UnknownFeatures {
                image: image.into(),
                features,
                unnamed,
            });
        }
        let extensions = extensions.map_err(|at| {
            let at = header_length + at as u64;
            let value = fields.u32(at as usize + 4).into();
            fields.fail(
                "header extension length",
                at + 4,
                value,
                "exceeds the header area",
            )
        })?;
        let refcount_order = if v3 { fields.u32(96) } else { 4 };
        if refcount_order > 6 {
            return Err(fields.fail(
                "refcount_order",
                96,
                refcount_order.into(),
                "refcounts wider than 64 bits",
            ));
        }
        let compression = match (header_length > V3_MIN_LENGTH)
            .then(|| area.get(104).copied())
            .flatten()
        {
            None | Some(0) => CompressionType::Zlib,
            Some(1) => CompressionType::Zstd,
            Some(other) => {
                return Err(Error::unsupported(image, format!("compression type {other}")));
            }
        };
        if (compression != CompressionType::Zlib) != incompatible.contains(Incompatible::COMPRESSION) {
            return Err(fields.fail(
                "compression_type",
                104,
                (compression != CompressionType::Zlib).into(),
                "does not agree with the compression bit of incompatible_features",
            ));
        }
        let extended_l2 = incompatible.contains(Incompatible::EXTENDED_L2);
        if extended_l2 && cluster_bits < 14 {
            return Err(fields.fail(
                "cluster_bits",
                20,
                cluster_bits.into(),
                "extended L2 entries need 16 KiB",
            ));
        }
        let encryption = match fields.u32(32) {
            0 => None,
            1 => Some(EncryptionMethod::Aes),
            2 => Some(EncryptionMethod::Luks),
            other => return Err(fields.fail("crypt_method", 32, other.into(), "unknown")),
        };
        let header = Self {
            version,
            geometry: Geometry {
                cluster_bits,
                refcount_order,
                extended_l2,
            },
            size: fields.u64(24),
            l1_entries: fields.u32(36),
            l1_offset: fields.u64(40),
            refcount_table_offset: fields.u64(48),
            refcount_table_clusters: fields.u32(56),
            snapshots: fields.u32(60),
            snapshots_offset: fields.u64(64),
            incompatible,
            compatible: Compatible::from_bits_retain(if v3 { fields.u64(80) } else { 0 }),
            autoclear: Autoclear::from_bits_retain(if v3 { fields.u64(88) } else { 0 }),
            header_length,
            compression,
            encryption,
            backing_offset,
            backing_name: backing_name(&fields, backing_offset, cluster_size)?,
            extensions,
        };
        header.check_tables(&fields)?;
        Ok(header)
    }

    fn check_tables(&self, fields: &Fields<'_>) -> Result<()> {
        let geometry = &self.geometry;
        let misplaced = |offset: u64, bytes: u64| !geometry.can_lie_at(offset, bytes);
        let table = u64::from(self.refcount_table_clusters) << geometry.cluster_bits;
        if table > MAX_REFCOUNT_TABLE_BYTES {
            let value = self.refcount_table_clusters.into();
            return Err(fields.fail(
                "refcount_table_clusters",
                56,
                value,
                "the refcount table exceeds 8 MiB",
            ));
        }
        if misplaced(self.refcount_table_offset, table) {
            return Err(fields.fail(
                "refcount_table_offset",
                48,
                self.refcount_table_offset,
                "not cluster aligned",
            ));
        }
        let l1 = u64::from(self.l1_entries) * 8;
        if l1 > MAX_L1_BYTES {
            return Err(fields.fail(
                "l1_size",
                36,
                self.l1_entries.into(),
                "the L1 table exceeds 32 MiB",
            ));
        }
        if misplaced(self.l1_offset, l1) {
            return Err(fields.fail("l1_table_offset", 40, self.l1_offset, "not cluster aligned"));
        }
        if geometry.l1_entries(self.size) > u64::from(self.l1_entries) {
            return Err(fields.fail(
                "l1_size",
                36,
                self.l1_entries.into(),
                "too small for the disk's size",
            ));
        }
        Ok(())
    }

    fn check_snapshots(&self, image: &str) -> Result<()> {
        let fail = |field, offset, value, problem| Error::Header {
            image: image.into(),
            field,
            offset,
            value,
            problem,
        };
        if self.snapshots > MAX_SNAPSHOTS {
            return Err(fail("nb_snapshots", 60, self.snapshots.into(), "more than 65536"));
        }
        if self.snapshots > 0
            && !self
                .geometry
                .can_lie_at(self.snapshots_offset, u64::from(self.snapshots) * 40)
        {
            return Err(fail(
                "snapshots_offset",
                64,
                self.snapshots_offset,
                "not cluster aligned",
            ));
        }
        Ok(())
    }

    /// Writes the fields that a change of the image's structures can change into the first 512 bytes of the file.
    pub(crate) fn patch(&self, sector: &mut [u8; SECTOR]) {
        BigEndian::write_u64(&mut sector[24..32], self.size);
        BigEndian::write_u32(&mut sector[36..40], self.l1_entries);
        BigEndian::write_u64(&mut sector[40..48], self.l1_offset);
        BigEndian::write_u64(&mut sector[48..56], self.refcount_table_offset);
        BigEndian::write_u32(&mut sector[56..60], self.refcount_table_clusters);
        BigEndian::write_u32(&mut sector[60..64], self.snapshots);
        BigEndian::write_u64(&mut sector[64..72], self.snapshots_offset);
        if self.version >= 3 {
            BigEndian::write_u64(&mut sector[72..80], self.incompatible.bits());
            BigEndian::write_u64(&mut sector[80..88], self.compatible.bits());
            BigEndian::write_u64(&mut sector[88..96], self.autoclear.bits());
        }
    }

    /// The header area as bytes: header, extensions, end mark, backing file name. `backing_offset` and
    /// `header_length` are chosen anew. `None` when it does not fit into the header cluster.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let length = if self.version >= 3 { V3_LENGTH } else { V2_LENGTH } as usize;
        let mut out = vec![0u8; SECTOR];
        let sector: &mut [u8; SECTOR] = out.as_mut_slice().try_into().ok()?;
        self.patch(sector);
        BigEndian::write_u32(&mut sector[0..4], MAGIC);
        BigEndian::write_u32(&mut sector[4..8], self.version);
        BigEndian::write_u32(&mut sector[20..24], self.geometry.cluster_bits);
        let method = self.encryption.map_or(0, EncryptionMethod::number);
        BigEndian::write_u32(&mut sector[32..36], method);
        if self.version >= 3 {
            BigEndian::write_u32(&mut sector[96..100], self.geometry.refcount_order);
            BigEndian::write_u32(&mut sector[100..104], V3_LENGTH as u32);
            sector[104] = u8::from(self.compression == CompressionType::Zstd);
        }
        out.truncate(length);
        for extension in &self.extensions {
            extension.encode(&mut out);
        }
        out.extend_from_slice(&[0; 8]);
        if let Some(name) = &self.backing_name {
            let at = out.len() as u64;
            BigEndian::write_u64(out.get_mut(8..16)?, at);
            BigEndian::write_u32(out.get_mut(16..20)?, u32::try_from(name.len()).ok()?);
            out.extend_from_slice(name);
        }
        (out.len() as u64 <= self.geometry.cluster_size()).then_some(out)
    }

    /// The format of the backing file that the image names.
    pub fn backing_format(&self) -> Option<&[u8]> {
        self.extensions.iter().find_map(|e| match e {
            Extension::BackingFormat(name) => Some(name.as_slice()),
            _ => None,
        })
    }

    /// The name of the external data file that the image names.
    pub fn data_file_name(&self) -> Option<&[u8]> {
        self.extensions.iter().find_map(|e| match e {
            Extension::DataFile(name) => Some(name.as_slice()),
            _ => None,
        })
    }

    /// The bitmaps extension, if its autoclear bit says that it is valid.
    pub fn bitmaps(&self) -> Option<&BitmapsExtension> {
        if !self.autoclear.contains(Autoclear::BITMAPS) {
            return None;
        }
        self.extensions.iter().find_map(|e| match e {
            Extension::Bitmaps(b) if b.count > 0 => Some(b),
            _ => None,
        })
    }
}

fn backing_name(fields: &Fields<'_>, offset: u64, cluster_size: u64) -> Result<Option<Vec<u8>>> {
    if offset == 0 {
        return Ok(None);
    }
    let len = u64::from(fields.u32(16));
    if len > MAX_BACKING_NAME || len > cluster_size - offset {
        return Err(fields.fail(
            "backing_file_size",
            16,
            len,
            "the backing file's name is too long",
        ));
    }
    // A file that ends inside its header cluster reads as zeroes from there on.
    let mut name: Vec<u8> = fields
        .bytes
        .get(offset as usize..)
        .unwrap_or(&[])
        .iter()
        .copied()
        .take(len as usize)
        .collect();
    name.resize(len as usize, 0);
    let name = name.split(|b| *b == 0).next().unwrap_or(&[]).to_vec();
    Ok((!name.is_empty()).then_some(name))
}
