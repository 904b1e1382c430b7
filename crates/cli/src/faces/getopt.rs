//! Reading arguments the way that GNU `getopt_long` does: clusters of short options, abbreviated long ones, options after
//! operands, `--`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// An option that a command knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    key: &'static str,
    /// Empty where there is only the short form.
    long: &'static str,
    short: u8,
    value: bool,
    /// Whether the value of the long form may be missing: only `--name=VALUE` gives one.
    optional: bool,
}

impl Spec {
    /// The long form; empty where there is none.
    pub(super) fn long(&self) -> &'static str {
        self.long
    }

    fn starts_with(&self, name: &[u8]) -> bool {
        !self.long.is_empty() && self.long.as_bytes().starts_with(name)
    }
}

/// An option without a value. Without a short form, `short` is 0.
pub(super) const fn flag(long: &'static str, short: u8) -> Spec {
    Spec {
        key: long,
        long,
        short,
        value: false,
        optional: false,
    }
}

/// An option with a value. Without a short form, `short` is 0.
pub(super) const fn value(long: &'static str, short: u8) -> Spec {
    Spec {
        key: long,
        long,
        short,
        value: true,
        optional: false,
    }
}

/// An option without a value and without a long form; `key` is how the program calls it.
pub(super) const fn short_flag(key: &'static str, short: u8) -> Spec {
    Spec {
        key,
        long: "",
        short,
        value: false,
        optional: false,
    }
}

/// An option with a value and without a long form; `key` is how the program calls it.
pub(super) const fn short_value(key: &'static str, short: u8) -> Spec {
    Spec {
        key,
        long: "",
        short,
        value: true,
        optional: false,
    }
}

/// Another long form of the option `key`, with a value.
pub(super) const fn alias(long: &'static str, key: &'static str) -> Spec {
    Spec {
        key,
        long,
        short: 0,
        value: true,
        optional: false,
    }
}

/// An option whose long form may have a value (`--name`, `--name=VALUE`); without one, its value is empty.
pub(super) const fn optional(long: &'static str) -> Spec {
    Spec {
        optional: true,
        ..flag(long, 0)
    }
}

/// Another long form of the option `key`, in every other way like `spec`, and without a short form.
pub(super) const fn also(long: &'static str, spec: Spec) -> Spec {
    Spec {
        long,
        short: 0,
        ..spec
    }
}

/// An option that was given: its key (the long name) and its value, empty for a flag.
pub(super) type Given = (&'static str, OsString);

/// Arguments that are not understood.
#[derive(Debug)]
pub(super) struct Misused {
    /// The program, or the program and its subcommand.
    pub(super) who: String,
    /// What is wrong, in the words of getopt.
    pub(super) message: String,
}

/// What was on a command line.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    options: Vec<Given>,
    /// Everything that is no option, in order.
    pub(super) operands: Vec<OsString>,
}

impl Arguments {
    /// Reads the arguments of `who`: a program, or a program and its subcommand.
    pub(super) fn parse(who: &str, specs: &[Spec], words: &[OsString]) -> Result<Self, Misused> {
        let mut reader = Reader {
            who: who.into(),
            specs,
            words: words.iter(),
            forms_are_one: true,
        };
        let mut arguments = Self::default();
        while let Some(word) = reader.words.next() {
            if word == "--" {
                arguments.operands.extend(reader.words.by_ref().cloned());
            } else if !reader.option(word, &mut arguments.options)? {
                arguments.operands.push(word.clone());
            }
        }
        Ok(arguments)
    }

    /// All options in the order in which they were given.
    pub(super) fn options(&self) -> &[Given] {
        &self.options
    }

