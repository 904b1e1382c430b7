//! The face of `virt-filesystems`: lists filesystems, partitions, disks, and what LVM has.

use super::getopt::{Spec, also, flag};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, KEYS_FROM_STDIN, TRACE, Tool,
    VERBOSE, print_lines,
};
use crate::commands::{ItemTable, item_table, wanted_items};
use disksmith_guest::{WantedItems, list_items};
use std::ffi::OsString;
use std::process::ExitCode;

const DEVICES: Spec = flag("block-devices", 0);
const LVS: Spec = flag("logical-volumes", 0);
const PARTITIONS: Spec = flag("partitions", 0);
const PVS: Spec = flag("physical-volumes", 0);
const UUID: Spec = flag("uuid", 0);
const VGS: Spec = flag("volume-groups", 0);

static TOOL: Tool = Tool::new(
    "virt-filesystems",
    "virt-filesystems: list filesystems, partitions, block devices, LVM of a guest
Usage:
  virt-filesystems [OPTIONS] -a IMAGE [-a IMAGE …]
What is listed (mountable filesystems unless told otherwise):
  --all                Everything
  --filesystems        Filesystems that can be mounted
  --extra              Also swap space and what is not known
  --parts|--partitions
  --blkdevs|--block-devices
  --lvs|--logvols|--logical-volumes
  --vgs|--volgroups|--volume-groups
  --pvs|--physvols|--physical-volumes
How:
  -l|--long            What each is
  --uuid|--uuids       With -l: identifiers
  -h|--human-readable  With -l: sizes with a unit
  --csv                Comma-separated values
  --no-title           With -l: no titles
",
    &[
        ADD,
        flag("all", 0),
        also("blkdevs", DEVICES),
        DEVICES,
        BLOCKSIZE,
        CONNECT,
        flag("csv", 0),
        DOMAIN,
        ECHO_KEYS,
        flag("extra", 0),
        flag("filesystems", 0),
        FORMAT,
        HELP,
        flag("human-readable", b'h'),
        KEYS_FROM_STDIN,
        LVS,
        also("logvols", LVS),
        flag("long", b'l'),
        also("lvs", LVS),
        flag("no-title", 0),
        also("parts", PARTITIONS),
        PARTITIONS,
        PVS,
        also("physvols", PVS),
        also("pvs", PVS),
        UUID,
        also("uuids", UUID),
        VERBOSE,
        DISPLAY_VERSION,
        also("vgs", VGS),
        also("volgroups", VGS),
        VGS,
        TRACE,
    ],
    "acdhlvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let mut call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if call.has("csv") && call.has("human-readable") {
        return TOOL.fail("you cannot use -h and --csv options together.");
    }
    if let Err(status) = call
        .take_old_style(0)
        .and_then(|()| call.refuse_operands("--format"))
    {
        return status;
    }
    let extra = call.has("extra");
    let chosen = WantedItems {
        filesystems: call.has("filesystems") || extra,
        extra,
        lvs: call.has("logical-volumes"),
        vgs: call.has("volume-groups"),
        pvs: call.has("physical-volumes"),
        partitions: call.has("partitions"),
        devices: call.has("block-devices"),
    };
    let wanted = wanted_items(chosen, call.has("all"));
    let look = ItemTable {
        long: call.has("long"),
        uuid: call.has("uuid"),
        human_readable: call.has("human-readable"),
        csv: call.has("csv"),
        title: !call.has("no-title"),
    };
    match call.look_at_disks(|disks| list_items(disks, wanted)) {
        Ok(items) => print_lines(&TOOL, &item_table(&items, wanted, look)),
        Err(failure) => TOOL.fail_with(&failure),
    }
}
