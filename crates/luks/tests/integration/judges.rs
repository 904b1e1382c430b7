//! The independent programs that decide, and a world without chance.

use disksmith_luks::Outside;
use disksmith_storage::testing::Random;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Whether a program is there. Where it is not, a test fails in CI and says loudly elsewhere that it was skipped.
pub(crate) fn have(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is needed and missing"
        );
        eprintln!("SKIPPED: {program} is missing, its judgement was not asked for");
    }
    there
}

/// Runs a shell command that must succeed; returns what it printed.
pub(crate) fn sh(dir: &Path, command: &str) -> String {
    let out = Command::new("sh")
        .args(["-ec", &format!("PATH=$PATH:/usr/sbin:/sbin; {command}")])
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{:.200}: {}\n{}{}",
        command,
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// Numbers that come again, and a clock that runs as fast as it is looked at.
pub(crate) struct Fixed {
    random: Random,
    looked: u64,
}

impl Fixed {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            looked: 0,
        }
    }
}

impl Outside for Fixed {
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.random.fill(bytes);
        Ok(())
    }

    fn elapsed(&mut self) -> Duration {
        self.looked += 1;
        Duration::from_secs(self.looked)
    }
}
