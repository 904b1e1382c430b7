//! The face of `virt-resize`: copies a disk to a larger or smaller one, with other sizes of its partitions.

use super::getopt::{Spec, alias, flag, value};
use super::guestfs_options::{DISPLAY_VERSION, HELP, MACHINE_READABLE, QUIET, TRACE, Tool, VERBOSE};
use super::step_lines::StepLines;
use crate::commands::fixed_clock;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use disksmith_guest::{
    PartitionFate, PlannedPartition, RepartitionPlan, RepartitionRequest, RepartitionStep, SizeRequest,
    UnknownFilesystems, human_as_tool as human, plan_repartition, repartition, unknown_text,
};
use disksmith_image::{Format, Image, OpenOptions};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-resize",
    "virt-resize: resize a virtual machine disk

 virt-resize [--options] indisk outdisk

Options:
  --align-first never|always|auto  Align the first partition (default: auto)
  --alignment SECTORS   Alignment of partitions (default: 128 sectors)
  --delete PART         Delete the partition
  --expand PART         Give the partition all room that is left
  --format FORMAT       Format of the source disk
  --ignore PART         Do not copy the partition's contents
  --lv-expand LV        Not supported yet
  -n, --dry-run         Show what would be done
  --no-copy-boot-loader Do not copy what stands before the first partition
  --no-expand-content   Leave filesystems as they are
  --no-extra-partition  Make no partition of the room that is left
  --no-sparse           Accepted: the copy is exact whatever the target held
  --ntfsresize-force    Accepted
  --output-format FORMAT  Format of the target disk
  --resize PART=SIZE    Give the partition a size: 10G, +1G, -200M, 90%, +10%
  --resize-force PART=SIZE  The same, even if that cuts what is in it
  --shrink PART         Take what is missing from the partition
  --unknown-filesystems ignore|warn|error  What to do where a filesystem cannot be expanded
",
    &SPECS,
    "dnqVvx",
)
.ocaml("or consult virt-resize(1) for more information.");

const SPECS: [Spec; 35] = [
    value("align-first", 0),
    value("alignment", 0),
    flag("color", 0),
    flag("colors", 0),
    flag("colour", 0),
    flag("colours", 0),
    flag("debug", b'd'),
    flag("debug-gc", 0),
    value("delete", 0),
    flag("dry-run", b'n'),
    flag("dryrun", 0),
    value("expand", 0),
    value("format", 0),
    HELP,
    value("ignore", 0),
    value("lv-expand", 0),
    alias("LV-expand", "lv-expand"),
    alias("lvexpand", "lv-expand"),
    alias("LVexpand", "lv-expand"),
    MACHINE_READABLE,
    flag("no-copy-boot-loader", 0),
    flag("no-expand-content", 0),
    flag("no-extra-partition", 0),
    flag("no-sparse", 0),
    flag("ntfsresize-force", 0),
    value("output-format", 0),
    QUIET,
    value("resize", 0),
    value("resize-force", 0),
    value("shrink", 0),
    value("unknown-filesystems", 0),
    DISPLAY_VERSION,
    VERBOSE,
    flag("wrap", 0),
    TRACE,
];

/// What it can do, for `--machine-readable`.
const CAPABILITIES: &str =
    "ntfsresize-force\n32bitok\n128-sector-alignment\nalignment\nalign-first\ninfinite-partitions\n";

/// A line of the summary, or a message besides the steps.
fn info(quiet: bool, text: &str) {
    if !quiet {
        let _ = print(format!("virt-resize: {text}\n"));
    }
}

/// Runs the face.
pub(super) fn run(_name: &str, words: &[OsString]) -> ExitCode {
    let invocation = match TOOL.read(words) {
        Ok(invocation) => invocation,
        Err(status) => return status,
    };
    let arguments = &invocation.arguments;
    if arguments.has("machine-readable") && arguments.operands.is_empty() {
        return match print(format!("virt-resize\n{CAPABILITIES}")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => TOOL.fail_with(&failure),
        };
    }
    let request = match request(arguments) {
        Ok(request) => request,
        Err(message) => return TOOL.fail(&message),
    };
    let [source, target] = arguments.operands.as_slice() else {
        return TOOL.fail("usage is: virt-resize [--options] indisk outdisk");
    };
    let job = Job {
        source: PathBuf::from(source),
        target: PathBuf::from(target),
        quiet: arguments.has("quiet"),
        dry_run: arguments.has("dry-run") || arguments.has("dryrun"),
        copy_boot_loader: !arguments.has("no-copy-boot-loader"),
        request,
    };
    let formats = format_of(arguments.last("format"))
        .and_then(|from| Ok((from, format_of(arguments.last("output-format"))?)));
    let (from, to) = match formats {
        Ok(formats) => formats,
        Err(message) => return TOOL.fail(&message),
    };
    match job.work(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

fn format_of(name: Option<&OsStr>) -> Result<Option<Format>, String> {
    use std::os::unix::ffi::OsStrExt;
    match name {
        None => Ok(None),
        Some(name) => match Format::from_name(name.as_bytes()) {
            Some(format) => Ok(Some(format)),
            None => Err(format!("{}: unknown format", name.display())),
        },
    }
}

/// A partition: `/dev/sda1`, `sda1`.
fn partition(text: &str, option: &str) -> Result<u32, String> {
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    let digits = ["sda", "vda", "hda"]
        .iter()
        .find_map(|disk| name.strip_prefix(disk));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            format!("{text}: partition not found in the source disk image (this error came from ‘{option}’ option on the command line)")
        })
}

