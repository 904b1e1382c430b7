//! The quoting operators: `m//`, `s///`, `tr///`, and strings.

use super::{Parsed, Parser};
use crate::perl::byte_set::is_word;
use crate::perl::error::EditError;
use crate::perl::pattern::Modifiers;
use crate::perl::regex::Regex;
use crate::perl::syntax::{CaseMode, Expression, Part, Substitution, Transliteration};

impl Parser<'_> {
    /// White space is allowed between the operator and its delimiter, but then `#` starts a comment.
    pub(super) fn space_before_delimiter(&mut self) {
        if self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.space();
        }
    }

    pub(super) fn quoting(&mut self, word: &str, delimiter: u8) -> Parsed<Expression> {
        match word {
            "m" => self.match_operator(delimiter),
            "q" => {
                let text = self.delimited(delimiter)?;
                Ok(Expression::Text(vec![Part::Literal(unquote(&text))]))
            }
            "qq" => {
                let text = self.delimited(delimiter)?;
                Ok(Expression::Text(self.parts(&text, false)?))
            }
            "s" => {
                let pattern = self.delimited(delimiter)?;
                let replacement = self.second(delimiter)?;
                let flags = self.flags();
                let mut modifiers = Modifiers::default();
                let (mut global, mut return_result) = (false, false);
                for flag in flags {
                    match flag {
                        b'g' => global = true,
                        b'r' => return_result = true,
                        b'e' => return Err(self.unsupported("the flag e of s///")),
                        other => self.modifier(other, &mut modifiers)?,
                    }
                }
                if pattern.is_empty() {
                    return Err(self.unsupported("an empty pattern"));
                }
                let regex = Regex::new(&pattern, modifiers)?;
                let replacement = if delimiter == b'\'' {
                    vec![Part::Literal(replacement)]
                } else {
                    self.parts(&replacement, true)?
                };
                check_groups(&replacement, &regex)?;
                Ok(Expression::Substitute {
                    target: "_".into(),
                    substitution: Box::new(Substitution {
                        regex,
                        replacement,
                        global,
                        return_result,
                    }),
                })
            }
            "y" | "tr" => {
                let from = self.delimited(delimiter)?;
                let to = self.second(delimiter)?;
                let (mut complement, mut delete, mut squeeze) = (false, false, false);
                for flag in self.flags() {
                    match flag {
                        b'c' => complement = true,
                        b'd' => delete = true,
                        b's' => squeeze = true,
                        other => {
                            return Err(self.unsupported(format!("the flag {} of tr///", char::from(other))));
                        }
                    }
                }
                let from = self.list(&from)?;
                let to = self.list(&to)?;
                let to = if to.is_empty() && !delete && !complement {
                    from.clone()
                } else {
                    to
                };
                let table = if to.is_empty() && complement && !delete {
                    // Everything stands for itself: it only counts, or squeezes.
                    let others: Vec<u8> = (0..=255u8).filter(|b| !from.contains(b)).collect();
                    Transliteration::new(&others, &others, false, false, squeeze)
                } else {
                    Transliteration::new(&from, &to, complement, delete, squeeze)
                };
                Ok(Expression::Transliterate {
                    target: "_".into(),
                    table: Box::new(table),
                })
            }
            _ => Err(self.unsupported(word)),
        }
    }

    pub(super) fn match_operator(&mut self, delimiter: u8) -> Parsed<Expression> {
        let pattern = self.delimited(delimiter)?;
        let mut modifiers = Modifiers::default();
        let mut global = false;
        for flag in self.flags() {
            match flag {
                b'g' => global = true,
                b'c' | b'r' | b'e' => {
                    return Err(self.unsupported(format!("the flag {} of m//", char::from(flag))));
                }
                other => self.modifier(other, &mut modifiers)?,
            }
        }
        if global {
            return Err(self.unsupported("the flag g of m//"));
        }
        if pattern.is_empty() {
            return Err(self.unsupported("an empty pattern"));
        }
        let regex = Regex::new(&pattern, modifiers)?;
        Ok(Expression::Match {
            target: None,
            regex,
            global,
            negated: false,
        })
    }

    fn modifier(&self, flag: u8, modifiers: &mut Modifiers) -> Parsed<()> {
        match flag {
            b'i' => modifiers.ignore_case = true,
            b'm' => modifiers.multi_line = true,
            b's' => modifiers.dot_all = true,
            b'x' => modifiers.extended = true,
            // Compile once; ASCII rules, which are ours anyhow.
            b'o' | b'a' => {}
            other => return Err(self.wrong(format!("an unknown flag {}", char::from(other)))),
        }
        Ok(())
    }

    fn flags(&mut self) -> Vec<u8> {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|b| !b.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let flags = rest.get(..len).unwrap_or_default().to_vec();
        self.at += len;
        flags
    }

    /// From an opening delimiter (at the position) to its end; the delimiter itself unescaped where it is no bracket.
    pub(super) fn delimited(&mut self, open: u8) -> Parsed<Vec<u8>> {
        self.at += 1;
        let close = closing(open);
        let mut depth = 0usize;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.wrong(format!(
                    "no {} to end what {} began",
                    char::from(close),
                    char::from(open)
                )));
            };
            self.at += 1;
            if byte == b'\\' {
                let Some(next) = self.peek() else {
                    return Err(self.wrong("a backslash at the end"));
                };
                self.at += 1;
                // Escaped, a delimiter stands for itself: with what meaning it would have as a plain character of the
                // text, so that s|a\|b|c| matches the character. Brackets keep their backslash.
                if next != open || open != close || is_special(open) {
                    text.push(b'\\');
                }
                text.push(next);
                continue;
            }
            if open != close && byte == open {
                depth += 1;
            } else if byte == close {
                match depth.checked_sub(1) {
                    None => return Ok(text),
                    Some(less) => depth = less,
                }
            }
            text.push(byte);
        }
    }

    /// The second half of `s` and `tr`.
    fn second(&mut self, open: u8) -> Parsed<Vec<u8>> {
        if closing(open) == open {
            self.at -= 1;
            return self.delimited(open);
        }
        self.space();
        match self.peek() {
            Some(open) if !is_word(open) => self.delimited(open),
            _ => Err(self.wrong("the second half is missing")),
        }
    }

    /// The bytes of a `tr` list.
    fn list(&self, text: &[u8]) -> Parsed<Vec<u8>> {
        // (byte, whether a minus there is an operator)
        let mut units: Vec<(u8, bool)> = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at).copied() {
            at += 1;
            if byte == b'\\' {
                let (value, used) = self.escape(text.get(at..).unwrap_or_default())?;
                units.push((value, false));
                at += used;
            } else {
                units.push((byte, byte == b'-'));
            }
        }
        let mut bytes = Vec::new();
        let mut at = 0;
        while let Some((byte, _)) = units.get(at).copied() {
            match (units.get(at + 1), units.get(at + 2)) {
                (Some((_, true)), Some((high, _))) => {
                    if *high < byte {
                        return Err(self.wrong("a range in tr/// that ends before it starts"));
                    }
                    bytes.extend(byte..=*high);
                    at += 3;
                }
                _ => {
                    bytes.push(byte);
                    at += 1;
                }
            }
        }
        Ok(bytes)
    }

    /// The byte that an escape (behind its backslash) stands for, and how many bytes it takes.
    fn escape(&self, text: &[u8]) -> Parsed<(u8, usize)> {
        let Some(byte) = text.first().copied() else {
            return Ok((b'\\', 0));
        };
        Ok(match byte {
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'r' => (b'\r', 1),
            b'f' => (12, 1),
            b'a' => (7, 1),
            b'e' => (27, 1),
            b'0'..=b'7' => {
                let digits = text
                    .iter()
                    .take(3)
                    .take_while(|b| matches!(b, b'0'..=b'7'))
                    .count();
                let value = text
                    .iter()
                    .take(digits)
                    .fold(0u32, |value, b| value * 8 + u32::from(b - b'0'));
                (
                    u8::try_from(value).map_err(|_| self.unsupported("a character above \\xff"))?,
                    digits,
                )
            }
            b'x' => {
                let braced = text.get(1) == Some(&b'{');
                let start = if braced { 2 } else { 1 };
                let limit = if braced { 8 } else { 2 };
                let digits = text
                    .get(start..)
                    .unwrap_or_default()
                    .iter()
                    .take(limit)
                    .take_while(|b| b.is_ascii_hexdigit())
                    .count();
                let hex =
                    String::from_utf8_lossy(text.get(start..start + digits).unwrap_or_default()).into_owned();
                let value = if hex.is_empty() {
                    0
                } else {
                    u32::from_str_radix(&hex, 16).unwrap_or(u32::MAX)
                };
                if braced && text.get(start + digits) != Some(&b'}') {
                    return Err(self.wrong("a \\x{ without end"));
                }
                let value = u8::try_from(value).map_err(|_| self.unsupported("a character above \\xff"))?;
                (value, start + digits + usize::from(braced))
            }
            b'N' | b'c' | b'o' => return Err(self.unsupported(format!("\\{}", char::from(byte)))),
            other => (other, 1),
        })
    }

    /// Splits a string with variables and escapes. In a replacement, `\1` means `$1`.
    pub(super) fn parts(&self, text: &[u8], replacement: bool) -> Parsed<Vec<Part>> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at).copied() {
            at += 1;
            let rest = text.get(at..).unwrap_or_default();
            let part = match byte {
                b'\\' => match rest.first() {
                    Some(digit @ b'1'..=b'9') if replacement => {
                        at += 1;
                        Part::Capture(usize::from(digit - b'0'))
                    }
                    Some(letter @ (b'U' | b'L' | b'Q' | b'E' | b'u' | b'l' | b'F')) => {
                        at += 1;
                        match letter {
                            b'U' => Part::CaseOn(CaseMode::Upper),
                            b'L' | b'F' => Part::CaseOn(CaseMode::Lower),
                            b'Q' => Part::CaseOn(CaseMode::Quote),
                            b'u' => Part::NextUpper,
                            b'l' => Part::NextLower,
                            _ => Part::CaseOff,
                        }
                    }
                    _ => {
                        let (value, used) = self.escape(rest)?;
                        at += used;
                        literal.push(value);
                        continue;
                    }
                },
                b'$' => {
                    let mut inner = Parser {
                        source: text,
                        at,
                        depth: self.depth,
                    };
                    if !inner.peek().is_some_and(|b| is_word(b) || b == b'{' || b == b'&') {
                        if inner.peek().is_none() {
                            literal.push(b'$');
                            continue;
                        }
                        return Err(
                            self.unsupported("a variable of this name (write \\$ for the character $):")
                        );
                    }
                    let variable = inner.variable()?;
                    at = inner.at;
                    match variable {
                        Expression::Variable(name) => Part::Variable(name),
                        Expression::Capture(number) => Part::Capture(number),
                        _ => return Err(self.unsupported("this variable")),
                    }
                }
                b'@' if rest.first().is_some_and(|b| is_word(*b) || b":'{$+-".contains(b)) => {
                    return Err(self.unsupported("an array in a string (write \\@ for the character @):"));
                }
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(parts)
    }
}

/// In a pattern, an escaped delimiter that is special must stay escaped.
fn is_special(byte: u8) -> bool {
    b".^$*+?|{}[]()@".contains(&byte)
}

fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        other => other,
    }
}

/// In single quotes only `\\` and the escaped delimiter (already resolved) mean something.
pub(super) fn unquote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.peek() == Some(&b'\\') {
            bytes.next();
        }
        out.push(byte);
    }
    out
}

/// A reference in a replacement to a group that the pattern lacks is surely a mistake.
fn check_groups(parts: &[Part], regex: &Regex) -> Result<(), EditError> {
    for part in parts {
        if let Part::Capture(group) = part
            && *group > regex.groups()
        {
            return Err(EditError::Syntax {
                what: format!(
                    "${group} is used, but the pattern has {} group(s)",
                    regex.groups()
                ),
            });
        }
    }
    Ok(())
}