    /// Reads the arguments of `who` the way that `getopt_long_only` does: long options may have one dash, and no abbreviation
    /// of two of them is taken, not even where both mean the same.
    pub(super) fn parse_long_only(who: &str, specs: &[Spec], words: &[OsString]) -> Result<Self, Misused> {
        let mut reader = Reader {
            who: who.into(),
            specs,
            words: words.iter(),
            forms_are_one: false,
        };
        let mut arguments = Self::default();
        while let Some(word) = reader.words.next() {
            if word == "--" {
                arguments.operands.extend(reader.words.by_ref().cloned());
                continue;
            }
            let bytes = word.as_bytes();
            match bytes.strip_prefix(b"-") {
                Some(text) if !text.is_empty() && reader.is_long_only(text) => {
                    let given = reader.long(word, text)?;
                    arguments.options.push(given);
                }
                _ if reader.option(word, &mut arguments.options)? => {}
                _ => arguments.operands.push(word.clone()),
            }
        }
        Ok(arguments)
    }

    /// Whether an option was given.
    pub(super) fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(key, _)| *key == long)
    }

    /// The last value of an option.
    pub(super) fn last(&self, long: &str) -> Option<&OsStr> {
        self.options
            .iter()
            .rev()
            .find(|(key, _)| *key == long)
            .map(|(_, value)| value.as_os_str())
    }

    /// The last value of an option, as text.
    pub(super) fn text(&self, long: &str) -> Option<String> {
        self.last(long).map(|value| value.to_string_lossy().into_owned())
    }

    /// All values of an option, as text.
    pub(super) fn texts(&self, long: &str) -> Vec<String> {
        let given = self.options.iter().filter(|(key, _)| *key == long);
        given
            .map(|(_, value)| value.to_string_lossy().into_owned())
            .collect()
    }
}

/// Reads options up to the first operand; gives the words from there on.
pub(super) fn parse_leading<'a>(
    who: &str,
    specs: &'static [Spec],
    words: &'a [OsString],
) -> Result<(Vec<Given>, &'a [OsString]), Misused> {
    let mut reader = Reader {
        who: who.into(),
        specs,
        words: words.iter(),
        forms_are_one: true,
    };
    let mut options = Vec::new();
    loop {
        let rest = reader.words.as_slice();
        match reader.words.next() {
            None => return Ok((options, &[])),
            Some(word) if word == "--" => return Ok((options, reader.words.as_slice())),
            Some(word) => {
                if !reader.option(word, &mut options)? {
                    return Ok((options, rest));
                }
            }
        }
    }
}

struct Reader<'a> {
    who: String,
    specs: &'a [Spec],
    words: std::slice::Iter<'a, OsString>,
    /// Whether an abbreviation of several forms of one option is that option.
    forms_are_one: bool,
}

