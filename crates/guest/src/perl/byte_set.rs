//! A set of byte values.

/// Which of the 256 byte values a character class matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    /// The set of all bytes for which `test` is true.
    pub(crate) fn of(test: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        for byte in 0..=255u8 {
            if test(byte) {
                set.insert(byte);
            }
        }
        set
    }

    pub(crate) fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1u64 << (byte & 63);
        }
    }

    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0
            .get(usize::from(byte >> 6))
            .is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::of(|b| self.contains(b) || other.contains(b))
    }

    pub(crate) fn negated(&self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// The set with the other case of each ASCII letter added.
    pub(crate) fn ignoring_case(&self) -> Self {
        Self::of(|b| self.contains(b.to_ascii_lowercase()) || self.contains(b.to_ascii_uppercase()))
    }

    /// The sets that have a letter of their own: `\d`, `\w`, `\s`, `\h`, `\v` and their complements.
    pub(crate) fn of_escape(letter: u8) -> Option<Self> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => Self::of(|b| b.is_ascii_digit()),
            b'w' => Self::of(is_word),
            b's' => Self::of(|b| matches!(b, b' ' | 9..=13)),
            b'h' => Self::of(|b| matches!(b, b' ' | b'\t')),
            b'v' => Self::of(|b| matches!(b, 10..=13)),
            _ => return None,
        };
        Some(if letter.is_ascii_uppercase() {
            set.negated()
        } else {
            set
        })
    }

    /// The POSIX classes: `[:alpha:]` and so on.
    pub(crate) fn of_posix(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"alpha" => Self::of(|b| b.is_ascii_alphabetic()),
            b"digit" => Self::of(|b| b.is_ascii_digit()),
            b"alnum" => Self::of(|b| b.is_ascii_alphanumeric()),
            b"upper" => Self::of(|b| b.is_ascii_uppercase()),
            b"lower" => Self::of(|b| b.is_ascii_lowercase()),
            b"space" => Self::of(|b| matches!(b, b' ' | 9..=13)),
            b"blank" => Self::of(|b| matches!(b, b' ' | b'\t')),
            b"punct" => Self::of(|b| b.is_ascii_punctuation()),
            b"print" => Self::of(|b| (32..127).contains(&b)),
            b"graph" => Self::of(|b| b.is_ascii_graphic()),
            b"cntrl" => Self::of(|b| b.is_ascii_control()),
            b"xdigit" => Self::of(|b| b.is_ascii_hexdigit()),
            b"word" => Self::of(is_word),
            _ => return None,
        })
    }
}

/// Whether `\w` matches it.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
