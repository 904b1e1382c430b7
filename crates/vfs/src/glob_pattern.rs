//! Shell patterns for one name, and brace alternatives for whole paths.

/// How many patterns braces may make.
const MAX_ALTERNATIVES: usize = 4096;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyCharacter,
    AnyString,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern for one name, as glob(7) describes: `*`, `?`, `[…]`, and `\` before a character that is meant itself. A leading dot
/// is only matched by a dot in the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GlobPattern {
    tokens: Vec<Token>,
}

impl GlobPattern {
    pub(crate) fn new(pattern: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                b'*' => {
                    if tokens.last() != Some(&Token::AnyString) {
                        tokens.push(Token::AnyString);
                    }
                }
                b'?' => tokens.push(Token::AnyCharacter),
                b'[' => match parse_set(tail) {
                    Some((set, after)) => {
                        tokens.push(set);
                        rest = after;
                    }
                    None => tokens.push(Token::Byte(b'[')),
                },
                b'\\' => match tail.split_first() {
                    Some((escaped, after)) => {
                        tokens.push(Token::Byte(*escaped));
                        rest = after;
                    }
                    None => tokens.push(Token::Byte(b'\\')),
                },
                byte => tokens.push(Token::Byte(*byte)),
            }
        }
        Self { tokens }
    }

    /// The name itself, when the pattern means just one.
    pub(crate) fn literal(&self) -> Option<Vec<u8>> {
        self.tokens
            .iter()
            .map(|token| match token {
                Token::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect()
    }

    /// Whether a name matches. Takes at most the product of both lengths in steps.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        if name.first() == Some(&b'.') && self.tokens.first() != Some(&Token::Byte(b'.')) {
            return false;
        }
        let (mut token, mut at) = (0, 0);
        // The last `*`: the token after it, and how far it has eaten.
        let mut star: Option<(usize, usize)> = None;
        loop {
            let rest = name.get(at..).unwrap_or_default();
            match self.tokens.get(token) {
                Some(Token::AnyString) => {
                    token += 1;
                    star = Some((token, at));
                    continue;
                }
                Some(single) => {
                    if let Some(len) = match_one(single, rest) {
                        token += 1;
                        at += len;
                        continue;
                    }
                }
                None if rest.is_empty() => return true,
                None => {}
            }
            match star {
                Some((after, eaten)) if eaten < name.len() => {
                    star = Some((after, eaten + 1));
                    token = after;
                    at = eaten + 1;
                }
                _ => return false,
            }
        }
    }
}

/// How many bytes of `rest` one token matches.
fn match_one(token: &Token, rest: &[u8]) -> Option<usize> {
    let first = *rest.first()?;
    match token {
        Token::Byte(byte) => (first == *byte).then_some(1),
        Token::AnyCharacter => Some(character(rest).map_or(1, |(_, len)| len)),
        Token::Set { negated, ranges } => {
            let (c, len) = character(rest).unwrap_or((char::from(first), 1));
            let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
            (inside != *negated).then_some(len)
        }
        Token::AnyString => None,
    }
}

/// The first character in UTF-8, and its length in bytes; `None` for bytes that are none.
fn character(bytes: &[u8]) -> Option<(char, usize)> {
    let longest = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let valid = match std::str::from_utf8(longest) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(longest.get(..error.valid_up_to())?).ok()?,
    };
    valid.chars().next().map(|c| (c, c.len_utf8()))
}

/// Parses what follows a `[`.
fn parse_set(after: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, mut rest) = match after.first() {
        Some(b'!' | b'^') => (true, after.get(1..)?),
        _ => (false, after),
    };
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        if rest.first() == Some(&b']') && !first {
            return Some((Token::Set { negated, ranges }, rest.get(1..)?));
        }
        first = false;
        if let Some(tail) = rest.strip_prefix(b"[:") {
            let end = tail.windows(2).position(|w| w == b":]")?;
            ranges.extend_from_slice(class(tail.get(..end)?)?);
            rest = tail.get(end + 2..)?;
            continue;
        }
        let (low, tail) = set_character(rest)?;
        rest = tail;
        match rest.strip_prefix(b"-") {
            Some(tail) if tail.first() != Some(&b']') => {
                let (high, tail) = set_character(tail)?;
                ranges.push((low, high));
                rest = tail;
            }
            _ => ranges.push((low, low)),
        }
    }
}

fn set_character(bytes: &[u8]) -> Option<(char, &[u8])> {
    let bytes = match bytes.strip_prefix(b"\\") {
        Some(escaped) if !escaped.is_empty() => escaped,
        _ => bytes,
    };
    let (c, len) = character(bytes).or_else(|| bytes.first().map(|b| (char::from(*b), 1)))?;
    Some((c, bytes.get(len..)?))
}

fn class(name: &[u8]) -> Option<&'static [(char, char)]> {
    Some(match name {
        b"alpha" => &[('a', 'z'), ('A', 'Z')],
        b"digit" => &[('0', '9')],
        b"alnum" => &[('a', 'z'), ('A', 'Z'), ('0', '9')],
        b"upper" => &[('A', 'Z')],
        b"lower" => &[('a', 'z')],
        b"xdigit" => &[('0', '9'), ('a', 'f'), ('A', 'F')],
        b"space" => &[(' ', ' '), ('\t', '\r')],
        b"blank" => &[(' ', ' '), ('\t', '\t')],
        b"punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        b"cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        b"graph" => &[('!', '~')],
        b"print" => &[(' ', '~')],
        _ => return None,
    })
}

/// All patterns that `{a,b}` alternatives make of one, in order; braces nest. A brace without partner is itself.
/// `None` where there would be more than 4096.
pub(crate) fn expand_braces(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut done = Vec::new();
    let mut pending = vec![(pattern.to_vec(), 0)];
    while let Some((pattern, from)) = pending.pop() {
        match find_braces(&pattern, from) {
            None => done.push(pattern),
            Some((open, commas, close)) => {
                let mut bounds = vec![open];
                bounds.extend(commas);
                bounds.push(close);
                for pair in bounds.windows(2).rev() {
                    let &[start, end] = pair else { continue };
                    let mut alternative = pattern.get(..open)?.to_vec();
                    alternative.extend_from_slice(pattern.get(start + 1..end)?);
                    alternative.extend_from_slice(pattern.get(close + 1..)?);
                    pending.push((alternative, open));
                }
            }
        }
        if done.len() + pending.len() > MAX_ALTERNATIVES {
            return None;
        }
    }
    Some(done)
}

/// The first brace at or after `from` that has a partner: positions of it, of its own commas, of the partner. `{}` is itself.
fn find_braces(pattern: &[u8], from: usize) -> Option<(usize, Vec<usize>, usize)> {
    let mut at = from;
    while at < pattern.len() {
        match pattern.get(at)? {
            b'\\' => at += 1,
            b'{' if pattern.get(at + 1) == Some(&b'}') => at += 1,
            b'{' => {
                if let Some((commas, close)) = match_brace(pattern, at) {
                    return Some((at, commas, close));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn match_brace(pattern: &[u8], open: usize) -> Option<(Vec<usize>, usize)> {
    let mut depth = 0_usize;
    let mut commas = Vec::new();
    let mut at = open;
    loop {
        match pattern.get(at)? {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some((commas, at)),
            b'}' => depth -= 1,
            b',' if depth == 1 => commas.push(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, matches) in [
            ("*", "a", true),
            ("*", "", true),
            ("*", ".a", false),
            (".*", ".a", true),
            ("?a", ".a", false),
            ("[.]a", ".a", false),
            ("*.deb", "x.deb", true),
            ("*.deb", "x.deb.part", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXcYb", false),
            ("?", "ä", true),
            ("[ä-ü]", "ö", true),
            ("[!a-c]", "d", true),
            ("[^a-c]", "b", false),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[", "[", true),
            ("[[:digit:]x]", "7", true),
            ("[[:digit:]x]", "y", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
        ] {
            let found = GlobPattern::new(pattern.as_bytes()).matches(name.as_bytes());
            assert_eq!(found, matches, "{pattern} on {name}");
        }
        assert!(GlobPattern::new(b"a?c").matches(b"a\xffc"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"*a".repeat(200);
        let mut name = b"a".repeat(250);
        name.push(b'b');
        assert!(!GlobPattern::new(&pattern).matches(&name));
    }

    #[test]
    fn braces_nest_and_are_bounded() {
        let expand = |p: &str| -> Vec<String> {
            let all = expand_braces(p.as_bytes()).unwrap();
            all.into_iter().map(|v| String::from_utf8(v).unwrap()).collect()
        };
        assert_eq!(expand("/a{b,c{d,e}}f"), ["/abf", "/acdf", "/acef"]);
        assert_eq!(expand("{}{a"), ["{}{a"]);
        assert_eq!(expand("\\{a,b}"), ["\\{a,b}"]);
        assert_eq!(expand("{a}"), ["a"]);
        assert_eq!(expand("{,x}"), ["", "x"]);
        assert!(expand_braces("{a,b}".repeat(20).as_bytes()).is_none());
    }
}
