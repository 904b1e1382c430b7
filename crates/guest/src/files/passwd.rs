//! `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use super::{lines, text};

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// The password field: `x` where `/etc/shadow` has it.
    pub password: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: Vec<u8>,
    /// Login shell.
    pub shell: String,
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Users that it lists.
    pub members: Vec<String>,
}

/// The users of the file; lines that are none (NIS entries, damage) are passed over.
pub fn parse_passwd(contents: &[u8]) -> Vec<User> {
    lines(contents)
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let name = text(fields.next()?);
            let password = text(fields.next()?);
            let uid = number(fields.next()?)?;
            let gid = number(fields.next()?)?;
            let _full_name = fields.next()?;
            let home = fields.next()?.to_vec();
            let shell = text(fields.next().unwrap_or_default());
            (!name.is_empty()).then_some(User {
                name,
                password,
                uid,
                gid,
                home,
                shell,
            })
        })
        .collect()
}

/// The groups of the file; lines that are none are passed over.
pub fn parse_group(contents: &[u8]) -> Vec<Group> {
    lines(contents)
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let name = text(fields.next()?);
            let _password = fields.next()?;
            let gid = number(fields.next()?)?;
            let members = text(fields.next().unwrap_or_default());
            (!name.is_empty()).then(|| Group {
                name,
                gid,
                members: members
                    .split(',')
                    .filter(|m| !m.is_empty())
                    .map(str::to_owned)
                    .collect(),
            })
        })
        .collect()
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_over_what_is_no_user() {
        let users = parse_passwd(
            b"root:x:0:0:root:/root:/bin/bash\n+::::::\n\nbroken:x:notanumber:0::/:\nalice:x:1000:100:A,,,:/home/alice:/bin/zsh",
        );
        assert_eq!(users.len(), 2);
        assert_eq!(
            (users[1].uid, users[1].gid, users[1].home.as_slice()),
            (1000, 100, &b"/home/alice"[..])
        );
        let groups = parse_group(b"root:x:0:\nwheel:x:10:alice,bob\n");
        assert_eq!(groups[1].members, ["alice", "bob"]);
    }
}
