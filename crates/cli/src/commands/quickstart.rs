//! `disksmith quickstart`.

use super::Globals;
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use clap::Args;
use disksmith_guest::{
    Context, GuestOptions, Operation, RootChoice, SeededRandom, Skeleton, SystemRandom, Template, customize,
    default_operations, edit, look, make_template, sysprep,
};
use disksmith_image::{
    CloneOptions, ConvertOptions, DiskSpec, Format, Image, NoProgress, OpenOptions, TransactionOptions,
    check, clone_linked, compare, convert, human_size,
};
use disksmith_qcow2::Repair;
use disksmith_seed::{BuildOptions, Document, NoCloud};
use disksmith_storage::{Durability, ErrorKind, Existing, LockMode};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Do the whole story once on a small template, and leave the files to look at
#[derive(Debug, Args)]
pub(crate) struct QuickstartArgs {
    /// The folder that the files go to; it must not be there yet
    #[arg(default_value = "quickstart")]
    directory: PathBuf,
}

const USER_DATA: &str = "#cloud-config\nusers:\n  - default\nruncmd:\n  - echo ready > /run/ready\n";
const NETWORK_CONFIG: &str =
    "version: 2\nethernets:\n  nic:\n    match:\n      name: \"e*\"\n    dhcp4: true\n";
const TEMPLATE_SIZE: u64 = 2 << 30;

/// Prints each step with its time.
struct Story {
    started: Instant,
    quiet: bool,
}

impl Story {
    /// Does a step: says what the same would be on a command line, what came of it, and how long it took.
    fn step<T>(
        &self,
        command: &str,
        work: impl FnOnce() -> Outcome<T>,
        result: impl FnOnce(&T) -> String,
    ) -> Outcome<T> {
        let before = Instant::now();
        let done = work()?;
        let milliseconds = before.elapsed().as_secs_f64() * 1000.0;
        if !self.quiet {
            print(format!(
                "{milliseconds:8.1} ms  {command}\n             {}\n",
                result(&done)
            ))?;
        }
        Ok(done)
    }
}

