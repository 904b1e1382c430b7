//! The one way by which a little-endian on-disk record is declared: each field with its type and byte offset.

/// A value that stands at a fixed offset of a record, little-endian.
///
/// A record can be cut short (an inode of 128 bytes, a group descriptor of 32): what lies beyond the end reads as
/// zero and is not written.
pub(crate) trait Field: Sized {
    /// Reads the value at `offset`.
    fn get(bytes: &[u8], offset: usize) -> Self;
    /// Writes the value at `offset`.
    fn put(&self, bytes: &mut [u8], offset: usize);
}

/// Reads `N` bytes at `offset`; zeroes where they lie beyond the end.
pub(crate) fn get_array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let end = offset.saturating_add(N);
    bytes
        .get(offset..end)
        .and_then(|slice| slice.try_into().ok())
        .unwrap_or([0; N])
}

/// Writes `value` at `offset`; nothing where it would reach beyond the end.
pub(crate) fn put_array(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let end = offset.saturating_add(value.len());
    if let Some(slice) = bytes.get_mut(offset..end) {
        slice.copy_from_slice(value);
    }
}

macro_rules! integer_field {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            #[inline]
            fn get(bytes: &[u8], offset: usize) -> Self {
                Self::from_le_bytes(get_array(bytes, offset))
            }
            #[inline]
            fn put(&self, bytes: &mut [u8], offset: usize) {
                put_array(bytes, offset, &self.to_le_bytes());
            }
        }
    )*};
}
integer_field!(u8, u16, u32, u64);

impl<const N: usize> Field for [u8; N] {
    fn get(bytes: &[u8], offset: usize) -> Self {
        get_array(bytes, offset)
    }
    fn put(&self, bytes: &mut [u8], offset: usize) {
        put_array(bytes, offset, self);
    }
}

impl<const N: usize> Field for [u32; N] {
    fn get(bytes: &[u8], offset: usize) -> Self {
        std::array::from_fn(|i| u32::get(bytes, offset.saturating_add(i * 4)))
    }
    fn put(&self, bytes: &mut [u8], offset: usize) {
        for (i, value) in self.iter().enumerate() {
            value.put(bytes, offset.saturating_add(i * 4));
        }
    }
}

/// Declares a record: a struct with public fields, `parse` and `encode_into`. Bytes that no field covers are not
/// touched by `encode_into`, so that parse, change, encode over the same bytes keeps what is not understood.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident: $ty:ty = $offset:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $( $(#[$field_meta])* $vis $field: $ty, )*
        }

        impl $name {
            /// Decodes the record; fields beyond the end of `bytes` are zero.
            $vis fn parse(bytes: &[u8]) -> Self {
                Self { $( $field: <$ty as crate::record::Field>::get(bytes, $offset), )* }
            }

            /// Encodes the record over `bytes`, leaving bytes that belong to no field as they are. Fields
            /// beyond the end of `bytes` are left out.
            #[allow(dead_code)] // Some records are only read.
            $vis fn encode_into(&self, bytes: &mut [u8]) {
                $( crate::record::Field::put(&self.$field, bytes, $offset); )*
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::parse(&[])
            }
        }
    };
}
pub(crate) use record;

/// Reads a little-endian `u16`; 0 beyond the end.
#[inline]
pub(crate) fn le16(bytes: &[u8], offset: usize) -> u16 {
    u16::get(bytes, offset)
}

/// Reads a little-endian `u32`; 0 beyond the end.
#[inline]
pub(crate) fn le32(bytes: &[u8], offset: usize) -> u32 {
    u32::get(bytes, offset)
}

/// Writes a little-endian `u16`; nothing beyond the end.
#[inline]
pub(crate) fn put16(bytes: &mut [u8], offset: usize, value: u16) {
    value.put(bytes, offset);
}

/// Writes a little-endian `u32`; nothing beyond the end.
#[inline]
pub(crate) fn put32(bytes: &mut [u8], offset: usize, value: u32) {
    value.put(bytes, offset);
}