/// A size: `10G`, `+1G`, `-200M`, `90%`, `+10%`.
fn size(text: &str) -> Option<SizeRequest> {
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1.0, rest),
        (_, Some(rest)) => (-1.0, rest),
        _ => (0.0, text),
    };
    let (at, unit) = rest.char_indices().next_back()?;
    let number: f64 = rest
        .get(..at)?
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    if unit == '%' {
        return Some(if sign == 0.0 {
            SizeRequest::Percent(number)
        } else {
            SizeRequest::DifferencePercent(sign * number)
        });
    }
    let factor = match unit {
        'b' => 1.0,
        'K' => 1024.0,
        'M' => 1_048_576.0,
        'G' => 1_073_741_824.0,
        _ => return None,
    };
    let bytes = number * factor;
    if bytes > 9.2e18 {
        return None;
    }
    Some(if sign == 0.0 {
        SizeRequest::Bytes(bytes as u64)
    } else {
        SizeRequest::Difference((sign * bytes) as i64)
    })
}

fn request(arguments: &super::getopt::Arguments) -> Result<RepartitionRequest, String> {
    let one = |option: &str| -> Result<Option<u32>, String> {
        arguments
            .text(option)
            .map(|text| partition(&text, &format!("--{option}")))
            .transpose()
    };
    let many = |option: &str| -> Result<Vec<u32>, String> {
        let texts = arguments.texts(option);
        texts
            .iter()
            .map(|text| partition(text, &format!("--{option}")))
            .collect()
    };
    if arguments.has("lv-expand") {
        return Err("--LV-expand: LVM is not supported yet".into());
    }
    let align_first = match arguments.text("align-first").as_deref() {
        None | Some("auto" | "never") => false,
        Some("always") => true,
        Some(_) => return Err("unknown --align-first option: use never|always|auto".into()),
    };
    let alignment = match arguments.text("alignment") {
        None => 128,
        Some(text) => text
            .parse()
            .ok()
            .filter(|sectors| (1..1 << 32).contains(sectors))
            .ok_or("alignment cannot be < 1")?,
    };
    let unknown = match arguments.text("unknown-filesystems").as_deref() {
        None | Some("warn") => UnknownFilesystems::Warn,
        Some("ignore") => UnknownFilesystems::Ignore,
        Some("error") => UnknownFilesystems::Error,
        Some(_) => return Err("unknown --unknown-filesystems: use ignore|warn|error".into()),
    };
    let mut resize = Vec::new();
    for (option, force) in [("resize", false), ("resize-force", true)] {
        for text in arguments.texts(option) {
            let (name, wanted) = text
                .split_once('=')
                .ok_or_else(|| format!("missing size field in ‘--{option} {text}’: use PART=SIZE"))?;
            let wanted = size(wanted)
                .ok_or_else(|| format!("cannot parse resize size field in ‘--{option} {text}’"))?;
            resize.push((partition(name, &format!("--{option}"))?, wanted, force));
        }
    }
    Ok(RepartitionRequest {
        expand: one("expand")?,
        shrink: one("shrink")?,
        resize,
        delete: many("delete")?,
        ignore: many("ignore")?,
        align_first,
        alignment,
        no_extra_partition: arguments.has("no-extra-partition"),
        keep_contents: arguments.has("no-expand-content"),
        unknown,
    })
}

/// What is to be done.
struct Job {
    source: PathBuf,
    target: PathBuf,
    quiet: bool,
    dry_run: bool,
    copy_boot_loader: bool,
    request: RepartitionRequest,
}

fn open(path: &Path, format: Option<Format>, writable: bool) -> Outcome<Image> {
    let options = OpenOptions::read().format(format);
    let options = if writable { options.writable() } else { options };
    Ok(Image::open(path, &options)?)
}

