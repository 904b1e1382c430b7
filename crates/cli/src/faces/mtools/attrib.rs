//! `mattrib`: shows and changes attribute bits.

use super::arguments::Given;
use super::path::{DosPath, Found, describes, expand, is_pattern};
use super::session::{Session, Volume};
use super::{Done, Stop, print};
use disksmith_fat::Attributes;

/// Letters and bits, in the order in which they are shown.
const LETTERS: [(u8, Attributes); 4] = [
    (b'a', Attributes::ARCHIVE),
    (b's', Attributes::SYSTEM),
    (b'h', Attributes::HIDDEN),
    (b'r', Attributes::READ_ONLY),
];

struct Work {
    set: u8,
    clear: u8,
    recursive: bool,
    concise: bool,
    replay: bool,
    /// Whether one name is asked about, which need not be told.
    alone: bool,
}

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let mut work = Work {
        set: 0,
        clear: 0,
        recursive: given.has(b'/'),
        concise: given.has(b'X'),
        replay: given.has(b'p'),
        alone: false,
    };
    for (letter, bits) in LETTERS {
        if given.has(letter) {
            work.clear |= bits.0;
        }
    }
    let mut names = Vec::new();
    for name in given.names() {
        match name.strip_prefix('+') {
            Some(letters) => {
                for letter in letters.bytes() {
                    match LETTERS.iter().find(|(known, _)| *known == letter) {
                        Some((_, bits)) => work.set |= bits.0,
                        None => return Err(Stop::Usage(None)),
                    }
                }
            }
            None => names.push(name),
        }
    }
    if names.is_empty() {
        return Err(Stop::Usage(None));
    }
    work.alone = names.len() == 1 && !work.recursive && !names.iter().any(|name| is_pattern(name));
    let mut all = true;
    for name in names {
        let path = DosPath::on_drive(&name);
        let not_found = path.not_found(session);
        let volume = session.volume(path.drive)?;
        let mut found = expand(volume, &path.parts)?;
        // Patterns describe a directory's entries for itself and its parent too.
        if let Some((last, parents)) = path.parts.split_last().filter(|(last, _)| is_pattern(last)) {
            let mut dots = Vec::new();
            for dir in expand(volume, parents)? {
                if dir.is_dir() {
                    let entries = volume.fat.dot_details(dir.inode).map_err(Stop::failed)?;
                    let described = entries.into_iter().filter(|entry| describes(last, entry));
                    dots.extend(described.map(|entry| dir.child(entry)));
                }
            }
            if work.set | work.clear == 0 {
                dots.append(&mut found);
                found = dots;
            }
        }
        if found.is_empty() {
            eprintln!("{not_found}");
            all = false;
        }
        for found in found {
            work.visit(volume, &found)?;
        }
    }
    Ok(all)
}

impl Work {
    fn visit(&self, volume: &Volume, found: &Found) -> Result<(), Stop> {
        if self.set | self.clear == 0 {
            self.show(found);
        } else if let Some(entry) = &found.entry {
            let bits = entry.attributes.0 & !self.clear | self.set;
            if bits != entry.attributes.0 {
                volume
                    .fat
                    .set_attributes(found.inode, Attributes(bits))
                    .map_err(Stop::failed)?;
            }
        }
        if self.recursive && found.is_dir() {
            for child in found.children(volume)? {
                self.visit(volume, &child)?;
            }
        }
        Ok(())
    }

    fn show(&self, found: &Found) {
        let bits = found
            .entry
            .as_ref()
            .map_or(Attributes::default(), |entry| entry.attributes);
        let letter = |letter: u8| {
            let known = LETTERS.iter().find(|(known, _)| *known == letter);
            match known.is_some_and(|(_, bit)| bits.has(*bit)) {
                true => char::from(letter.to_ascii_uppercase()),
                false => ' ',
            }
        };
        if self.concise {
            let text: String = LETTERS.iter().map(|(known, _)| letter(*known)).collect();
            let directory = if found.is_dir() { "D" } else { "" };
            let path = match self.alone {
                true => String::new(),
                false => format!(" {}", found.path),
            };
            print(&format!("{directory}{}{path}\n", text.replace(' ', "")));
        } else if self.replay {
            // A new file has its archive bit only; read-only files are told of by nobody.
            let mut text = String::from("mattrib");
            for (known, bit) in LETTERS {
                match (known, bits.has(bit)) {
                    (b'a', false) if !found.is_dir() => text.push_str(" -a"),
                    (b's' | b'h', true) => {
                        text.push_str(" +");
                        text.push(char::from(known));
                    }
                    _ => {}
                }
            }
            if text.len() > "mattrib".len() {
                print(&format!("{text} \"{}\"\n", found.path));
            }
        } else {
            let (a, s, h, r) = (letter(b'a'), letter(b's'), letter(b'h'), letter(b'r'));
            print(&format!("  {a}  {s}{h}{r}     {}\n", found.path));
        }
    }
}
