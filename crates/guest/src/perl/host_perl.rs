//! Expressions that are beyond what is known here, run by the perl of the host: line by line, as virt-edit does it.
//!
//! The expression reaches it through the environment, never through a shell, and the guest's text through pipes.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the expression stands.
const VARIABLE: &str = "DISKSMITH_EDIT_EXPRESSION";
/// Largest text that may come out, in bytes.
const MAX_OUTPUT: u64 = 256 << 20;
/// What is kept of its complaints, in bytes.
const MAX_COMPLAINT: u64 = 4096;

const CHECK: &str = r#"eval "sub {\n$ENV{DISKSMITH_EDIT_EXPRESSION}\n}" or die $@;"#;

const RUN: &str = r#"
binmode STDIN;
binmode STDOUT;
$lineno = 0;
while (defined ($_ = <STDIN>)) {
    $lineno++;
    eval $ENV{DISKSMITH_EDIT_EXPRESSION};
    die $@ if $@;
    print STDOUT $_ or die "print: $!\n";
}
close STDOUT or die "close: $!\n";
"#;

/// The perl in one of the folders of a search path.
pub fn find_perl(search_path: &std::ffi::OsStr) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("perl"))
        .find(|program| program.is_file())
}

/// Has the expression compiled only. Gives what perl complains of.
pub(crate) fn check(perl: &Path, expression: &str) -> Result<(), String> {
    run(perl, CHECK, expression, b"").map(|_| ())
}

/// The text after the expression has run once for each line. Gives what perl complains of.
pub(crate) fn apply(perl: &Path, expression: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    run(perl, RUN, expression, text)
}

fn run(perl: &Path, program: &str, expression: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot run {}: {error}", perl.display());
    let mut child = Command::new(perl)
        .args(["-e", program])
        .env(VARIABLE, expression)
        .env("LC_ALL", "C")
        .env_remove("PERL5OPT")
        .env_remove("PERL5LIB")
        .env_remove("PERL_UNICODE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let talked = talk(&mut child, text);
    if talked.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    let (output, complaint) = talked.map_err(failed)?;
    if output.len() as u64 > MAX_OUTPUT {
        return Err(format!("the text would become larger than {MAX_OUTPUT} bytes"));
    }
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let first = complaint.lines().next().unwrap_or_default().trim();
        return Err(match first {
            "" => format!("perl ended with {status}"),
            text => text.to_owned(),
        });
    }
    Ok(output)
}

/// Feeds it and reads what it says, all at once: a pipe that nobody empties would stop it.
fn talk(child: &mut Child, text: &[u8]) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let feeding = scope.spawn(move || {
            if let Some(mut pipe) = stdin {
                // One that stops reading has its reasons, and says them.
                let _ = pipe.write_all(text);
            }
        });
        let complaining = scope.spawn(move || {
            let mut complaint = Vec::new();
            if let Some(mut pipe) = stderr {
                let _ = pipe.by_ref().take(MAX_COMPLAINT).read_to_end(&mut complaint);
                let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            }
            complaint
        });
        let mut output = Vec::new();
        let read = match stdout {
            Some(mut pipe) => {
                let read = pipe.by_ref().take(MAX_OUTPUT + 1).read_to_end(&mut output);
                // Beyond the limit it is told by a closed pipe.
                drop(pipe);
                read
            }
            None => Ok(0),
        };
        let _ = feeding.join();
        let complaint = complaining.join().unwrap_or_default();
        read.map(|_| (output, complaint))
    })
}
