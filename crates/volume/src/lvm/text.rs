//! The language of LVM2's metadata: sections in braces, `name = value`, `#` comments (LVM2, libdm/libdm-config.c).

use std::collections::BTreeMap;

/// How deep sections may be nested.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
}

/// What stands between two braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) values: BTreeMap<String, Value>,
    /// Sections in it, in order.
    pub(super) sections: Vec<(String, Section)>,
}

impl Section {
    /// Reads a whole text. The error says what is wrong, and on which line.
    pub(super) fn parse(text: &[u8]) -> Result<Self, (usize, &'static str)> {
        let mut reader = Reader {
            bytes: text,
            at: 0,
            line: 1,
        };
        let section = reader.section(0)?;
        match reader.peek() {
            None => Ok(section),
            Some(_) => Err((reader.line, "a closing brace too many")),
        }
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find_map(|(own, section)| (own == name).then_some(section))
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            Value::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list; a value that stands alone is a list of one.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        match self.values.get(name) {
            Some(Value::List(list)) => list,
            Some(value) => std::slice::from_ref(value),
            None => &[],
        }
    }

    /// Whether a word stands in a list.
    pub(super) fn has_word(&self, list: &str, word: &str) -> bool {
        self.list(list)
            .iter()
            .any(|value| matches!(value, Value::Text(text) if text == word))
    }
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    line: usize,
}

impl Reader<'_> {
    /// The next byte that is neither space nor comment. A NUL ends the text.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            match byte {
                0 => return None,
                b'\n' => self.line += 1,
                b'#' => {
                    while self.bytes.get(self.at + 1).is_some_and(|b| *b != b'\n') {
                        self.at += 1;
                    }
                }
                b if b.is_ascii_whitespace() => {}
                _ => return Some(byte),
            }
            self.at += 1;
        }
    }

    fn section(&mut self, depth: usize) -> Result<Section, (usize, &'static str)> {
        let mut section = Section::default();
        if depth > MAX_DEPTH {
            return Err((self.line, "sections nested too deep"));
        }
        while let Some(byte) = self.peek() {
            if byte == b'}' {
                return Ok(section);
            }
            let name = self.name()?;
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    let inner = self.section(depth + 1)?;
                    match self.peek() {
                        Some(b'}') => self.at += 1,
                        _ => return Err((self.line, "a section without end")),
                    }
                    section.sections.push((name, inner));
                }
                Some(b'=') => {
                    self.at += 1;
                    let value = self.value(true)?;
                    section.values.insert(name, value);
                }
                _ => return Err((self.line, "a name with neither value nor section")),
            }
        }
        Ok(section)
    }

    fn name(&mut self) -> Result<String, (usize, &'static str)> {
        let start = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|b| b.is_ascii_alphanumeric() || b"_-.+/".contains(b))
        {
            self.at += 1;
        }
        match self.bytes.get(start..self.at) {
            Some(name) if !name.is_empty() => Ok(String::from_utf8_lossy(name).into_owned()),
            _ => Err((self.line, "a character that no name has")),
        }
    }

    fn value(&mut self, may_be_list: bool) -> Result<Value, (usize, &'static str)> {
        match self.peek() {
            Some(b'[') if may_be_list => {
                self.at += 1;
                let mut list = Vec::new();
                loop {
                    match self.peek() {
                        Some(b']') => {
                            self.at += 1;
                            return Ok(Value::List(list));
                        }
                        Some(b',') => self.at += 1,
                        Some(_) => list.push(self.value(false)?),
                        None => return Err((self.line, "a list without end")),
                    }
                }
            }
            Some(b'"') => self.quoted(),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                self.at += 1;
                while self
                    .bytes
                    .get(self.at)
                    .is_some_and(|b| b.is_ascii_digit() || *b == b'.')
                {
                    self.at += 1;
                }
                let digits = self.bytes.get(start..self.at).unwrap_or_default();
                let digits = String::from_utf8_lossy(digits);
                // Fractions stand only where nothing is read from.
                let whole = digits.split('.').next().unwrap_or_default();
                whole
                    .parse()
                    .map(Value::Number)
                    .map_err(|_| (self.line, "a number that is none"))
            }
            _ => Err((self.line, "a value that is none")),
        }
    }

    fn quoted(&mut self) -> Result<Value, (usize, &'static str)> {
        let mut text = Vec::new();
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value::Text(String::from_utf8_lossy(&text).into_owned()));
                }
                Some(b'\\') => {
                    text.extend(self.bytes.get(self.at + 1));
                    self.at += 2;
                }
                Some(byte) if *byte != 0 => {
                    if *byte == b'\n' {
                        self.line += 1;
                    }
                    text.push(*byte);
                    self.at += 1;
                }
                _ => return Err((self.line, "a text without end")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_values_and_lists() {
        let text = b"# Generated\nvg {\n\tid = \"a-b\"\n\tflags = []\n\tstatus = [\"READ\", \"WRITE\"]\t# two\n\tlv0 { n = 12 x=\"q\\\"\\\\\" }\n}\nversion = 1\n\0garbage{";
        let parsed = Section::parse(text).unwrap();
        let vg = parsed.section("vg").unwrap();
        assert_eq!(vg.text("id"), Some("a-b"));
        assert!(vg.list("flags").is_empty() && vg.has_word("status", "WRITE"));
        let lv = vg.section("lv0").unwrap();
        assert_eq!((lv.number("n"), lv.text("x")), (Some(12), Some("q\"\\")));
        assert_eq!(parsed.number("version"), Some(1));
    }

    #[test]
    fn damage_is_named_and_never_followed_far() {
        for (text, line, reason) in [
            (&b"a {\nb = 1\n"[..], 3, "a section without end"),
            (b"}", 1, "a closing brace too many"),
            (b"a\n", 2, "a name with neither value nor section"),
            (b"a = [1,", 1, "a list without end"),
            (b"a = [[1]]", 1, "a value that is none"),
            (b"a = \"x", 1, "a text without end"),
            (b"a = 99999999999999999999", 1, "a number that is none"),
            (b"!", 1, "a character that no name has"),
        ] {
            assert_eq!(Section::parse(text), Err((line, reason)));
        }
        let deep = b"a{".repeat(100_000);
        assert_eq!(Section::parse(&deep), Err((1, "sections nested too deep")));
    }
}
