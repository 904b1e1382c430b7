//! Parses regular expressions as Perl writes them (perlre(1)), over bytes.

use super::byte_set::{ByteSet, is_word};
use super::error::EditError;

/// How deep groups may nest.
const MAX_NESTING: usize = 100;
/// The largest count in `{n,m}`; Perl's own limit is of the same order.
const MAX_REPEAT: u32 = 32_766;

/// The modifiers behind a pattern, or inside it as `(?i)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Modifiers {
    pub(crate) ignore_case: bool,
    pub(crate) multi_line: bool,
    pub(crate) dot_all: bool,
    pub(crate) extended: bool,
}

/// How eager a repetition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

/// A place in the text, without width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assertion {
    /// `\A`, and `^` without `/m`.
    TextStart,
    /// `^` with `/m`.
    LineStart,
    /// `\z`.
    TextEnd,
    /// `\Z`, and `$` without `/m`: the end, or before a newline at the end.
    TextEndOrNewline,
    /// `$` with `/m`.
    LineEnd,
    /// `\b`.
    WordBoundary,
    /// `\B`.
    NotWordBoundary,
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Empty,
    Set(ByteSet),
    Concat(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        greed: Greed,
    },
    Group(usize, Box<Node>),
    Assert(Assertion),
    Look {
        ahead: bool,
        negative: bool,
        node: Box<Node>,
    },
    Atomic(Box<Node>),
    BackReference {
        group: usize,
        ignore_case: bool,
    },
    /// `\K`: the match starts here.
    Keep,
}

impl Node {
    /// The number of bytes it matches, if that is always the same.
    pub(crate) fn width(&self) -> Option<usize> {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } | Self::Keep => Some(0),
            Self::Set(_) => Some(1),
            Self::Concat(nodes) => nodes
                .iter()
                .try_fold(0usize, |sum, n| sum.checked_add(n.width()?)),
            Self::Alternatives(nodes) => {
                let mut widths = nodes.iter().map(Self::width);
                let first = widths.next()??;
                widths.all(|w| w == Some(first)).then_some(first)
            }
            Self::Repeat { node, min, max, .. } => {
                (Some(*min) == *max).then_some(())?;
                node.width()?.checked_mul(*min as usize)
            }
            Self::Group(_, node) | Self::Atomic(node) => node.width(),
            Self::BackReference { .. } => None,
        }
    }

    /// Whether it can match nothing.
    pub(crate) fn may_be_empty(&self) -> bool {
        match self {
            Self::Set(_) => false,
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Alternatives(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
            Self::Group(_, node) | Self::Atomic(node) => node.may_be_empty(),
            _ => true,
        }
    }
}