impl Job {
    fn work(&self, from: Option<Format>, to: Option<Format>) -> Outcome<()> {
        let steps = StepLines::new("virt-resize", self.quiet, false);
        let clock = fixed_clock()?;
        steps.say(&format!("Examining {}", self.source.display()));
        let source = open(&self.source, from, false)?;
        let target = open(&self.target, to, !self.dry_run)?;
        let mut plan = plan_repartition(source.storage(), target.size(), &self.request, &clock)?;
        if !self.copy_boot_loader {
            plan.boot_loader = 0;
        }
        self.summary(&plan);
        if self.dry_run {
            return Ok(());
        }
        let mut guid = [0; 16];
        getrandom::fill(&mut guid)
            .map_err(|error| Failure::usage(format!("cannot get random numbers: {error}")))?;
        steps.say(&format!(
            "Setting up initial partition table on {}",
            self.target.display()
        ));
        repartition(
            source.storage(),
            target.storage(),
            &plan,
            &self.request,
            guid,
            &clock,
            &mut |step| match step {
                RepartitionStep::Copying(p) => steps.say(&format!("Copying {}", p.device())),
                RepartitionStep::Expanding(p, method) => {
                    steps.say(&format!("Expanding {} using the ‘{method}’ method", names(p)));
                }
                _ => {}
            },
        )?;
        if !self.quiet {
            let _ = print("\n");
        }
        info(
            self.quiet,
            "Resize operation completed with no errors.  Before deleting the old disk, carefully check that the resized disk boots and works correctly.",
        );
        Ok(())
    }

    fn summary(&self, plan: &RepartitionPlan) {
        if self.quiet {
            return;
        }
        let mut text = String::from("**********\n\nSummary of changes:\n\n");
        for planned in &plan.partitions {
            text.push_str(&format!("virt-resize: {}\n\n", self.line(planned)));
        }
        if plan.surplus > 0 {
            let more = match (plan.wants_extra, plan.extra.is_some()) {
                (_, true) => "An extra partition will be created for the surplus.",
                (true, false) => {
                    "The surplus space is not large enough for an extra partition to be created and so it will just be ignored."
                }
                (false, false) => {
                    "The surplus space will be ignored.  Run a partitioning program in the guest to partition this extra space if you want."
                }
            };
            text.push_str(&format!(
                "virt-resize: There is a surplus of {}.  {more}\n\n",
                human(plan.surplus)
            ));
        }
        text.push_str("**********\n");
        let _ = print(text);
        if self.request.unknown == UnknownFilesystems::Warn {
            for planned in &plan.partitions {
                if planned.is_left_behind(self.request.keep_contents) {
                    eprintln!("virt-resize: warning: {}", unknown_text(planned));
                }
            }
        }
    }

    fn line(&self, planned: &PlannedPartition) -> String {
        let device = planned.device();
        let text = match planned.fate {
            PartitionFate::Copy => format!("{device}: This partition will be left alone."),
            PartitionFate::Delete => format!("{device}: This partition will be deleted."),
            PartitionFate::Ignore => format!(
                "{device}: This partition will be created, but the contents will be ignored (ie. not copied to the target)."
            ),
            PartitionFate::Resize(new) => format!(
                "{device}: This partition will be resized from {} to {}.",
                human(planned.source.len),
                human(new)
            ),
        };
        match (planned.method(self.request.keep_contents), planned.content) {
            (Some(method), Some(kind)) => format!(
                "{text}  The filesystem {} on {device} will be expanded using the ‘{method}’ method.",
                kind.name()
            ),
            _ => text,
        }
    }
}

/// A partition's name, with the one that it will have where that is another.
fn names(planned: &PlannedPartition) -> String {
    if planned.number == planned.source.number {
        planned.device()
    } else {
        format!("{} (now /dev/sda{})", planned.device(), planned.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_virt_resize_reads_them() {
        assert_eq!(size("10G"), Some(SizeRequest::Bytes(10 << 30)));
        assert_eq!(size("+128K"), Some(SizeRequest::Difference(128 << 10)));
        assert_eq!(size("-200M"), Some(SizeRequest::Difference(-(200 << 20))));
        assert_eq!(size("90%"), Some(SizeRequest::Percent(90.0)));
        assert_eq!(size("-10%"), Some(SizeRequest::DifferencePercent(-10.0)));
        for text in ["", "10", "10g", "%", "1T", "+"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn partitions_are_named_with_and_without_dev() {
        assert_eq!(partition("/dev/sda2", "--expand"), Ok(2));
        assert_eq!(partition("sda11", "--expand"), Ok(11));
        assert!(partition("/dev/sdb1", "--expand").is_err());
        assert!(partition("/dev/sda", "--expand").is_err());
    }
}
