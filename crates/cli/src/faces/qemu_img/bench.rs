//! `qemu-img bench`.

use super::open::{named, reading, writing};
use super::percent::Percent;
use super::stop::{Done, Stop};
use super::wording::{Use, cause};
use super::{caches, help, object, size};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::output::print;
use disksmith_image::{BenchOptions, Error, bench};
use std::ffi::OsString;
use std::time::Instant;

const OPTIONS: &[Spec] = &[
    flag("help", b'h'),
    flag("quiet", b'q'),
    value("format", b'f'),
    flag("image-opts", 0),
    value("cache", b't'),
    value("count", b'c'),
    value("depth", b'd'),
    value("offset", b'o'),
    value("buffer-size", b's'),
    value("step-size", b'S'),
    value("aio", b'i'),
    flag("native", b'n'),
    flag("write", b'w'),
    value("pattern", 0),
    value("flush-interval", 0),
    flag("no-drain", 0),
    flag("force-share", b'U'),
    value("object", 0),
];

pub(super) fn run(words: &[OsString]) -> Done {
    let arguments = Arguments::parse("qemu-img bench", OPTIONS, words)?;
    if arguments.has("help") {
        return help::command("bench");
    }
    let number = |option: &str, what: &str, least: u64, most: u64, default: u64| match arguments.text(option)
    {
        Some(text) if ["buffer-size", "step-size", "offset"].contains(&option) => {
            size::limited(what, &text, least, most)
        }
        Some(text) => size::number(what, &text, least, most),
        None => Ok(default),
    };
    let int = i32::MAX as u64;
    let write = arguments.has("write");
    let bytes = number("buffer-size", "buffer size", 1, int, 4096)?;
    let step = number("step-size", "step size", 0, int, 0)?;
    let options = BenchOptions {
        count: number("count", "request count", 1, int, 75000)?,
        depth: number("depth", "queue depth", 1, int, 64)? as usize,
        size: bytes,
        offset: number("offset", "offset", 0, i64::MAX as u64, 0)?,
        step: if step == 0 { bytes } else { step },
        write: write.then_some(number("pattern", "pattern byte", 0, 255, 0)? as u8),
        flush_interval: number("flush-interval", "flush interval", 0, int, 0)?,
    };
    let aio = arguments.text("aio");
    if let Some(aio) = aio
        .as_deref()
        .filter(|aio| !["threads", "native", "io_uring"].contains(aio))
    {
        return Err(Stop::new(format!("Invalid aio option: {aio}")));
    }
    caches::plain(&arguments, "cache")?;
    object::check(&arguments)?;
    let [name] = arguments.operands.as_slice() else {
        return Err(Stop::usage("qemu-img bench", "Expecting one image file name"));
    };
    if !write && options.flush_interval > 0 {
        return Err(Stop::new("--flush-interval is only available in write tests"));
    }
    if options.flush_interval > 0 && options.flush_interval < options.depth as u64 {
        return Err(Stop::new("Flush interval can't be smaller than depth"));
    }
    let name = named(&arguments, name)?;
    let native = arguments.has("native") || aio.as_deref() == Some("native");
    let direct = matches!(
        arguments.text("cache").as_deref(),
        Some("none" | "off" | "directsync")
    );
    if native && !direct && aio.as_deref().is_none_or(|aio| aio == "native") {
        let why = "aio=native was specified, but it requires cache.direct=on, which was not specified.";
        return Err(name.cannot_open(why));
    }
    if write && arguments.has("force-share") {
        return Err(name.cannot_open("force-share=on can only be used with read-only images"));
    }
    let image = match write {
        true => writing(&name)?,
        false => reading(&name, arguments.has("force-share"))?,
    };
    let mut text = format!(
        "Sending {} {} requests, {} bytes each, {} in parallel (starting at offset {}, step size {})\n",
        options.count,
        if write { "write" } else { "read" },
        options.size,
        options.depth,
        options.offset,
        options.step
    );
    if options.flush_interval > 0 {
        text.push_str(&format!(
            "Sending flush every {} requests\n",
            options.flush_interval
        ));
    }
    print(text)?;
    let percent = Percent::start(false);
    let start = Instant::now();
    bench(&**image.storage(), &options, &percent).map_err(|error| {
        let why = match &error {
            Error::Storage(disksmith_storage::Error::OutOfBounds { .. }) => "Input/output error".into(),
            other => cause(other, if write { Use::Write } else { Use::Read }),
        };
        Stop::new(format!("Failed request: {why}"))
    })?;
    print(format!(
        "Run completed in {:.3} seconds.\n",
        start.elapsed().as_secs_f64()
    ))?;
    Ok(0)
}