/// Parses a pattern; returns it and the number of its groups.
pub(crate) fn parse(pattern: &[u8], modifiers: Modifiers) -> Result<(Node, usize), EditError> {
    let mut parser = Parser {
        text: pattern,
        at: 0,
        groups: 0,
        depth: 0,
        quoting: false,
        highest_reference: 0,
    };
    let mut modifiers = modifiers;
    let node = parser.alternatives(&mut modifiers)?;
    if parser.at < pattern.len() {
        return Err(parser.wrong("an unmatched )"));
    }
    if parser.highest_reference > parser.groups {
        return Err(parser.wrong("a reference to a group that the pattern does not have"));
    }
    Ok((node, parser.groups))
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    groups: usize,
    depth: usize,
    /// Inside `\Q … \E`.
    quoting: bool,
    highest_reference: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: impl Into<String>) -> EditError {
        EditError::Syntax {
            what: format!(
                "{} in the pattern {}",
                what.into(),
                String::from_utf8_lossy(self.text)
            ),
        }
    }

    fn unsupported(&self, what: impl Into<String>) -> EditError {
        EditError::Unsupported {
            what: format!(
                "{} in the pattern {}",
                what.into(),
                String::from_utf8_lossy(self.text)
            ),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn take_str(&mut self, bytes: &[u8]) -> bool {
        let found = self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(bytes));
        if found {
            self.at += bytes.len();
        }
        found
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn alternatives(&mut self, modifiers: &mut Modifiers) -> Result<Node, EditError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(self.unsupported("groups nested so deep"));
        }
        let mut all = vec![self.sequence(modifiers)?];
        while !self.quoting && self.take(b'|') {
            all.push(self.sequence(modifiers)?);
        }
        self.depth -= 1;
        Ok(match all.len() {
            1 => all.pop().unwrap_or(Node::Empty),
            _ => Node::Alternatives(all),
        })
    }

    fn sequence(&mut self, modifiers: &mut Modifiers) -> Result<Node, EditError> {
        let mut nodes = Vec::new();
        while let Some(byte) = self.peek() {
            if self.quoting {
                if self.take_str(b"\\E") {
                    self.quoting = false;
                    continue;
                }
                self.at += 1;
                let node = self.quantified(literal(byte, *modifiers), *modifiers)?;
                nodes.push(node);
                continue;
            }
            match byte {
                b'|' | b')' => break,
                b'#' if modifiers.extended => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                    continue;
                }
                b if modifiers.extended && b.is_ascii_whitespace() => {
                    self.at += 1;
                    continue;
                }
                _ => {}
            }
            if self.take_str(b"\\Q") {
                self.quoting = true;
                continue;
            }
            if self.take_str(b"\\E") {
                continue;
            }
            if let Some(atom) = self.atom(modifiers)? {
                let node = self.quantified(atom, *modifiers)?;
                nodes.push(node);
            }
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop().unwrap_or(Node::Empty),
            _ => Node::Concat(nodes),
        })
    }

    /// One atom; `None` for what stands for nothing, as `(?i)` and comments.
    fn atom(&mut self, modifiers: &mut Modifiers) -> Result<Option<Node>, EditError> {
        let Some(byte) = self.next() else { return Ok(None) };
        Ok(Some(match byte {
            b'.' if modifiers.dot_all => Node::Set(ByteSet::of(|_| true)),
            b'.' => Node::Set(ByteSet::of(|b| b != b'\n')),
            b'^' if modifiers.multi_line => Node::Assert(Assertion::LineStart),
            b'^' => Node::Assert(Assertion::TextStart),
            b'$' => {
                if !matches!(
                    self.peek(),
                    None | Some(b'(' | b')' | b'|' | b' ' | b'\t' | b'\r' | b'\n')
                ) {
                    return Err(self.unsupported("a variable"));
                }
                Node::Assert(if modifiers.multi_line {
                    Assertion::LineEnd
                } else {
                    Assertion::TextEndOrNewline
                })
            }
            b'@' if self.peek().is_some_and(|b| is_word(b) || b":'{$".contains(&b)) => {
                return Err(self.unsupported("an array (write \\@ for the character @)"));
            }
            b'[' => self.class(*modifiers)?,
            b'(' => return self.group(modifiers),
            b'\\' => self.escape(*modifiers)?,
            b'*' | b'+' | b'?' => return Err(self.wrong("a quantifier that follows nothing")),
            other => literal(other, *modifiers),
        }))
    }

    fn group(&mut self, modifiers: &mut Modifiers) -> Result<Option<Node>, EditError> {
        if self.take_str(b"?#") {
            while self.next().ok_or_else(|| self.wrong("a comment without end"))? != b')' {}
            return Ok(None);
        }
        let mut inner = *modifiers;
        let wrap: fn(Node) -> Node;
        if self.take_str(b"?:") {
            wrap = |node| node;
        } else if self.take_str(b"?=") {
            wrap = |node| Node::Look {
                ahead: true,
                negative: false,
                node: Box::new(node),
            };
        } else if self.take_str(b"?!") {
            wrap = |node| Node::Look {
                ahead: true,
                negative: true,
                node: Box::new(node),
            };
        } else if self.take_str(b"?<=") {
            wrap = |node| Node::Look {
                ahead: false,
                negative: false,
                node: Box::new(node),
            };
        } else if self.take_str(b"?<!") {
            wrap = |node| Node::Look {
                ahead: false,
                negative: true,
                node: Box::new(node),
            };
        } else if self.take_str(b"?>") {
            wrap = |node| Node::Atomic(Box::new(node));
        } else if self.take_str(b"?") {
            return self.modified_group(modifiers);
        } else if self.peek() == Some(b'*') {
            return Err(self.unsupported("a backtracking verb"));
        } else {
            self.groups += 1;
            let number = self.groups;
            let node = self.alternatives(&mut inner)?;
            self.close()?;
            return Ok(Some(Node::Group(number, Box::new(node))));
        }
        let node = self.alternatives(&mut inner)?;
        self.close()?;
        // Keeps "a(?:)*b" apart from the atoms around it.
        let node = wrap(match node {
            Node::Empty => Node::Concat(Vec::new()),
            node => node,
        });
        if let Node::Look {
            ahead: false, node, ..
        } = &node
        {
            let branches = match node.as_ref() {
                Node::Alternatives(branches) => branches.as_slice(),
                node => std::slice::from_ref(node),
            };
            if branches.iter().any(|b| b.width().is_none()) {
                return Err(self.unsupported("a lookbehind of variable length"));
            }
        }
        Ok(Some(node))
    }

    /// `(?flags)` and `(?flags:…)`, behind the question mark.
    fn modified_group(&mut self, modifiers: &mut Modifiers) -> Result<Option<Node>, EditError> {
        let mut inner = *modifiers;
        let mut on = true;
        loop {
            let flag = match self.next() {
                Some(b'^') => {
                    inner = Modifiers::default();
                    continue;
                }
                Some(b'-') => {
                    on = false;
                    continue;
                }
                Some(b')') => {
                    *modifiers = inner;
                    return Ok(None);
                }
                Some(b':') => {
                    let node = self.alternatives(&mut inner)?;
                    self.close()?;
                    return Ok(Some(node));
                }
                Some(b'i') => &mut inner.ignore_case,
                Some(b'm') => &mut inner.multi_line,
                Some(b's') => &mut inner.dot_all,
                Some(b'x') => &mut inner.extended,
                Some(b'<' | b'\'' | b'P') => return Err(self.unsupported("a named group")),
                Some(other) => {
                    return Err(self.unsupported(format!("the group (?{}", char::from(other))));
                }
                None => return Err(self.wrong("an unmatched (")),
            };
            *flag = on;
        }
    }

    fn close(&mut self) -> Result<(), EditError> {
        if self.take(b')') {
            Ok(())
        } else {
            Err(self.wrong("an unmatched ("))
        }
    }

    fn escape(&mut self, modifiers: Modifiers) -> Result<Node, EditError> {
        let Some(byte) = self.next() else {
            return Err(self.wrong("a backslash at the end"));
        };
        if let Some(set) = ByteSet::of_escape(byte) {
            return Ok(Node::Set(set));
        }
        Ok(match byte {
            b'A' => Node::Assert(Assertion::TextStart),
            b'z' => Node::Assert(Assertion::TextEnd),
            b'Z' => Node::Assert(Assertion::TextEndOrNewline),
            b'b' if self.peek() == Some(b'{') => return Err(self.unsupported("\\b{…}")),
            b'b' => Node::Assert(Assertion::WordBoundary),
            b'B' => Node::Assert(Assertion::NotWordBoundary),
            b'K' => Node::Keep,
            b'N' if self.peek() != Some(b'{') => Node::Set(ByteSet::of(|b| b != b'\n')),
            b'R' => Node::Atomic(Box::new(Node::Alternatives(vec![
                Node::Concat(vec![
                    Node::Set(ByteSet::of(|b| b == b'\r')),
                    Node::Set(ByteSet::of(|b| b == b'\n')),
                ]),
                Node::Set(ByteSet::of(|b| matches!(b, 10..=13))),
            ]))),
            b'1'..=b'9' => {
                let mut group = usize::from(byte - b'0');
                while let Some(digit @ b'0'..=b'9') = self.peek() {
                    self.at += 1;
                    group = group.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
                }
                if group > 9 && group > self.groups {
                    return Err(self.unsupported("an octal escape or a reference forward"));
                }
                self.highest_reference = self.highest_reference.max(group);
                Node::BackReference {
                    group,
                    ignore_case: modifiers.ignore_case,
                }
            }
            b'g' => {
                let braced = self.take(b'{');
                let mut group = 0usize;
                while let Some(digit @ b'0'..=b'9') = self.peek() {
                    self.at += 1;
                    group = group.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
                }
                if group == 0 || (braced && !self.take(b'}')) {
                    return Err(self.unsupported("a relative or named reference"));
                }
                self.highest_reference = self.highest_reference.max(group);
                Node::BackReference {
                    group,
                    ignore_case: modifiers.ignore_case,
                }
            }
            other => literal(self.escaped_byte(other)?, modifiers),
        })
    }

    /// The byte that `\` and `byte` (already taken) stand for, in a class or outside one.
    fn escaped_byte(&mut self, byte: u8) -> Result<u8, EditError> {
        Ok(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'f' => 12,
            b'a' => 7,
            b'e' => 27,
            b'x' => {
                let braced = self.take(b'{');
                let mut value = 0u32;
                let mut digits = 0;
                while let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) {
                    if !braced && digits == 2 {
                        break;
                    }
                    self.at += 1;
                    digits += 1;
                    value = value.saturating_mul(16).saturating_add(digit);
                }
                if braced && !self.take(b'}') {
                    return Err(self.wrong("a \\x{ without end"));
                }
                u8::try_from(value).map_err(|_| self.unsupported("a character above \\xff"))?
            }
            b'0' => {
                let mut value = 0u32;
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.peek() else {
                        break;
                    };
                    self.at += 1;
                    value = value * 8 + u32::from(digit - b'0');
                }
                value as u8
            }
            other if other.is_ascii_alphanumeric() => {
                return Err(self.unsupported(format!("\\{}", char::from(other))));
            }
            other => other,
        })
    }

    fn class(&mut self, modifiers: Modifiers) -> Result<Node, EditError> {
        let negated = self.take(b'^');
        let mut set = ByteSet::default();
        let mut first = true;
        loop {
            let Some(byte) = self.next() else {
                return Err(self.wrong("an unmatched ["));
            };
            if byte == b']' && !first {
                break;
            }
            first = false;
            let low = match self.class_member(byte)? {
                ClassMember::Set(more) => {
                    set = set.union(&more);
                    continue;
                }
                ClassMember::Byte(low) => low,
            };
            let is_range = self.peek() == Some(b'-') && self.peek_at(1).is_some_and(|b| b != b']');
            if !is_range {
                set.insert(low);
                continue;
            }
            self.at += 1;
            let Some(byte) = self.next() else {
                return Err(self.wrong("an unmatched ["));
            };
            match self.class_member(byte)? {
                ClassMember::Byte(high) if low <= high => (low..=high).for_each(|b| set.insert(b)),
                ClassMember::Byte(_) => return Err(self.wrong("a range that ends before it starts")),
                ClassMember::Set(more) => {
                    set.insert(low);
                    set.insert(b'-');
                    set = set.union(&more);
                }
            }
        }
        if modifiers.ignore_case {
            set = set.ignoring_case();
        }
        Ok(Node::Set(if negated { set.negated() } else { set }))
    }

    fn class_member(&mut self, byte: u8) -> Result<ClassMember, EditError> {
        match byte {
            b'[' if self.peek() == Some(b':') => {
                let start = self.at + 1;
                let rest = self.text.get(start..).unwrap_or_default();
                let Some(len) = rest.windows(2).position(|w| w == b":]") else {
                    return Ok(ClassMember::Byte(b'['));
                };
                let name = rest.get(..len).unwrap_or_default();
                let (negated, name) = match name.strip_prefix(b"^") {
                    Some(name) => (true, name),
                    None => (false, name),
                };
                let set = ByteSet::of_posix(name).ok_or_else(|| self.wrong("an unknown [:class:]"))?;
                self.at = start + len + 2;
                Ok(ClassMember::Set(if negated { set.negated() } else { set }))
            }
            b'$' if self.peek().is_some_and(|b| b != b']') => Err(self.unsupported("a variable")),
            b'@' if self.peek().is_some_and(|b| is_word(b) || b":'{$".contains(&b)) => {
                Err(self.unsupported("a variable"))
            }
            b'\\' => {
                let Some(byte) = self.next() else {
                    return Err(self.wrong("an unmatched ["));
                };
                if let Some(set) = ByteSet::of_escape(byte) {
                    return Ok(ClassMember::Set(set));
                }
                if byte == b'b' {
                    return Ok(ClassMember::Byte(8));
                }
                Ok(ClassMember::Byte(self.escaped_byte(byte)?))
            }
            other => Ok(ClassMember::Byte(other)),
        }
    }

    fn quantified(&mut self, atom: Node, modifiers: Modifiers) -> Result<Node, EditError> {
        if self.quoting {
            return Ok(atom);
        }
        if modifiers.extended {
            while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
                self.at += 1;
            }
        }
        let (min, max) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => match self.counts()? {
                Some(counts) => counts,
                None => return Ok(atom),
            },
            _ => return Ok(atom),
        };
        self.at += 1;
        let greed = if self.take(b'?') {
            Greed::Lazy
        } else if self.take(b'+') {
            Greed::Possessive
        } else {
            Greed::Greedy
        };
        if matches!(self.peek(), Some(b'*' | b'+' | b'?')) {
            return Err(self.wrong("nested quantifiers"));
        }
        Ok(Node::Repeat {
            node: Box::new(atom),
            min,
            max,
            greed,
        })
    }

    /// `{n}`, `{n,}`, `{n,m}`, `{,m}`: leaves the position on the closing brace; `None`, with nothing taken, where the
    /// brace is a plain character.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, EditError> {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let Some(len) = rest.iter().position(|b| *b == b'}') else {
            return Ok(None);
        };
        let inner = std::str::from_utf8(rest.get(..len).unwrap_or_default()).unwrap_or("-");
        let number = |text: &str| -> Option<u32> {
            (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse().unwrap_or(u32::MAX))
        };
        let counts = match inner.split_once(',') {
            None => number(inner).map(|n| (n, Some(n))),
            Some((low, "")) => number(low).map(|low| (low, None)),
            Some(("", high)) => number(high).map(|high| (0, Some(high))),
            Some((low, high)) => number(low).zip(number(high)).map(|(low, high)| (low, Some(high))),
        };
        let Some((min, max)) = counts else { return Ok(None) };
        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT) {
            return Err(self.unsupported("a count that large"));
        }
        if max.is_some_and(|max| max < min) {
            return Err(self.unsupported("a count whose end is below its start"));
        }
        self.at += 1 + len;
        Ok(Some((min, max)))
    }
}

enum ClassMember {
    Byte(u8),
    Set(ByteSet),
}

fn literal(byte: u8, modifiers: Modifiers) -> Node {
    let mut set = ByteSet::default();
    set.insert(byte);
    Node::Set(if modifiers.ignore_case {
        set.ignoring_case()
    } else {
        set
    })
}