impl Reader<'_> {
    fn fail(&self, message: &str) -> Misused {
        Misused {
            who: self.who.clone(),
            message: message.into(),
        }
    }

    /// Takes the word, and its value, if it is an option or a cluster of them.
    fn option(&mut self, word: &OsStr, options: &mut Vec<Given>) -> Result<bool, Misused> {
        let bytes = word.as_bytes();
        if let Some(long) = bytes.strip_prefix(b"--") {
            options.push(self.long(word, long)?);
            return Ok(true);
        }
        let Some(mut cluster) = bytes.strip_prefix(b"-").filter(|cluster| !cluster.is_empty()) else {
            return Ok(false);
        };
        while let Some((short, rest)) = cluster.split_first() {
            let letter = char::from(*short);
            let spec = *self
                .specs
                .iter()
                .find(|spec| spec.short == *short && *short != 0)
                .ok_or_else(|| self.fail(&format!("invalid option -- '{letter}'")))?;
            cluster = rest;
            let mut value = OsString::new();
            if spec.value {
                value = match rest {
                    [] => self.words.next().cloned(),
                    attached => Some(OsString::from_vec(attached.to_vec())),
                }
                .ok_or_else(|| self.fail(&format!("option requires an argument -- '{letter}'")))?;
                cluster = &[];
            }
            options.push((spec.key, value));
        }
        Ok(true)
    }

    /// Whether what stands behind a single dash is a long option, or the beginning of some.
    fn is_long_only(&self, text: &[u8]) -> bool {
        let name = text.split(|b| *b == b'=').next().unwrap_or_default();
        let is_short = |letter: &u8| {
            self.specs
                .iter()
                .any(|spec| spec.short == *letter && *letter != 0)
        };
        match text {
            [b'-', ..] => false,
            [letter] if is_short(letter) => false,
            [letter, ..] => self.specs.iter().any(|spec| spec.starts_with(name)) || !is_short(letter),
            [] => false,
        }
    }

    fn long(&mut self, word: &OsStr, text: &[u8]) -> Result<Given, Misused> {
        let (name, attached) = match text.iter().position(|b| *b == b'=') {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            None => (text, None),
        };
        let word = word.to_string_lossy();
        let dashes = if word.starts_with("--") { "--" } else { "-" };
        let spec = match self
            .specs
            .iter()
            .find(|spec| !name.is_empty() && spec.long.as_bytes() == name)
        {
            Some(exact) => *exact,
            None => {
                let found: Vec<&Spec> = self.specs.iter().filter(|spec| spec.starts_with(name)).collect();
                match found.as_slice() {
                    [] => return Err(self.fail(&format!("unrecognized option '{word}'"))),
                    [only] => **only,
                    // other forms of one option are no choice
                    [first, more @ ..]
                        if self.forms_are_one && more.iter().all(|spec| spec.key == first.key) =>
                    {
                        **first
                    }
                    several => {
                        let names: Vec<String> =
                            several.iter().map(|s| format!("'{dashes}{}'", s.long)).collect();
                        let names = names.join(" ");
                        return Err(
                            self.fail(&format!("option '{word}' is ambiguous; possibilities: {names}"))
                        );
                    }
                }
            }
        };
        let (key, name) = (spec.key, spec.long);
        match (spec.value, attached) {
            (false, None) => Ok((key, OsString::new())),
            (false, Some(attached)) if spec.optional => Ok((key, OsString::from_vec(attached.to_vec()))),
            (false, Some(_)) => Err(self.fail(&format!("option '{dashes}{name}' doesn't allow an argument"))),
            (true, Some(attached)) => Ok((key, OsString::from_vec(attached.to_vec()))),
            (true, None) => match self.words.next() {
                Some(next) => Ok((key, next.clone())),
                None => Err(self.fail(&format!("option '{dashes}{name}' requires an argument"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        value("format", b'f'),
        flag("quiet", b'q'),
        value("output", 0),
        value("object", 0),
        flag("shrink", 0),
    ];

    fn parse(words: &[&str]) -> Result<Arguments, Misused> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Arguments::parse("x", SPECS, &words)
    }

    #[test]
    fn options_stand_anywhere_before_the_double_dash() {
        let read = parse(&["a", "-qfraw", "--outp=json", "b", "--", "-q"]).unwrap();
        assert_eq!(read.operands, ["a", "b", "-q"]);
        assert_eq!(read.text("format").as_deref(), Some("raw"));
        assert_eq!(read.text("output").as_deref(), Some("json"));
        assert!(read.has("quiet") && !read.has("shrink"));
    }

    #[test]
    fn wrong_options_are_told_as_getopt_tells_them() {
        for (words, text) in [
            (&["--nope"][..], "unrecognized option '--nope'"),
            (&["-z"], "invalid option -- 'z'"),
            (&["-f"], "option requires an argument -- 'f'"),
            (&["--output"], "option '--output' requires an argument"),
            (
                &["--o=x"],
                "option '--o=x' is ambiguous; possibilities: '--output' '--object'",
            ),
            (&["--shrink=1"], "option '--shrink' doesn't allow an argument"),
        ] {
            let stop = parse(words).unwrap_err();
            assert_eq!((stop.who.as_str(), stop.message.as_str()), ("x", text));
        }
    }
}
