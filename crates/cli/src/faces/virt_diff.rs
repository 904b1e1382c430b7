//! The face of `virt-diff`: what differs between the files of two guests.

use super::getopt::{Spec, also, flag, optional};
use super::guestfs_options::{
    ADD, ADD_SECOND, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, DOMAIN_SECOND, ECHO_KEYS, FORMAT, HELP,
    Invocation, KEY, KEYS_FROM_STDIN, TRACE, Tool, VERBOSE,
};
use crate::clock;
use crate::diff_lines::{DiffLook, DiffTimes};
use crate::failure::{Failure, Outcome};
use disksmith_guest::{Checksum, Compared, DiffOptions};
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::io::BufWriter;
use std::process::ExitCode;

const CHECKSUM: Spec = optional("checksum");
const DIR_LINKS: Spec = flag("dir-links", 0);
const DIR_TIMES: Spec = flag("dir-times", 0);
const EXTRA_STATS: Spec = flag("extra-stats", 0);
const TIMES: Spec = flag("times", 0);
const UIDS: Spec = flag("uids", 0);
const XATTRS: Spec = flag("xattrs", 0);

static TOOL: Tool = Tool::new(
    "virt-diff",
    "virt-diff: list differences between guests
Usage:
  virt-diff [OPTIONS] -a OLD [-a OLD …] -A NEW [-A NEW …]
What counts:
  --atime              Times of access too
  --dir-links          Numbers of links of directories too
  --dir-times          Times of directories too
  --checksum[=crc|md5|sha1|sha224|sha256|sha384|sha512]  Contents, not only sizes and times
What is shown:
  --all                The same as --extra-stats --times --uids --xattrs
  --extra-stats        Device, inode, links, device number, blocks
  --times              Times
  --time-days          …in days before now
  --time-relative      …in seconds before now
  --time-t             …in seconds since 1970
  --uids               User and group numbers
  --xattrs             Extended attributes
  --csv                Comma-separated values
  -h|--human-readable  Sizes with a unit
",
    &[
        ADD,
        flag("all", 0),
        flag("atime", 0),
        ADD_SECOND,
        BLOCKSIZE,
        CHECKSUM,
        also("checksums", CHECKSUM),
        flag("csv", 0),
        CONNECT,
        also("dir-link", DIR_LINKS),
        DIR_LINKS,
        also("dir-nlink", DIR_LINKS),
        also("dir-nlinks", DIR_LINKS),
        also("dir-time", DIR_TIMES),
        DIR_TIMES,
        DOMAIN,
        DOMAIN_SECOND,
        ECHO_KEYS,
        also("extra-stat", EXTRA_STATS),
        EXTRA_STATS,
        FORMAT,
        HELP,
        flag("human-readable", b'h'),
        KEY,
        KEYS_FROM_STDIN,
        also("time", TIMES),
        TIMES,
        flag("time-days", 0),
        flag("time-relative", 0),
        flag("time-t", 0),
        also("uid", UIDS),
        UIDS,
        VERBOSE,
        DISPLAY_VERSION,
        also("xattr", XATTRS),
        XATTRS,
        TRACE,
    ],
    "aAcdDhvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if let Err(status) = call.refuse_operands("--checksum or --format") {
        return status;
    }
    if call.has("csv") && call.has("human-readable") {
        return TOOL.fail("you cannot use -h and --csv options together.");
    }
    if call.drives.is_empty() && call.domains.is_empty() {
        TOOL.fail("error: you must specify at least one -a or -d option.");
        return TOOL.wrong_use();
    }
    if call.second_drives.is_empty() && !call.has("second-domain") {
        TOOL.fail("error: you must specify at least one -A or -D option.");
        return TOOL.wrong_use();
    }
    match compare(&call) {
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

fn compare(call: &Invocation) -> Outcome<bool> {
    let look = look(call)?;
    let second = call.second()?;
    call.look(|old| {
        Ok(second.look(|new| {
            let compared = Compared::new(old, new, look.compared);
            let mut out = BufWriter::new(std::io::stdout().lock());
            Ok(look.print(TOOL.name, &compared, &mut out))
        }))
    })??
}

fn look(call: &Invocation) -> Outcome<DiffLook> {
    let all = call.has("all");
    let checksum = match call.arguments.text("checksum").as_deref() {
        None => None,
        Some("") => Some(Checksum::Md5),
        Some(name) => Some(
            Checksum::from_name(&name.to_ascii_lowercase())
                .ok_or_else(|| Failure::usage(format!("{name}: unknown checksum type")))?,
        ),
    };
    let now = clock::now()?;
    // the last of them counts; --times takes back none of the others
    let styles = call.arguments.options().iter().rev();
    let style = styles
        .filter_map(|(key, _)| match *key {
            "time-t" => Some(DiffTimes::Seconds),
            "time-relative" => Some(DiffTimes::Relative(now)),
            "time-days" => Some(DiffTimes::Days(now)),
            _ => None,
        })
        .next();
    let dated = (all || call.has("times")).then(|| DiffTimes::Date(TimeZone::system()));
    Ok(DiffLook {
        compared: DiffOptions {
            access_times: call.has("atime"),
            directory_times: call.has("dir-times"),
            directory_links: call.has("dir-links"),
            contents: checksum.is_some(),
        },
        csv: call.has("csv"),
        human_readable: call.has("human-readable"),
        uids: all || call.has("uids"),
        times: style.or(dated),
        extra_stats: all || call.has("extra-stats"),
        checksum,
        xattrs: all || call.has("xattrs"),
    })
}
