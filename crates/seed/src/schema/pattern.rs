//! Regular expressions, as far as schemas use them: `^ $ . [...] (...) | * + ?` and escapes.

/// So many steps are taken before a match is given up.
const MAX_STEPS: u32 = 100_000;

#[derive(Debug)]
enum Atom {
    Start,
    End,
    Any,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Group(Vec<Vec<Piece>>),
}

#[derive(Debug)]
struct Piece {
    atom: Atom,
    least: usize,
    most: usize,
}

/// Whether a pattern is found in a text; `None` for a pattern with anything else in it, and for a search that takes too long.
pub(super) fn finds(pattern: &str, text: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    let alternatives = parse(&pattern, &mut at, 0)?;
    if at != pattern.len() {
        return None;
    }
    let text: Vec<char> = text.chars().collect();
    let whole = [Piece {
        atom: Atom::Group(alternatives),
        least: 1,
        most: 1,
    }];
    let mut steps = 0;
    for start in 0..=text.len() {
        if run(&whole, &text, start, &mut steps, &mut |_, _| true) {
            return Some(true);
        }
    }
    (steps < MAX_STEPS).then_some(false)
}

fn parse(pattern: &[char], at: &mut usize, depth: usize) -> Option<Vec<Vec<Piece>>> {
    if depth > 16 {
        return None;
    }
    let mut alternatives = vec![Vec::new()];
    while let Some(c) = pattern.get(*at).copied() {
        *at += 1;
        let atom = match c {
            ')' => {
                *at -= 1;
                break;
            }
            '|' => {
                alternatives.push(Vec::new());
                continue;
            }
            '^' => Atom::Start,
            '$' => Atom::End,
            '.' => Atom::Any,
            '(' => {
                let inner = parse(pattern, at, depth + 1)?;
                if pattern.get(*at) != Some(&')') {
                    return None;
                }
                *at += 1;
                Atom::Group(inner)
            }
            '[' => class(pattern, at)?,
            '\\' => {
                let escaped = *pattern.get(*at)?;
                *at += 1;
                match escaped {
                    'd' => single('0', '9'),
                    c if c.is_ascii_punctuation() => single(c, c),
                    _ => return None,
                }
            }
            '*' | '+' | '?' | '{' | '}' => return None,
            c => single(c, c),
        };
        let (least, most) = match pattern.get(*at) {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            _ => (1, 1),
        };
        if (least, most) != (1, 1) {
            *at += 1;
        }
        alternatives.last_mut()?.push(Piece { atom, least, most });
    }
    Some(alternatives)
}

fn single(first: char, last: char) -> Atom {
    Atom::Class {
        negated: false,
        ranges: vec![(first, last)],
    }
}

fn class(pattern: &[char], at: &mut usize) -> Option<Atom> {
    let negated = pattern.get(*at) == Some(&'^');
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let mut first = *pattern.get(*at)?;
        *at += 1;
        if first == ']' && !ranges.is_empty() {
            return Some(Atom::Class { negated, ranges });
        }
        if first == '\\' {
            first = *pattern.get(*at)?;
            *at += 1;
        }
        let next = (pattern.get(*at), pattern.get(*at + 1));
        if let (Some('-'), Some(last)) = next
            && *last != ']'
        {
            ranges.push((first, *last));
            *at += 2;
        } else {
            ranges.push((first, first));
        }
    }
}

/// Matches the pieces from `at` on; `then` decides about the rest.
fn run(
    pieces: &[Piece],
    text: &[char],
    at: usize,
    steps: &mut u32,
    then: &mut dyn FnMut(usize, &mut u32) -> bool,
) -> bool {
    match pieces.split_first() {
        None => then(at, steps),
        Some((piece, rest)) => repeat(piece, rest, text, at, 0, steps, then),
    }
}

fn repeat(
    piece: &Piece,
    rest: &[Piece],
    text: &[char],
    at: usize,
    done: usize,
    steps: &mut u32,
    then: &mut dyn FnMut(usize, &mut u32) -> bool,
) -> bool {
    *steps += 1;
    // so deep a recursion is as good as a text that is too long
    if *steps >= MAX_STEPS || done > 4096 {
        return false;
    }
    if done < piece.most {
        let further = match &piece.atom {
            Atom::Group(alternatives) => alternatives.iter().any(|alternative| {
                run(alternative, text, at, steps, &mut |end, steps| {
                    (end > at || done < piece.least) && repeat(piece, rest, text, end, done + 1, steps, then)
                })
            }),
            Atom::Start => at == 0 && repeat(piece, rest, text, at, done + 1, steps, then),
            Atom::End => {
                let end = at == text.len() || (at + 1 == text.len() && text.last() == Some(&'\n'));
                end && repeat(piece, rest, text, at, done + 1, steps, then)
            }
            Atom::Any => {
                text.get(at).is_some_and(|c| *c != '\n')
                    && repeat(piece, rest, text, at + 1, done + 1, steps, then)
            }
            Atom::Class { negated, ranges } => {
                let fits =
                    |c: &char| ranges.iter().any(|(first, last)| (first..=last).contains(&c)) != *negated;
                text.get(at).is_some_and(fits) && repeat(piece, rest, text, at + 1, done + 1, steps, then)
            }
        };
        if further {
            return true;
        }
    }
    done >= piece.least && run(rest, text, at, steps, then)
}

#[cfg(test)]
mod tests {
    use super::finds;

    #[test]
    fn the_patterns_of_the_schemas_match() {
        for (pattern, text, expected) in [
            ("^.+$", "a", true),
            ("^.+$", "", false),
            ("^.*$", "", true),
            ("^[-_0-9a-zA-Z]+(,[-_0-9a-zA-Z]+)*$", "a,b-c,d", true),
            ("^[-_0-9a-zA-Z]+(,[-_0-9a-zA-Z]+)*$", "a,,d", false),
            ("^([0-9]+)?\\.?[0-9]+[BKMGT]$", "1.5G", true),
            ("^([0-9]+)?\\.?[0-9]+[BKMGT]$", "15", false),
            ("^\\+?[0-9]+$", "+30", true),
            ("^\\+?[0-9]+$", "now", false),
            (
                "^(ecdsa|ed25519|rsa)_(public|private|certificate)$",
                "rsa_private",
                true,
            ),
            (
                "^(ecdsa|ed25519|rsa)_(public|private|certificate)$",
                "dsa_private",
                false,
            ),
            ("^[0-9a-zA-Z -_]+$", "A b", true),
            ("^.+:.+$", "root:x", true),
        ] {
            assert_eq!(finds(pattern, text), Some(expected), "{pattern} in {text:?}");
        }
        assert_eq!(finds("a{2}", "aa"), None);
        assert_ne!(finds("^(a+)+$", &format!("{}b", "a".repeat(60))), Some(true));
    }
}