pub(crate) fn run(args: &QuickstartArgs, globals: &Globals) -> Outcome {
    let folder = &args.directory;
    std::fs::create_dir(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(ErrorKind::Refused, format!("{} exists already", folder.display()))
                .or_hint("remove it, or name another folder: disksmith quickstart DIRECTORY")
        }
        _ => Failure::io("make", folder, &error),
    })?;
    tell(folder, globals).map_err(|failure| {
        // made by this run alone, so nothing of the user's is in it
        let _ = std::fs::remove_dir_all(folder);
        failure.unchanged(format!("no {} was left behind", folder.display()))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Does the story in a folder that was just made.
fn tell(folder: &Path, globals: &Globals) -> Outcome<()> {
    let story = Story {
        started: Instant::now(),
        quiet: globals.quiet,
    };
    let file = |name: &str| folder.join(name);
    let (template, vm1, vm2) = (file("template.qcow2"), file("vm1.qcow2"), file("vm2.qcow2"));
    let time = clock::now()?;

    let made = Template {
        size: TEMPLATE_SIZE,
        label: "rootfs".into(),
        identifiers: identifiers()?,
        time,
        skeleton: Skeleton::default(),
    };
    story.step(
        "(a template: partition table, ext4 and a minimal Debian tree, laid out by disksmith itself)",
        || Ok(make_template(&template, &made)?),
        |()| size_on_disk(&template),
    )?;

    let guest = GuestOptions {
        mounts: Vec::new(),
        root: RootChoice::default(),
        clock: time,
        keys: disksmith_image::Keys::none(),
        gate: disksmith_image::Gate::FollowAll,
    };
    let mut random = SystemRandom;
    let mut context = Context::new(&mut random);
    story.step(
        "disksmith sysprep -a template.qcow2",
        || {
            edit_one(&template, &guest, |g| {
                sysprep(g, &default_operations(), &[], &mut context)
            })
        },
        |report| format!("{} operations", report.steps.len()),
    )?;
    story.step(
        "disksmith clone template.qcow2 vm1.qcow2 vm2.qcow2",
        || {
            let targets = [vm1.clone(), vm2.clone()];
            Ok(clone_linked(
                &template,
                &targets,
                &CloneOptions::default(),
                &NoProgress,
            )?)
        },
        |()| format!("vm1.qcow2: {}", size_on_disk(&vm1)),
    )?;
    let operations = [
        ("hostname", "web1"),
        ("timezone", "Asia/Shanghai"),
        ("root-password", "password:s3cret"),
        ("write", "/etc/motd:hello\n"),
        (
            "edit",
            "/etc/ssh/sshd_config:s/^#?PermitRootLogin.*/PermitRootLogin no/",
        ),
        ("mkdir", "/srv/data"),
        ("firstboot-command", "echo first boot"),
    ]
    .map(|(name, argument)| Operation::parse(name, argument, disksmith_guest::Dialect::Disksmith));
    let operations = operations.into_iter().collect::<Result<Vec<_>, _>>()?;
    story.step(
        "disksmith customize -a vm1.qcow2 --hostname web1 --timezone Asia/Shanghai --root-password password:s3cret …",
        || edit_one(&vm1, &guest, |g| customize(g, &operations, &mut context)),
        |report| format!("{} changes", report.steps.iter().map(|s| s.changes.len()).sum::<usize>()),
    )?;
    story.step(
        "disksmith cat -a vm1.qcow2 /etc/hostname",
        || {
            let disks = [(vm1.clone(), None)];
            Ok(look(
                &disks,
                &guest,
                |_| (),
                |g| Ok(g.tree().read_to_string("/etc/hostname")?),
            )?)
        },
        |text| text.trim_end().to_owned(),
    )?;
    let seed = NoCloud {
        user_data: Some(Document::new("user-data", USER_DATA)),
        network_config: Some(Document::new("network-config", NETWORK_CONFIG)),
        local_hostname: Some("web1".into()),
        name: Some("vm1-seed.iso".into()),
        ..NoCloud::default()
    };
    story.step(
        "disksmith seed vm1-seed.iso --user-data user-data --network-config network-config --hostname web1",
        || {
            let made = seed.build(&BuildOptions::new(time))?;
            made.write_file(&file("vm1-seed.iso"), Existing::Refuse, Durability::Deferred)?;
            Ok(made)
        },
        |made| format!("instance-id {}", made.instance_id.as_str().unwrap_or("unknown")),
    )?;
    conversions(&story, folder, &vm1)?;
    let total = story.started.elapsed().as_secs_f64() * 1000.0;
    if !globals.quiet {
        print(format!(
            "{total:8.1} ms  in all; the files are in {}\n",
            folder.display()
        ))?;
    }
    Ok(())
}

/// The steps on whole images.
fn conversions(story: &Story, folder: &Path, vm1: &Path) -> Outcome<()> {
    let source = [vm1.to_owned()];
    let (raw, flat) = (folder.join("vm1.raw"), folder.join("vm1-flat.qcow2"));
    for (command, target, format, compress) in [
        (
            "disksmith convert -O raw vm1.qcow2 vm1.raw",
            &raw,
            Format::Raw,
            false,
        ),
        (
            "disksmith convert -O qcow2 -c vm1.qcow2 vm1-flat.qcow2",
            &flat,
            Format::Qcow2,
            true,
        ),
    ] {
        let options = ConvertOptions {
            compress,
            ..ConvertOptions::new(format)
        };
        story.step(
            command,
            || {
                Ok(convert(
                    &source,
                    &OpenOptions::read(),
                    target,
                    &options,
                    &NoProgress,
                )?)
            },
            |_| size_on_disk(target),
        )?;
    }
    for image in [vm1, &flat] {
        story.step(
            &format!("disksmith check {}", name(image)),
            || Ok(check(image, None, Repair::None, LockMode::Lock)?),
            |report| {
                if report.is_clean() {
                    "no errors".into()
                } else {
                    report.to_human()
                }
            },
        )?;
    }
    story.step(
        "disksmith compare vm1.raw vm1-flat.qcow2",
        || {
            let open = |path: &Path| Image::open(path, &OpenOptions::read());
            let (a, b) = (open(&raw)?, open(&flat)?);
            Ok(compare(&**a.storage(), &**b.storage(), false, &NoProgress)?)
        },
        |result| result.to_human().trim_end().to_owned(),
    )?;
    Ok(())
}

fn edit_one<T>(
    image: &Path,
    guest: &GuestOptions,
    work: impl FnOnce(&disksmith_guest::Guest) -> disksmith_guest::Result<T>,
) -> Outcome<T> {
    Ok(edit(
        &[DiskSpec::in_place(image)],
        &TransactionOptions::default(),
        guest,
        work,
    )?
    .0)
}

/// Identifiers of version 4: random, but fixed where the output shall be reproducible.
fn identifiers() -> Outcome<[[u8; 16]; 4]> {
    use disksmith_guest::RandomSource;
    let mut bytes = [[0; 16]; 4];
    let mut source: Box<dyn RandomSource> = if clock::is_fixed() {
        Box::new(SeededRandom::new(1))
    } else {
        Box::new(SystemRandom)
    };
    for id in &mut bytes {
        source.fill(id)?;
        *id = uuid::Builder::from_random_bytes(*id).into_uuid().into_bytes();
    }
    Ok(bytes)
}

fn name(path: &Path) -> impl Display {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn size_on_disk(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    match path.metadata() {
        Ok(found) => format!("{} on disk", human_size(found.blocks().saturating_mul(512))),
        Err(error) => error.to_string(),
    }
}
