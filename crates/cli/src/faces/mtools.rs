//! The faces of mtools 4.0.32: `mcopy`, `mdir` and the others, with their options, texts and exit status. Images may also be qcow2, and a
//! command's changes are made as a whole or not at all.

mod arguments;
mod attrib;
mod clash;
mod configuration;
mod copy;
mod copy_in;
mod copy_out;
mod delete;
mod dir;
mod disk_usage;
mod format;
mod info;
mod label;
mod make_dir;
mod path;
mod rename;
mod session;

use arguments::Given;
use session::Session;
use std::ffi::OsString;
use std::process::ExitCode;

/// Every name that it is called by.
pub(super) const NAMES: &[&str] = &[
    "mcopy", "mdir", "mmd", "mdel", "mtype", "mlabel", "mrd", "mren", "mmove", "mattrib", "mformat", "minfo",
    "mdeltree", "mdu",
];

/// What makes a command end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It was called wrongly: a message, if there is one, then version and usage.
    Usage(Option<String>),
    /// It failed, with this on standard error.
    Failed(String),
    /// Everything was said already.
    Silent,
}

/// How a command ended: whether all of it worked.
type Done = Result<bool, Stop>;

impl Stop {
    fn failed(message: impl std::fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }
}

/// Runs the face.
pub(super) fn run(name: &str, words: &[OsString]) -> ExitCode {
    match work(name, words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(Stop::Silent) => ExitCode::FAILURE,
        Err(Stop::Failed(message)) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
        Err(Stop::Usage(message)) => {
            if let Some(message) = message {
                eprintln!("{message}");
            }
            eprintln!("Mtools version 4.0.32, dated July 10th, 2021");
            eprint!("{}", usage(name));
            ExitCode::FAILURE
        }
    }
}

fn work(name: &str, words: &[OsString]) -> Done {
    let given = Given::parse(name, words)?;
    if given.has(b'V') {
        print(&format!(
            "{name} (GNU mtools) 4.0.32\nconfigured with the following options: enable-xdf disable-vold disable-new-vold disable-debug \
             enable-raw-term \n"
        ));
        return Ok(true);
    }
    let writes = !matches!(name, "mdir" | "mtype" | "minfo" | "mdu");
    if name == "mformat" {
        return format::run(&given);
    }
    let mut session = Session::new(name, given.image(), writes)?;
    let done = match name {
        "mdir" => dir::run(&mut session, &given),
        "mcopy" => copy::run(&mut session, &given),
        "mtype" => copy::run_type(&mut session, &given),
        "mmd" => make_dir::run(&mut session, &given),
        "mdel" | "mrd" | "mdeltree" => delete::run(&mut session, &given),
        "mren" | "mmove" => rename::run(&mut session, &given),
        "mattrib" => attrib::run(&mut session, &given),
        "mlabel" => label::run(&mut session, &given),
        "minfo" => info::run(&mut session, &given),
        "mdu" => disk_usage::run(&mut session, &given),
        _ => Err(Stop::Usage(None)),
    };
    // What could be done is kept, as far as it is whole.
    match done {
        Ok(all) => {
            session.commit()?;
            Ok(all)
        }
        Err(stop) => Err(stop),
    }
}

/// Prints on standard output; a closed pipe is nobody's failure.
fn print(text: &str) {
    print_bytes(text.as_bytes());
}

fn print_bytes(bytes: &[u8]) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn usage(name: &str) -> String {
    match name {
        "mcopy" | "mtype" => format!(
            "Usage: {name} [-spatnmQVBT] [-D clash_option] sourcefile targetfile\n       \
             {name} [-spatnmQVBT] [-D clash_option] sourcefile [sourcefiles...] targetdirectory\n"
        ),
        "mdir" => format!(
            "Usage: {name}: [-V] [-w] [-a] [-b] [-s] [-f] msdosdirectory\n       \
             {name}: [-V] [-w] [-a] [-b] [-s] [-f] msdosfile [msdosfiles...]\n"
        ),
        "mmd" => format!(
            "Usage: {name} [-D clash_option] file targetfile\n       \
             {name} [-D clash_option] file [files...] target_directory\n"
        ),
        "mren" | "mmove" => format!(
            "Usage: {name} [-vV] [-D clash_option] file targetfile\n       \
             {name} [-vV] [-D clash_option] file [files...] target_directory\n"
        ),
        "mattrib" => {
            format!("Usage: {name} [-p] [-a|+a] [-h|+h] [-r|+r] [-s|+s] msdosfile [msdosfiles...]\n")
        }
        "mlabel" => format!("Usage: {name} [-vscVn] [-N serial] drive:\n"),
        "minfo" => format!("Usage: {name} [-v] drive\n"),
        "mdu" => format!("Usage: {name}: msdosdirectory\n"),
        "mformat" => format!(
            "Usage: {name} [-V] [-t tracks] [-h heads] [-n sectors] [-v label] [-1] [-4] [-8] [-f size] [-N serialnumber] [-k] \
             [-B bootsector] [-r root_dir_len] [-L fat_len] [-F] [-I fsVersion] [-C] [-c cluster_size] [-H hidden_sectors] [-X] \
             [-S hardsectorsize] [-M softsectorsize] [-3] [-2 track0sectors] [-0 rate0] [-A rateany] [-a]device\n"
        ),
        _ => format!("Usage: {name} [-v] msdosfile [msdosfiles...]\n"),
    }
}
