//! Times beside qemu-img's, for people to read: nothing is asserted. Run with optimised crates:
//! `cargo test -p disksmith-image --release --test integration speed -- --ignored --nocapture`.

use crate::judge::{have, ok, qemu_img};
use disksmith_image::{
    CloneOptions, ConvertOptions, Format, Image, NamePattern, NoProgress, OpenOptions, clone_linked, compare,
    convert,
};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The shortest time on the clock, and the least time of processors.
type Times = (Duration, Duration);

/// Processor time of this process and of the children that have ended.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..15].iter().map(|f| f.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn best<T>(mut times: usize, mut run: impl FnMut() -> T) -> Times {
    let mut best = (Duration::MAX, Duration::MAX);
    while times > 0 {
        let (start, before) = (Instant::now(), cpu());
        run();
        best = (best.0.min(start.elapsed()), best.1.min(cpu() - before));
        times -= 1;
    }
    best
}

fn line(what: &str, ours: Times, theirs: Times) {
    let ratio = |a: Duration, b: Duration| b.as_secs_f64() / a.as_secs_f64().max(0.001);
    eprintln!(
        "{what:<26} {:>9.1?} of {:>9.1?} ratio {:.2}; processor {:>7.1?} of {:>7.1?} ratio {:.2}",
        ours.0,
        theirs.0,
        ratio(ours.0, theirs.0),
        ours.1,
        theirs.1,
        ratio(ours.1, theirs.1)
    );
}

#[test]
#[ignore = "prints times"]
fn speed() {
    if !have("qemu-img") {
        return;
    }
    let root = std::env::var_os("DISKSMITH_SPEED_DIR").unwrap_or("/dev/shm".into());
    let dir = tempfile::tempdir_in(root).unwrap();
    let dir = dir.path();
    let size = 1u64 << 30;
    let file = std::fs::File::create(dir.join("half.raw")).unwrap();
    file.set_len(size).unwrap();
    let mut x = 1u32;
    let block: Vec<u8> = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        if x.is_multiple_of(3) { 0 } else { x as u8 }
    })
    .take(4 << 20)
    .collect();
    for at in (0..size).step_by(8 << 20) {
        file.write_all_at(&block, at).unwrap();
    }
    qemu_img(dir, "convert -f raw -O qcow2 half.raw half.qcow2");
    let flags = ["", "-W -m 8", "-m 16 -W"];
    let mut turn = 0;
    for (source, format, from) in [
        ("half.raw", Format::Qcow2, "raw"),
        ("half.qcow2", Format::Raw, "qcow2"),
        ("half.qcow2", Format::Qcow2, "qcow2"),
        ("half.raw", Format::Raw, "raw"),
    ] {
        let theirs = best(6, || {
            // The fastest of them, by turns.
            let _ = std::fs::remove_file(dir.join("out"));
            let args = format!(
                "convert {} -f {from} -O {format} {source} out",
                flags[turn % flags.len()]
            );
            turn += 1;
            crate::judge::run(dir, "qemu-img", &args.split_whitespace().collect::<Vec<_>>())
        });
        let ours = best(6, || {
            let _ = std::fs::remove_file(dir.join("out"));
            let options = ConvertOptions::new(format);
            convert(
                &[dir.join(source)],
                &OpenOptions::read(),
                &dir.join("out"),
                &options,
                &NoProgress,
            )
            .unwrap();
        });
        line(&format!("convert {from} to {format}"), ours, theirs);
    }
    if std::env::var_os("DISKSMITH_LONG").is_some() {
        compressed(dir);
    }
    let theirs = best(6, || ok(dir, "qemu-img", &["compare", "half.raw", "half.qcow2"]));
    let ours = best(6, || {
        let open = |name: &str| Image::open(dir.join(name), &OpenOptions::read()).unwrap();
        let (a, b) = (open("half.raw"), open("half.qcow2"));
        compare(&**a.storage(), &**b.storage(), false, &NoProgress).unwrap()
    });
    line("compare", ours, theirs);
    clones(dir);
}

fn clones(dir: &Path) {
    let pattern = NamePattern::parse(&dir.join("fleet/vm-%04d.qcow2")).unwrap();
    let targets: Vec<_> = pattern.names(1, 1000).collect();
    let ours = best(1, || {
        clone_linked(
            &dir.join("half.qcow2"),
            &targets,
            &CloneOptions::default(),
            &NoProgress,
        )
        .unwrap();
    });
    eprintln!("{:<34} {:>10.1?}", "1000 clones", ours.0);
    let search = best(6, || {
        disksmith_image::find_clones(&dir.join("half.qcow2")).unwrap()
    });
    eprintln!("{:<34} {:>10.1?}", "search for 1000 clones", search.0);
}

fn compressed(dir: &Path) {
    for kind in ["zlib", "zstd"] {
        let theirs = best(1, || {
            let _ = std::fs::remove_file(dir.join("out"));
            qemu_img(
                dir,
                &format!("convert -W -m 8 -c -o compression_type={kind} -O qcow2 half.raw out"),
            );
        });
        let ours = best(1, || {
            let _ = std::fs::remove_file(dir.join("out"));
            let mut options = ConvertOptions {
                compress: true,
                ..ConvertOptions::new(Format::Qcow2)
            };
            if kind == "zstd" {
                options.create.qcow2.compression = disksmith_qcow2::CompressionType::Zstd;
            }
            convert(
                &[dir.join("half.raw")],
                &OpenOptions::read(),
                &dir.join("out"),
                &options,
                &NoProgress,
            )
            .unwrap();
        });
        line(&format!("convert -c {kind}"), ours, theirs);
    }
}
