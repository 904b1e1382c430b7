//! Finding the text at a position, for positions that mostly go forward.

/// A place in a text: the start of a line, and a character of that line.
#[derive(Debug)]
pub(super) struct Place<'a> {
    text: &'a str,
    /// Line, from 1, and the offset in bytes at which it starts.
    line: (usize, usize),
    /// Characters of the line before the place, and the bytes that they take.
    column: (usize, usize),
}

impl<'a> Place<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            line: (1, 0),
            column: (0, 0),
        }
    }

    /// What of its line stands before a position, both numbers from 1. `None` where the text has no such position.
    pub(super) fn before(&mut self, (line, column): (usize, usize)) -> Option<&'a str> {
        if line < self.line.0 {
            *self = Self::new(self.text);
        }
        while self.line.0 < line {
            let rest = self.text.get(self.line.1..)?;
            let end = rest.find('\n')?;
            self.line = (self.line.0 + 1, self.line.1 + end + 1);
            self.column = (0, 0);
        }
        let characters = column.checked_sub(1)?;
        if characters < self.column.0 {
            self.column = (0, 0);
        }
        let rest = self.text.get(self.line.1 + self.column.1..)?;
        let mut further = rest.chars().take_while(|c| *c != '\n');
        while self.column.0 < characters {
            let Some(next) = further.next() else { break };
            self.column = (self.column.0 + 1, self.column.1 + next.len_utf8());
        }
        self.text.get(self.line.1..self.line.1 + self.column.1)
    }
}

/// The column of a tab in the white space before a position; PyYAML takes none there.
pub(super) fn tab_before(place: &mut Place<'_>, at: (usize, usize)) -> Option<usize> {
    let before = place.before(at)?;
    let words = before.trim_end_matches([' ', '\t']);
    let tab = before.get(words.len()..)?.find('\t')?;
    Some(before.get(..words.len() + tab)?.chars().count() + 1)
}
