//! Chooses operations: `--operations` and `--enable`.

use super::table::{OPERATIONS, SysprepOperation};
use crate::error::{Error, Result};

/// The operations that are done unless told otherwise.
pub fn default_operations() -> Vec<&'static SysprepOperation> {
    OPERATIONS.iter().filter(|o| o.default).collect()
}

/// Reads a list like `defaults,-logfiles,user-account` from left to right: `defaults` and `all` add many, a minus takes away. Operations
/// of virt-sysprep that are done by other means (`customize`, `script`) may be named and change nothing.
///
/// # Errors
/// [`Error::Usage`] for an unknown name.
pub fn select_operations(option: &str, list: &str) -> Result<Vec<&'static SysprepOperation>> {
    let mut chosen: Vec<&'static SysprepOperation> = Vec::new();
    for item in list.split(',').map(str::trim).filter(|i| !i.is_empty()) {
        let (remove, name) = match item.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, item),
        };
        let named: Vec<&'static SysprepOperation> = match name {
            "defaults" => default_operations(),
            "all" => OPERATIONS.iter().collect(),
            "customize" | "script" => continue,
            _ => match OPERATIONS.iter().find(|o| o.name == name) {
                Some(operation) => vec![operation],
                None => {
                    let reason = format!("there is no operation {name:?} (--list-operations shows them)");
                    return Err(Error::usage(option, reason));
                }
            },
        };
        chosen.retain(|o| !named.iter().any(|n| n.name == o.name));
        if !remove {
            chosen.extend(named);
        }
    }
    Ok(chosen)
}
